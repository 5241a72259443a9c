//! Exchanges and queues: which there are, and how. `declare` has how they come about.

use florin_wire::names::{DEAD_LETTERS, EVENTS_EXCHANGE, PARKED_EVENTS, REQUESTS_EXCHANGE, SEED_EXCHANGE};
use lapin::ExchangeKind;
use lapin::types::{AMQPValue, FieldTable};

/// An exchange and its durability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    pub name: String,
    /// How it routes.
    pub kind: ExchangeKind,
    /// Whether it survives a restart of the broker.
    pub durable: bool,
}

/// A durable queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    pub name: String,
    pub arguments: FieldTable,
}

/// The exchanges and queues of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Where clients publish requests. All are routed to the work queue, whatever their routing key: none
    /// is dropped silently.
    pub exchanges: Vec<Exchange>,
    /// The queue that the service consumes.
    pub work_queue: String,
    /// How many failed deliveries a request may have before the broker dead-letters it.
    pub delivery_limit: u32,
    /// Whether one instance is active and the others are standby.
    pub single_active_consumer: bool,
    /// Whether events are published.
    pub with_events: bool,
}

impl Topology {
    /// The topology of the service with this work queue.
    #[must_use]
    pub fn service(
        work_queue: &str,
        delivery_limit: u32,
        single_active_consumer: bool,
        with_events: bool,
    ) -> Self {
        // The seed's clients declare their exchange themselves, as not durable.
        let seed = Exchange { durable: false, ..Exchange::topic(SEED_EXCHANGE) };
        Self {
            exchanges: vec![Exchange::topic(REQUESTS_EXCHANGE), seed],
            work_queue: work_queue.to_owned(),
            delivery_limit,
            single_active_consumer,
            with_events,
        }
    }

    /// The same with other names, for benchmarks beside the service.
    #[must_use]
    pub fn echo(name: &str, delivery_limit: u32, single_active_consumer: bool) -> Self {
        Self {
            exchanges: vec![Exchange::topic(name)],
            work_queue: name.to_owned(),
            delivery_limit,
            single_active_consumer,
            with_events: false,
        }
    }

    /// All queues: first those that others depend on.
    #[must_use]
    pub fn queues(&self) -> Vec<Queue> {
        let parked = self.with_events.then(Queue::parked_events);
        [Queue::dead_letters(), self.work_queue()].into_iter().chain(parked).collect()
    }

    /// All exchanges, each with the queue that gets everything from it.
    #[must_use]
    pub fn bound_exchanges(&self) -> Vec<(Exchange, Option<String>)> {
        let requests =
            self.exchanges.iter().map(|exchange| (exchange.clone(), Some(self.work_queue.clone())));
        let events = self.with_events.then(|| (Exchange::events(), None));
        let dead_letters = (Exchange::dead_letters(), Some(DEAD_LETTERS.to_owned()));
        std::iter::once(dead_letters).chain(requests).chain(events).collect()
    }

    /// The queue that the service consumes, with its arguments.
    #[must_use]
    pub fn work_queue(&self) -> Queue {
        let mut arguments = quorum();
        let mut set = |name: &str, value| {
            arguments.insert(name.into(), value);
        };
        set("x-delivery-limit", AMQPValue::LongUInt(self.delivery_limit));
        set("x-single-active-consumer", AMQPValue::Boolean(self.single_active_consumer));
        set("x-dead-letter-exchange", text(DEAD_LETTERS));
        // A dead-lettered message leaves the work queue only after the dead-letter queue has confirmed it.
        // The broker requires reject-publish for that.
        set("x-dead-letter-strategy", text("at-least-once"));
        set("x-overflow", text("reject-publish"));
        Queue { name: self.work_queue.clone(), arguments }
    }
}

impl Exchange {
    fn topic(name: &str) -> Self {
        Self { name: name.to_owned(), kind: ExchangeKind::Topic, durable: true }
    }

    /// Where events are published. Consumers bind queues of their own.
    #[must_use]
    pub fn events() -> Self {
        Self::topic(EVENTS_EXCHANGE)
    }

    /// Where the broker publishes dead letters.
    #[must_use]
    pub fn dead_letters() -> Self {
        Self { kind: ExchangeKind::Fanout, ..Self::topic(DEAD_LETTERS) }
    }
}

impl Queue {
    /// The dead-letter queue.
    #[must_use]
    pub fn dead_letters() -> Self {
        Self { name: DEAD_LETTERS.to_owned(), arguments: kept_for_ever() }
    }

    /// The queue of events that are published again until they are taken: by one instance at a time, in their order.
    #[must_use]
    pub fn parked_events() -> Self {
        let mut arguments = kept_for_ever();
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        // If an operator bounds the queue by a policy, it must refuse events and not drop them.
        arguments.insert("x-overflow".into(), text("reject-publish"));
        Self { name: PARKED_EVENTS.to_owned(), arguments }
    }
}

/// Reading a message and putting it back counts as a failed delivery, and RabbitMQ 4 drops a message after 20 of them
/// unless the queue has a limit of its own. (-1 means none there, but 3.10 drops the message at once.)
fn kept_for_ever() -> FieldTable {
    let mut arguments = quorum();
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongUInt(u32::MAX));
    arguments
}

/// Replicated, and on disk before it is confirmed.
fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments
}

pub(crate) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}
