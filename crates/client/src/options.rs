//! What can be set, with defaults that suit most uses.

use std::fmt;
use std::time::Duration;

use florin_wire::MAX_BATCH_OPERATIONS;
use florin_wire::names::REQUESTS_EXCHANGE;

/// Where requests are published. The names of the protocol are in `florin_wire::names`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To a topic exchange, with the operation as the routing key.
    Exchange(String),
    /// Straight to a queue, with the operation in the property `type`. Saves the broker the topic look-up.
    Queue(String),
}

impl Default for Route {
    fn default() -> Self {
        Self::Exchange(REQUESTS_EXCHANGE.to_owned())
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exchange(name) => write!(f, "exchange {name:?}"),
            Self::Queue(name) => write!(f, "queue {name:?}"),
        }
    }
}

/// How answers come back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Replies {
    /// Through a queue of this client alone, which goes away with its connection.
    #[default]
    ExclusiveQueue,
    /// Through RabbitMQ's direct reply-to, without any queue.
    DirectReplyTo,
}

/// How calls made at the same time share messages.
///
/// Nothing waits for a timer: a call leaves at once as long as few messages travel, and those that come while
/// many do leave together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coalescing {
    /// Calls gather once so many messages travel.
    pub messages_in_flight: usize,
    /// At most so many calls share a message. The service takes 1000.
    pub max_calls: usize,
    /// About so long a message gets at most. It has to be less than what the service takes (1 MiB, unless it is
    /// set up differently).
    pub max_bytes: usize,
}

impl Default for Coalescing {
    fn default() -> Self {
        Self { messages_in_flight: 4, max_calls: MAX_BATCH_OPERATIONS, max_bytes: 512 * 1024 }
    }
}

/// How a [`Client`](crate::Client) behaves.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Where requests are published.
    pub route: Route,
    /// How answers come back.
    pub replies: Replies,
    /// How calls made at the same time share messages; `None` lets each be a message of its own.
    pub coalescing: Option<Coalescing>,
    /// How many calls may wait for answers at a time; further ones wait for their turn.
    pub max_in_flight: usize,
    /// How long one attempt to connect may take, and how long closing may take.
    pub connect_timeout: Duration,
    /// How long a call waits for its answer, all attempts together, unless it says otherwise.
    pub timeout: Duration,
    /// How long a call waits before it sends the same request again.
    pub attempt_timeout: Duration,
    /// The name of the connection, as the broker's tools show it.
    pub connection_name: String,
    /// Whether every message says which user of the broker sends it (`user_id`): the one of the URL. The service records
    /// it with the transactions, and can be set up to demand it.
    pub send_user_id: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            route: Route::default(),
            replies: Replies::default(),
            coalescing: Some(Coalescing::default()),
            max_in_flight: 10_000,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(10),
            connection_name: "florin-client".to_owned(),
            send_user_id: false,
        }
    }
}

/// How one call differs from the others.
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    /// What makes a retry the same request; a fresh UUIDv7 when none is given. At most 255 bytes.
    pub message_id: Option<String>,
    /// How long to wait for the answer, all attempts together.
    pub timeout: Option<Duration>,
    /// For whom this is asked: 1 to 255 printable ASCII characters, recorded in place of the user of this client. The
    /// service believes it of users that it trusts, so it needs [`ClientOptions::send_user_id`]; of others it is
    /// ignored.
    pub on_behalf_of: Option<String>,
}
