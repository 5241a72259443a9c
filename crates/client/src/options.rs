//! Options, with defaults that suit most uses.

use std::fmt;
use std::time::Duration;

use florin_wire::names::REQUESTS_EXCHANGE;
use florin_wire::{MAX_BATCH_OPERATIONS, ProofKey};

/// Where requests are published. The protocol's names are in [`names`](crate::names).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To a topic exchange, with the operation as the routing key.
    Exchange(String),
    /// Directly to a queue, with the operation in the property `type`. Saves the broker the topic lookup.
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

/// How replies come back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Replies {
    /// Through an exclusive queue, which is deleted with the connection.
    #[default]
    ExclusiveQueue,
    /// Through RabbitMQ's direct reply-to, without a queue.
    DirectReplyTo,
}

/// How concurrent calls share messages.
///
/// Nothing waits for a timer: a call is sent at once while few messages are in flight, and calls that arrive
/// while many are will be sent together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coalescing {
    /// Calls are collected while this many messages are in flight.
    pub messages_in_flight: usize,
    /// Maximum number of calls in a message. The service accepts 1000.
    pub max_calls: usize,
    /// Approximate maximum size of a message, in bytes. Must be below the service's limit (1 MiB unless
    /// configured).
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
    /// The exchange or queue that requests are published to.
    pub route: Route,
    /// The way back for replies.
    pub replies: Replies,
    /// How concurrent calls share messages; `None` sends each in a message of its own.
    pub coalescing: Option<Coalescing>,
    /// Maximum number of calls in flight; further ones wait for their turn.
    pub max_in_flight: usize,
    /// Time limit for one attempt to connect, and for closing.
    pub connect_timeout: Duration,
    /// Time limit for a call, all attempts together, unless [`CallOptions::timeout`] is set.
    pub timeout: Duration,
    /// How long a call waits for an answer before it sends the same request again.
    pub attempt_timeout: Duration,
    /// The connection's name in the broker's tools.
    pub connection_name: String,
    /// Whether every message carries the broker user of the URL as `user_id`. The service records it with
    /// transactions, and can be configured to require it.
    pub send_user_id: bool,
    /// For the service itself, which proves with it that [`CallOptions::on_behalf_of`] is its own word.
    pub proof_key: Option<ProofKey>,
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
            proof_key: None,
        }
    }
}

/// Options of one call.
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    /// What makes a retry the same request: at most 255 bytes; a fresh UUIDv7 if none is given.
    pub message_id: Option<String>,
    /// Time limit for all attempts together; [`ClientOptions::timeout`] if none is given.
    pub timeout: Option<Duration>,
    /// On whose behalf this is requested: 1 to 255 printable ASCII characters, recorded in place of this
    /// client's user. Only for users that the service trusts, so it needs [`ClientOptions::send_user_id`];
    /// ignored from others.
    pub on_behalf_of: Option<String>,
}
