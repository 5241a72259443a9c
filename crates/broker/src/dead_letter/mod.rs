//! Requests that get no answer: how they come into the queue `florin.dead`, and how an operator looks after
//! them.
//!
//! The service dead-letters a request with a [`Reason`]; the broker does it by itself when a request expires
//! or reaches the delivery limit. In reading order: `reason` (why), `original` (what the service keeps of a
//! request, and the letter that it writes), `headers` (what is written into it), `origin` (where the client
//! published a request that may have been a letter), `letter` (a letter that was read), `queue` (the queue,
//! open), `reader` (takes letters and holds them), `requeue` (sends a letter to the work queue again).

mod headers;
mod letter;
mod origin;
mod original;
mod queue;
mod reader;
mod reason;
mod requeue;

use lapin::types::ShortString;

use florin_wire::names::DEAD_LETTERS;

#[cfg(test)]
pub(crate) use headers::REQUEUED;
pub use letter::{DeadLetter, Death};
pub(crate) use origin::{Origin, is_requeued};
pub(crate) use original::Original;
pub use queue::{DeadLetters, Purpose};
pub(crate) use reason::Reason;
pub use requeue::Requeue;

/// The name of the connections, with host and process id.
const CONNECTION_NAME: &str = "dead letters";

/// Why the dead-letter queue cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection failed, or the broker refused something.
    #[error(transparent)]
    Connection(#[from] crate::Error),
    /// The queue was deleted while it was read.
    #[error("the queue {DEAD_LETTERS} was deleted")]
    Deleted,
    /// The broker has letters and does not deliver them.
    #[error("RabbitMQ did not deliver the dead letters within {0} s")]
    NotDelivered(u64),
    /// The work queue did not take a letter.
    #[error("the queue {0} does not accept the message: it does not exist, or is full")]
    NotTaken(ShortString),
}

impl From<lapin::Error> for Error {
    fn from(error: lapin::Error) -> Self {
        Self::Connection(error.into())
    }
}
