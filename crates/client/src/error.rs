//! Why a call has no answer.

use std::time::Duration;

use florin_amqp::{AddressError, ConnectError};

/// Why a call has no answer.
///
/// Money may have moved after [`Error::OutcomeUnknown`], [`Error::Reply`] and [`Error::Closed`]: send the
/// request again under the same `message_id` to learn its outcome. After any other error nothing was done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The broker URL, or a certificate that it names, cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The first connection failed. Later ones are retried without end.
    #[error("cannot connect to the broker: {0}")]
    Connect(#[source] lapin::Error),
    /// The first connection was not complete in time.
    #[error("the broker did not complete the connection within {0:?}")]
    ConnectTimeout(Duration),
    /// No queue is bound where this client sends requests. The request was not applied.
    #[error("no queue receives {operation:?} from {route}: is the service running? (nothing was done)")]
    Unroutable {
        /// The routing key of the request.
        operation: String,
        /// The exchange or queue of this client, for people.
        route: String,
    },
    /// The request was never sent, because the maximum number of calls was in flight all the time.
    #[error("not sent within {timeout:?}: {max_in_flight} other calls are in flight")]
    Overloaded {
        /// [`ClientOptions::max_in_flight`](crate::ClientOptions::max_in_flight).
        max_in_flight: usize,
        /// How long this call waited for its turn.
        timeout: Duration,
    },
    /// The request was sent, and no answer came in time. It may have been applied, or may still be: send it
    /// again under the same `message_id` to learn its outcome without applying it twice.
    #[error("no answer within {timeout:?}: outcome unknown of message_id {message_id}")]
    OutcomeUnknown {
        /// The identity of the request, which is the transaction's id when it is a UUID. Empty when the
        /// caller of `call_raw` gave none.
        message_id: String,
        /// How long the call waited.
        timeout: Duration,
    },
    /// The answer is not a reply of this protocol: the request was processed, with unknown outcome.
    #[error("the reply cannot be parsed: {0}")]
    Reply(#[source] serde_json::Error),
    /// An operation, a `message_id` or `on_behalf_of` exceeds AMQP's limit of 255 bytes.
    #[error("{0} is longer than 255 bytes")]
    TooLong(&'static str),
    /// The client was closed while the call was waiting. The request may have been sent, and be applied.
    #[error("the client was closed")]
    Closed,
}

impl Error {
    /// Why none of the addresses of the broker can be used.
    pub(crate) fn connecting(error: ConnectError, limit: Duration) -> Self {
        if error.is_timeout() { Self::ConnectTimeout(limit) } else { Self::Connect(error.into()) }
    }
}
