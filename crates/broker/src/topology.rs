//! Exchanges and queues. They are declared at every start and reconnect, because a broker may come back
//! without them.

use florin_wire::names::{DEAD_LETTERS, EVENTS_EXCHANGE, REQUESTS_EXCHANGE, SEED_EXCHANGE};
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

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
}

impl Topology {
    /// The topology of the service with this work queue.
    #[must_use]
    pub fn service(work_queue: &str, delivery_limit: u32, single_active_consumer: bool) -> Self {
        // The seed's clients declare their exchange themselves, as not durable.
        let seed = Exchange { durable: false, ..Exchange::topic(SEED_EXCHANGE) };
        Self {
            exchanges: vec![Exchange::topic(REQUESTS_EXCHANGE), seed],
            work_queue: work_queue.to_owned(),
            delivery_limit,
            single_active_consumer,
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
        }
    }

    pub(crate) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        Queue::dead_letters().declare(channel).await?;
        let dead_letters = Exchange::dead_letters();
        dead_letters.declare(channel).await?;
        dead_letters.bind(channel, DEAD_LETTERS).await?;
        self.work_queue().declare(channel).await?;
        for exchange in &self.exchanges {
            exchange.declare(channel).await?;
            exchange.bind(channel, &self.work_queue).await?;
        }
        Ok(())
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

    pub(crate) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        let name = self.name.as_str().into();
        let options = ExchangeDeclareOptions { durable: self.durable, ..Default::default() };
        channel.exchange_declare(name, self.kind.clone(), options, FieldTable::default()).await
    }

    /// Routes all its messages to this queue.
    async fn bind(&self, channel: &Channel, queue: &str) -> lapin::Result<()> {
        let name = self.name.as_str().into();
        let options = QueueBindOptions::default();
        channel.queue_bind(queue.into(), name, "#".into(), options, FieldTable::default()).await
    }
}

impl Queue {
    /// The dead-letter queue.
    #[must_use]
    pub fn dead_letters() -> Self {
        Self { name: DEAD_LETTERS.to_owned(), arguments: dead_letters_arguments() }
    }

    async fn declare(self, channel: &Channel) -> lapin::Result<()> {
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(self.name.into(), options, self.arguments).await?;
        Ok(())
    }
}

/// Reading a letter and putting it back counts as a failed delivery, and RabbitMQ 4 drops a message after
/// 20 of them unless the queue has a limit of its own. (-1 means none there, but 3.10 drops the message at
/// once.)
fn dead_letters_arguments() -> FieldTable {
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
