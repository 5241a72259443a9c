//! The broker's side: takes requests from the work queue and sends the replies.
//!
//! Two connections, each made again whenever it is lost: the [`Consumer`] takes deliveries and, later,
//! their acknowledgements go back on the same channel; the [`Publisher`] sends replies and events on a connection of
//! its own, for a broker in need blocks the connections that publish, and acknowledgements must still get
//! through. In between, a request carries a [`Ticket`].

mod access;
mod connection;
mod consumer;
pub mod dead;
mod given_up;
mod job;
mod outgoing;
mod publisher;
mod queues;
mod status;
mod topology;

use std::sync::Arc;
use std::time::Instant;

use lapin::types::ShortString;
use prometheus::IntGauge;

pub use access::Access;
pub use connection::{Error, Link};
pub use consumer::Consumer;
pub use job::{Completed, Disposition, Done, Job, Rejection};
pub use publisher::Publisher;
pub use queues::{Depths, Queues};
pub use status::{BrokerStatus, Counts, QueueStatus};
pub use topology::{Exchange, Queue, Topology};

use consumer::Session;
use given_up::Original;

/// What the reply to a request needs to find its way, and the acknowledgement after it.
#[derive(Debug)]
pub struct Ticket {
    session: Arc<Session>,
    delivery_tag: u64,
    /// What the client asked for, in its own words.
    operation: ShortString,
    reply_to: Option<ShortString>,
    correlation_id: Option<ShortString>,
    /// The request as it was delivered, for the case that it cannot be answered.
    original: Original,
    received_at: Instant,
    _in_flight: InFlight,
}

/// What a message asks for: its routing key; or its `type`, when it was sent to the queue by the queue's name.
fn operation<'a>(
    exchange: &str,
    routing_key: &'a ShortString,
    kind: Option<&'a ShortString>,
) -> &'a ShortString {
    kind.filter(|_| exchange.is_empty()).unwrap_or(routing_key)
}

/// Counts a request as in flight for as long as it lives.
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
