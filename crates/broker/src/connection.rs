//! Connections to the broker, and what keeps them up.
//!
//! lapin's own recovery is not used: it takes long, and misses cancelled consumers and broken channels. A
//! session here is all or nothing: whatever breaks ends it, and the next one starts from the beginning.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use florin_amqp::{Address, AddressError};
use futures_util::{Stream, StreamExt};
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::{Connection, ConnectionProperties, ConnectionStatus, ErrorKind, Event};
use tokio::time::timeout;

use florin_metrics::Metrics;

/// A peer that is silent for twice as long is gone.
const HEARTBEAT_SECS: u16 = 10;
/// RabbitMQ's own default. Headers fit into one frame, so this bounds how deeply they can be nested.
const FRAME_BYTES: u32 = 131_072;
/// How long the broker may take to answer anything but a publish.
pub(super) const RPC_TIMEOUT: Duration = Duration::from_secs(10);
/// A session that lasted so long was a good one: the next failure starts with a short delay again.
const GOOD_SESSION: Duration = Duration::from_secs(5);
const MAX_DELAY: Duration = Duration::from_secs(2);

/// What can go wrong between us and the broker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL of the broker, or a certificate that it names, cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The broker refused something, or the connection broke.
    #[error(transparent)]
    Broker(#[from] lapin::Error),
    /// The broker took too long.
    #[error("the broker did not {0} in time")]
    TimedOut(&'static str),
    /// The broker ended the consumer, for example because the queue was deleted.
    #[error("the broker cancelled the consumer")]
    Cancelled,
    /// The broker closed the connection over something that was sent.
    #[error("the broker objects to a reply: {0}")]
    Objection(#[source] lapin::Error),
    /// A message that the broker delivered cannot be read.
    #[error("a message cannot be read: {0}")]
    Unreadable(#[source] lapin::Error),
    /// The connection ended without an error.
    #[error("the connection was closed")]
    Closed,
}

impl Error {
    /// Why sending replies failed. The broker closes the connection with an internal error over a reply address
    /// that it cannot decode, and the channel over a message that is longer than it takes; other codes say something
    /// of the service or of the broker, not of a message.
    pub(super) fn sending(error: lapin::Error) -> Self {
        let too_long = AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED);
        match error.kind() {
            ErrorKind::ProtocolError(protocol) if *protocol.kind() == too_long => Self::Objection(error),
            _ if Self::is_of_address(&error) => Self::Objection(error),
            _ => Self::Broker(error),
        }
    }

    /// Whether the broker objects to where the message was to go.
    pub(super) fn is_of_address(error: &lapin::Error) -> bool {
        let internal = AMQPErrorKind::Hard(AMQPHardError::INTERNALERROR);
        matches!(error.kind(), ErrorKind::ProtocolError(protocol) if *protocol.kind() == internal)
    }

    /// Why taking requests failed.
    pub(super) fn taking(error: lapin::Error) -> Self {
        match error.kind() {
            ErrorKind::ParsingError(_) => Self::Unreadable(error),
            _ => Self::Broker(error),
        }
    }
}

/// Whether the service is connected to the broker. Clones share what they know.
#[derive(Clone, Default)]
pub struct Link {
    consumer: Arc<RwLock<Option<ConnectionStatus>>>,
    publisher: Arc<RwLock<Option<ConnectionStatus>>>,
}

impl Link {
    /// Whether both connections stand: the one that requests come by, and the one that replies go by.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        [&self.consumer, &self.publisher].into_iter().all(|connection| {
            let status = connection.read().unwrap_or_else(PoisonError::into_inner);
            status.as_ref().is_some_and(ConnectionStatus::connected)
        })
    }

    pub(super) fn register(&self, role: Role, connection: &Connection) {
        self.set(role, Some(connection.status().clone()));
    }

    pub(super) fn unregister(&self, role: Role) {
        self.set(role, None);
    }

    fn set(&self, role: Role, status: Option<ConnectionStatus>) {
        let slot = match role {
            Role::Consumer => &self.consumer,
            Role::Publisher => &self.publisher,
        };
        *slot.write().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("connected", &self.is_connected()).finish()
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    Consumer,
    Publisher,
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Publisher => "publisher",
        }
    }
}

/// Connects, within a time limit.
pub(super) async fn connect(url: &str, role: Role) -> Result<Connection, Error> {
    connect_as(url, role.as_str()).await
}

/// Connects under this name, within a time limit.
pub(super) async fn connect_as(url: &str, name: &str) -> Result<Connection, Error> {
    let address = Address::parse(url)?.with_defaults(HEARTBEAT_SECS, Some(FRAME_BYTES));
    let properties = ConnectionProperties::default().with_connection_name(connection_name(name).into());
    within(RPC_TIMEOUT, "accept the connection", address.connect(properties)).await
}

/// What the broker's lists call a connection.
pub(super) fn connection_name(name: &str) -> String {
    format!("florin {name} {}", std::process::id())
}

/// Awaits the broker for so long.
pub(super) async fn within<T>(
    limit: Duration,
    what: &'static str,
    answer: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Error> {
    timeout(limit, answer).await.map_err(|_| Error::TimedOut(what))?.map_err(Error::Broker)
}

/// Awaits what the broker does only when it is not in need, for so long each time it is not.
pub(super) async fn patiently<T>(
    limit: Duration,
    what: &'static str,
    connection: &ConnectionStatus,
    answer: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Error> {
    let mut answer = std::pin::pin!(answer);
    loop {
        match timeout(limit, &mut answer).await {
            Ok(answer) => return answer.map_err(Error::sending),
            Err(_) if connection.blocked() => {}
            Err(_) => return Err(Error::TimedOut(what)),
        }
    }
}

/// Resolves when the connection that replies go by is lost.
pub(super) async fn lost(mut events: impl Stream<Item = Event> + Unpin) -> Error {
    while let Some(event) = events.next().await {
        match event {
            Event::Error(error) => return Error::sending(error),
            Event::ConnectionBlocked(reason) => {
                tracing::warn!(reason, "the broker is in need and takes no replies: they wait");
            }
            Event::ConnectionUnblocked => tracing::info!("the broker takes replies again"),
            _ => {}
        }
    }
    Error::Closed
}

/// The pauses between the sessions of one connection.
pub(super) struct Reconnect {
    role: Role,
    metrics: Arc<Metrics>,
    session_started: Instant,
    delays: ExponentialBackoff,
}

impl Reconnect {
    pub(super) fn new(role: Role, metrics: Arc<Metrics>) -> Self {
        Self { role, metrics, session_started: Instant::now(), delays: backoff() }
    }

    /// Waits before the next session.
    pub(super) async fn pause_after(&mut self, error: &Error) {
        // Over a message it is not the broker that failed: it need not be spared.
        let over_a_message = matches!(error, Error::Objection(_) | Error::Unreadable(_));
        if over_a_message || self.session_started.elapsed() >= GOOD_SESSION {
            self.delays = backoff();
        }
        let connection = self.role.as_str();
        let delay = self.delays.next().unwrap_or(MAX_DELAY);
        self.metrics.broker_reconnects.with_label_values(&[connection]).inc();
        tracing::warn!(connection, %error, delay_ms = delay.as_millis(), "no connection to the broker");
        tokio::time::sleep(delay).await;
        self.session_started = Instant::now();
    }
}

/// From 50 ms, doubled each time up to two seconds, with jitter.
fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(MAX_DELAY)
        .with_jitter()
        .without_max_times()
        .build()
}
