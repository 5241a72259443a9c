//! Requests that get no answer: how they get into the queue `florin.dead`, and how an operator handles them.
//!
//! The service dead-letters a request with a [`Reason`]; the broker does it by itself when a request
//! expires or reaches the delivery limit. In reading order: `reason` (why), `original` (what the service
//! keeps of a request, and the letter that it writes), `headers` (what is written into it), `letter` (a
//! letter that was read), `queue` (the queue, open), `reader` (takes letters and holds them), `unreadable`
//! (letters that the AMQP library cannot decode), `requeue` (sends a letter to the work queue again).

mod headers;
mod letter;
mod original;
mod queue;
mod reader;
mod reason;
mod requeue;
mod unreadable;

use lapin::types::ShortString;

use florin_wire::names::DEAD_LETTERS;

#[cfg(test)]
pub(crate) use headers::REQUEUED;
pub(crate) use headers::{is_requeued, published_to};
pub use letter::{DeadLetter, Death};
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
    /// A letter that cannot be decoded is gone before it could be set aside.
    #[error("another command works on the queue {DEAD_LETTERS}: try again")]
    Changed,
    /// More letters than can be set aside.
    #[error(
        "more than {0} dead letters cannot be decoded: remove them with `florin dead drop --unreadable --yes`"
    )]
    TooManyUnreadable(usize),
    /// The work queue did not take a letter.
    #[error("the queue {0} does not accept the message: it does not exist, or is full")]
    NotTaken(ShortString),
}

impl Error {
    fn is_unreadable(&self) -> bool {
        matches!(self, Self::Connection(crate::Error::Unreadable(_)))
    }
}

impl From<lapin::Error> for Error {
    fn from(error: lapin::Error) -> Self {
        Self::Connection(error.into())
    }
}
