//! RabbitMQ's side of the service: takes requests from the work queue and publishes the replies.
//!
//! There are three connections, each made again whenever it is lost. The [`Consumer`] receives requests, and their acks
//! go back on the same channel. The [`Publisher`] sends replies and events on a connection of its own, because a broker
//! with a resource alarm blocks connections that publish, and acks must still get through. In between, a request carries
//! a [`Ticket`]. [`ParkedEvents`] publishes again the events that a listener's queue refused.
//!
//! In reading order: `topology` (exchanges and queues), `declare`, `upkeep` (again, when one was deleted), `owner` (whose
//! the work queue is), `connection` (errors, time limits, reconnecting), `access` (which requests are allowed), `job` (what
//! passes to the engine and back), `consumer`, `outgoing` (replies and events, encoded), `publisher`, `events` (also those
//! that are refused), `log` (one line per request), `dead_letter`, `queues` (depths, for the console).

mod access;
mod connection;
mod consumer;
pub mod dead_letter;
mod declare;
mod events;
mod job;
mod log;
mod outgoing;
mod owner;
mod publisher;
mod queues;
mod status;
mod topology;
mod upkeep;

use std::sync::Arc;
use std::time::Instant;

use lapin::types::ShortString;
use prometheus::IntGauge;

pub use access::Access;
pub use connection::{Error, Link, addresses, connection_name};
pub use consumer::Consumer;
pub use events::{ParkedEvents, Parking};
pub use job::{Completed, Completion, Done, Job, Rejection};
pub use owner::QueueOwner;
pub use publisher::Publisher;
pub use queues::{Depths, Queues};
pub use status::{BrokerStatus, Counts, Difference, ExchangeStatus, QueueStatus};
pub use topology::{Exchange, Queue, Topology};

use consumer::Session;
use dead_letter::Original;

/// What the reply to a request needs, and the ack after it.
#[derive(Debug)]
pub struct Ticket {
    session: Arc<Session>,
    delivery_tag: u64,
    /// As the client wrote it.
    operation: ShortString,
    reply_to: Option<ShortString>,
    correlation_id: Option<ShortString>,
    log: log::Context,
    /// The request as it was delivered, in case it is dead-lettered.
    original: Original,
    received_at: Instant,
    _in_flight: InFlight,
}

/// The operation of a message: its routing key, or its `type` if it was published to the queue by name.
fn operation<'a>(
    exchange: &str,
    routing_key: &'a ShortString,
    kind: Option<&'a ShortString>,
) -> &'a ShortString {
    kind.filter(|_| exchange.is_empty()).unwrap_or(routing_key)
}

/// Counts a request as in flight while this lives.
#[derive(Debug)]
struct InFlight(IntGauge);

impl InFlight {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
