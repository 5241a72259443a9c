//! The names of exchanges, queues and the batch operation.

/// The durable topic exchange for requests. The routing key is the operation.
pub const REQUESTS_EXCHANGE: &str = "florin.requests";

/// The topic exchange of the earlier system. Its clients declare it as not durable, so the service does
/// too.
pub const SEED_EXCHANGE: &str = "queries";

/// Prefix of the service's own queues: no reply is sent there.
pub const OWN_QUEUES: &str = "florin.";

/// Prefix of the Rust client's reply queues, followed by a random UUID: the exception to [`OWN_QUEUES`].
pub const REPLY_QUEUES: &str = "florin.reply.";

/// The queue of requests, unless configured otherwise.
pub const WORK_QUEUE: &str = "florin.work";

/// The fanout exchange for dead letters, and the queue bound to it. Through an exchange of their own they
/// keep their routing keys.
pub const DEAD_LETTERS: &str = "florin.dead";

/// The durable topic exchange for events.
pub const EVENTS_EXCHANGE: &str = "florin.events";

/// The queue of events that a listener's queue refused. They are published again until they are taken.
pub const PARKED_EVENTS: &str = "florin.events.parked";

/// The operation that carries other operations.
pub const BATCH: &str = "batch";
