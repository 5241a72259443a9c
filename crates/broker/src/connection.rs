//! Connections to RabbitMQ, and when to connect again.
//!
//! lapin's own recovery is not used: it takes long, and misses cancelled consumers and closed channels. A session
//! here is all or nothing: whatever fails ends it, and the next one starts from the beginning.

use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use florin_amqp::{Address, AddressError, Addresses, Backoff, ConnectError};
use florin_metrics::Metrics;
use futures_util::{Stream, StreamExt};
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::{Connection, ConnectionProperties, ConnectionStatus, ErrorKind, Event};
use tokio::time::timeout;
use uuid::Uuid;

/// A peer that is silent for twice this time is gone.
const HEARTBEAT_SECS: u16 = 10;
/// RabbitMQ's default. Headers fit into one frame, so this bounds how deeply they can be nested.
const FRAME_BYTES: u32 = 131_072;
/// How long the broker may take to answer anything but a publish.
pub(crate) const RPC_TIMEOUT: Duration = Duration::from_secs(10);
/// After a session of this length the delays start from the shortest again.
const STABLE_SESSION: Duration = Duration::from_secs(5);
pub(crate) const REPLY_SUCCESS: u16 = 200;

/// What can fail between the service and RabbitMQ.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL of the broker, or a certificate that it names, cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// There is no connection: nobody answers, or the broker refuses the user or the virtual host.
    #[error("cannot connect to RabbitMQ at {target}: {0}", target = .0.target())]
    Connect(ConnectError),
    /// The broker refused something, or the connection broke.
    #[error(transparent)]
    Broker(lapin::Error),
    /// The broker took too long.
    #[error("RabbitMQ did not {0} within {seconds} s", seconds = RPC_TIMEOUT.as_secs())]
    TimedOut(&'static str),
    /// The broker cancelled the consumer, for example because the queue was deleted.
    #[error("RabbitMQ cancelled the consumer: was the queue deleted?")]
    Cancelled,
    /// The work queue belongs to another ledger.
    #[error(
        "queue {queue} belongs to another ledger than that of this database ({ledger}): is this the right database, and the \
         right search_path? If the queue is to belong to it from now on, start with --new-ledger"
    )]
    OtherLedger {
        /// Its name.
        queue: String,
        /// The ledger that claims it.
        ledger: Uuid,
    },
    /// The broker closed the connection or the channel over a reply.
    #[error("RabbitMQ rejects a reply: {0}")]
    ReplyRejected(#[source] lapin::Error),
    /// The AMQP library cannot decode the properties of a message, and ended the connection.
    #[error("a message cannot be decoded: {0}")]
    Unreadable(#[source] lapin::Error),
    /// The connection ended without an error.
    #[error("the connection was closed")]
    Closed,
}

impl From<lapin::Error> for Error {
    fn from(error: lapin::Error) -> Self {
        match error.kind() {
            ErrorKind::ParsingError(_) => Self::Unreadable(error),
            _ => Self::Broker(error),
        }
    }
}

impl Error {
    /// Why publishing failed. The broker closes the connection with an internal error over a reply address that it
    /// cannot decode, and the channel over a message that is longer than its limit. Other codes are about the service or
    /// the broker, not about a message.
    pub(crate) fn publishing(error: lapin::Error) -> Self {
        let too_long = AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED);
        match error.kind() {
            ErrorKind::ProtocolError(protocol) if *protocol.kind() == too_long => Self::ReplyRejected(error),
            _ if Self::rejects_address(&error) => Self::ReplyRejected(error),
            _ => error.into(),
        }
    }

    /// Whether the broker rejects the address of a reply, and not the reply.
    pub(crate) fn rejects_address(error: &lapin::Error) -> bool {
        let internal = AMQPErrorKind::Hard(AMQPHardError::INTERNALERROR);
        matches!(error.kind(), ErrorKind::ProtocolError(protocol) if *protocol.kind() == internal)
    }
}

/// Whether the service is connected to the broker. Clones share the state.
#[derive(Clone, Default)]
pub struct Link {
    consumer: Arc<RwLock<Option<ConnectionStatus>>>,
    publisher: Arc<RwLock<Option<ConnectionStatus>>>,
}

impl Link {
    /// Whether both connections are up: the consumer's and the publisher's.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        [&self.consumer, &self.publisher].into_iter().all(|connection| {
            let status = connection.read().unwrap_or_else(PoisonError::into_inner);
            status.as_ref().is_some_and(ConnectionStatus::connected)
        })
    }

    /// Whether the broker reads nothing from the publisher because of a resource alarm.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        let status = self.publisher.read().unwrap_or_else(PoisonError::into_inner);
        status.as_ref().is_some_and(|status| status.connected() && status.blocked())
    }

    pub(crate) fn register(&self, role: Role, connection: &Connection) {
        self.set(role, Some(connection.status().clone()));
    }

    pub(crate) fn unregister(&self, role: Role) {
        self.set(role, None);
    }

    fn set(&self, role: Role, status: Option<ConnectionStatus>) {
        let slot = match role {
            Role::Consumer => &self.consumer,
            Role::Publisher => &self.publisher,
            // Requests are executed and answered without it.
            Role::Events => return,
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
pub(crate) enum Role {
    Consumer,
    Publisher,
    /// Publishes parked events again.
    Events,
}

impl Role {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Publisher => "publisher",
            Self::Events => "events",
        }
    }
}

/// The addresses in these URLs, for [`open`].
///
/// # Errors
///
/// When a URL, or a file that it names, cannot be used.
pub fn addresses(urls: &str) -> Result<Addresses, Error> {
    Ok(Addresses::parse(urls)?.with_defaults(HEARTBEAT_SECS, Some(FRAME_BYTES)))
}

/// Connects once.
pub(crate) async fn connect(urls: &str, name: &str) -> Result<Connection, Error> {
    open(&addresses(urls)?, name).await
}

/// Connects under this name, within the time limit.
pub(crate) async fn open(addresses: &Addresses, name: &str) -> Result<Connection, Error> {
    addresses.connect(properties(name), RPC_TIMEOUT).await.map_err(Error::Connect)
}

/// Awaits a connection that is made by other means, within the time limit.
pub(crate) async fn connected<T>(
    address: &Address,
    connecting: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Error> {
    let connection = timeout(RPC_TIMEOUT, connecting).await;
    let connection = connection.map_err(|_| Error::TimedOut("accept the connection"))?;
    connection.map_err(|error| Error::Connect(ConnectError::of(address, error)))
}

/// What the broker is told of a connection.
pub(crate) fn properties(name: &str) -> ConnectionProperties {
    ConnectionProperties::default().with_connection_name(connection_name(name).into())
}

/// The name of a connection in the broker's lists: what for, and from which host and process.
#[must_use]
pub fn connection_name(name: &str) -> String {
    format!("florin {name} {}", *INSTANCE)
}

/// Host name and process id: in a container the id alone is always 1.
pub(crate) static INSTANCE: LazyLock<String> = LazyLock::new(|| {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    format!("{}-{}", host.unwrap_or_default(), std::process::id())
});

/// Awaits an answer of the broker for this long.
pub(crate) async fn within<T>(
    limit: Duration,
    action: &'static str,
    answer: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Error> {
    Ok(timeout(limit, answer).await.map_err(|_| Error::TimedOut(action))??)
}

/// Awaits a confirm for this long; time while the broker blocks the connection does not count.
pub(crate) async fn confirmed_within<T>(
    limit: Duration,
    action: &'static str,
    connection: &ConnectionStatus,
    confirm: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Error> {
    let mut confirm = std::pin::pin!(confirm);
    loop {
        match timeout(limit, &mut confirm).await {
            Ok(confirm) => return confirm.map_err(Error::publishing),
            Err(_) if connection.blocked() => {}
            Err(_) => return Err(Error::TimedOut(action)),
        }
    }
}

/// Resolves when the publisher's connection is lost.
pub(crate) async fn lost(mut events: impl Stream<Item = Event> + Unpin) -> Error {
    while let Some(event) = events.next().await {
        match event {
            Event::Error(error) => return Error::publishing(error),
            Event::ConnectionBlocked(reason) => {
                tracing::warn!(reason, "RabbitMQ blocks publishing (a resource alarm): replies wait");
            }
            Event::ConnectionUnblocked => tracing::info!("RabbitMQ accepts replies again"),
            _ => {}
        }
    }
    Error::Closed
}

/// The delays between the sessions of one connection.
pub(crate) struct Reconnect {
    role: Role,
    metrics: Arc<Metrics>,
    session_started: Instant,
    backoff: Backoff,
}

impl Reconnect {
    pub(crate) fn new(role: Role, metrics: Arc<Metrics>) -> Self {
        Self { role, metrics, session_started: Instant::now(), backoff: Backoff::new() }
    }

    /// Waits before the next session.
    pub(crate) async fn pause_after(&mut self, error: &Error) {
        // A bad message is no failure of the broker, which need not be spared then.
        let bad_message = matches!(error, Error::ReplyRejected(_) | Error::Unreadable(_))
            && !matches!(self.role, Role::Events);
        if bad_message || self.session_started.elapsed() >= STABLE_SESSION {
            self.backoff = Backoff::new();
        }
        let connection = self.role.as_str();
        let delay = self.backoff.next_delay();
        let delay_secs = delay.as_secs_f64();
        self.metrics.broker_reconnects.with_label_values(&[connection]).inc();
        match error {
            Error::Connect(_) | Error::Address(_) => tracing::warn!(connection, delay_secs, "{error}"),
            Error::Unreadable(error) if matches!(self.role, Role::Events) => tracing::error!(
                connection,
                %error,
                delay_secs,
                "a parked event cannot be decoded: no other program may publish to its queue"
            ),
            Error::Unreadable(error) => tracing::warn!(
                connection,
                %error,
                "a request cannot be decoded and ended the connection: taking requests one by one, until RabbitMQ \
                 dead-letters it at the delivery limit"
            ),
            Error::ReplyRejected(error) => tracing::warn!(
                connection,
                %error,
                "RabbitMQ ended the connection over a reply: sending replies one by one to find it"
            ),
            _ => tracing::warn!(connection, %error, delay_secs, "connection to RabbitMQ lost, reconnecting"),
        }
        tokio::time::sleep(delay).await;
        self.session_started = Instant::now();
    }
}
