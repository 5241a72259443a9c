//! Why a call has no answer.

use std::time::Duration;

use crate::address::AddressError;

/// Why a call has no answer.
///
/// Money may have moved in the cases of [`Error::OutcomeUnknown`], [`Error::Reply`] and [`Error::Closed`]: send the
/// request again under the same `message_id` to learn its outcome. In all others nothing was done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL of the broker, or a certificate that it names, cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The first connection could not be made. Later ones are tried again without end.
    #[error("cannot connect to the broker: {0}")]
    Connect(#[source] lapin::Error),
    /// The broker did not answer in time when the first connection was made.
    #[error("the broker did not complete the connection within {0:?}")]
    ConnectTimeout(Duration),
    /// Nothing takes requests where this client sends them. The request was not applied.
    #[error("no queue takes {operation:?} sent to {route}: is the service running? (nothing was done)")]
    Unroutable {
        /// The operation.
        operation: String,
        /// Where the request was sent.
        route: String,
    },
    /// The request was never sent, because others waited for answers all the time.
    #[error("{max_in_flight} other calls are waiting for answers: not sent within {timeout:?}")]
    Overloaded {
        /// How many calls may wait at a time.
        max_in_flight: usize,
        /// How long this one waited for its turn.
        timeout: Duration,
    },
    /// The request was sent, and no answer came in time. It may have been applied, or still be: send it again
    /// with the same `message_id` to learn its outcome without applying it twice.
    #[error("no answer within {timeout:?}: outcome unknown of message_id {message_id}")]
    OutcomeUnknown {
        /// The identity of the request, which is the transaction's id when it is a UUID. Empty when the caller
        /// of `call_raw` gave none.
        message_id: String,
        /// How long the call waited.
        timeout: Duration,
    },
    /// The answer is not a reply of this protocol: the request was worked on, and what came of it is unknown.
    #[error("the answer cannot be read: {0}")]
    Reply(#[source] serde_json::Error),
    /// An operation or a `message_id` is longer than the 255 bytes that AMQP takes.
    #[error("{0} is longer than 255 bytes")]
    TooLong(&'static str),
    /// The client was closed while the call was waiting. The request may have been sent, and be applied.
    #[error("the client was closed")]
    Closed,
}
