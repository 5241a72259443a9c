//! The names of exchanges and queues.

/// The durable topic exchange for requests, with the operation as the routing key.
pub const REQUESTS_EXCHANGE: &str = "florin.requests";

/// The topic exchange of the first clients. They declare it themselves, as not durable, so it stays so.
pub const SEED_EXCHANGE: &str = "queries";

/// Queues whose names begin so are the service's own: no answer is sent there.
pub const OWN_QUEUES: &str = "florin.";

/// But these are the reply queues of the Rust client; a random UUID follows.
pub const REPLY_QUEUES: &str = "florin.reply.";

/// The queue that requests wait in.
pub const WORK_QUEUE: &str = "florin.work";

/// The fanout exchange, and the queue behind it, for messages that could not be worked on. An exchange of
/// their own keeps their routing keys.
pub const DEAD_LETTERS: &str = "florin.dead";

/// The durable topic exchange that tells every change of a transaction.
pub const EVENTS_EXCHANGE: &str = "florin.events";
