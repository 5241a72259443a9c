//! Exchanges and queues: declared again at every start and reconnect, for a broker may come back without
//! them.

use florin_wire::names::{DEAD_LETTERS, EVENTS_EXCHANGE, REQUESTS_EXCHANGE, SEED_EXCHANGE};
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

/// An exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// How it routes.
    pub kind: ExchangeKind,
    /// Whether it survives a restart of the broker.
    pub durable: bool,
}

/// A queue, which survives a restart of the broker.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// What it is declared with.
    pub arguments: FieldTable,
}

/// What the service declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Where requests are published to. All of them, whatever the routing key, go to the work queue: nothing
    /// is dropped in silence.
    pub exchanges: Vec<Exchange>,
    /// Where requests wait.
    pub work_queue: String,
    /// How often a request is delivered again, after a connection was lost, before it is dead-lettered.
    pub delivery_limit: u32,
    /// Whether one instance works and the others stand by.
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

    /// A topology of the same kind with other names, beside that of the service: for measurements.
    #[must_use]
    pub fn echo(name: &str, delivery_limit: u32, single_active_consumer: bool) -> Self {
        Self {
            exchanges: vec![Exchange::topic(name)],
            work_queue: name.to_owned(),
            delivery_limit,
            single_active_consumer,
        }
    }

    pub(super) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
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

    /// The queue that requests wait in.
    #[must_use]
    pub fn work_queue(&self) -> Queue {
        let mut arguments = quorum();
        let mut set = |name: &str, value| {
            arguments.insert(name.into(), value);
        };
        set("x-delivery-limit", AMQPValue::LongUInt(self.delivery_limit));
        set("x-single-active-consumer", AMQPValue::Boolean(self.single_active_consumer));
        set("x-dead-letter-exchange", text(DEAD_LETTERS));
        // A dead-lettered message leaves the work queue only when the other queue has confirmed it. The broker
        // demands reject-publish for that.
        set("x-dead-letter-strategy", text("at-least-once"));
        set("x-overflow", text("reject-publish"));
        Queue { name: self.work_queue.clone(), arguments }
    }
}

impl Exchange {
    fn topic(name: &str) -> Self {
        Self { name: name.to_owned(), kind: ExchangeKind::Topic, durable: true }
    }

    /// Where events go to. Who listens binds a queue to it.
    #[must_use]
    pub fn events() -> Self {
        Self::topic(EVENTS_EXCHANGE)
    }

    /// Where the broker moves requests that could not be worked on.
    #[must_use]
    pub fn dead_letters() -> Self {
        Self { kind: ExchangeKind::Fanout, ..Self::topic(DEAD_LETTERS) }
    }

    pub(super) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        let name = self.name.as_str().into();
        let options = ExchangeDeclareOptions { durable: self.durable, ..Default::default() };
        channel.exchange_declare(name, self.kind.clone(), options, FieldTable::default()).await
    }

    /// All its messages go to this queue.
    async fn bind(&self, channel: &Channel, queue: &str) -> lapin::Result<()> {
        let name = self.name.as_str().into();
        let options = QueueBindOptions::default();
        channel.queue_bind(queue.into(), name, "#".into(), options, FieldTable::default()).await
    }
}

impl Queue {
    /// Where requests wait that could not be worked on.
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

/// A message that is read and put back counts as delivered in vain, and RabbitMQ 4 throws it away after 20 times,
/// unless the queue has another limit. (-1 is none there, but 3.10 throws the message away at once.)
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

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}
