//! Exchanges and queues: declared again at every start and reconnect, for a broker may come back without
//! them.

use florin_wire::names::{DEAD_LETTERS, EVENTS_EXCHANGE, REQUESTS_EXCHANGE, SEED_EXCHANGE};
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

/// A topic exchange for requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// Whether it survives a restart of the broker.
    pub durable: bool,
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
        let exchanges = [(SEED_EXCHANGE, false), (REQUESTS_EXCHANGE, true)];
        Self {
            exchanges: exchanges.map(|(name, durable)| Exchange { name: name.to_owned(), durable }).into(),
            work_queue: work_queue.to_owned(),
            delivery_limit,
            single_active_consumer,
        }
    }

    /// A topology of the same kind with other names, beside that of the service: for measurements.
    #[must_use]
    pub fn echo(name: &str, delivery_limit: u32, single_active_consumer: bool) -> Self {
        Self {
            exchanges: vec![Exchange { name: name.to_owned(), durable: true }],
            work_queue: name.to_owned(),
            delivery_limit,
            single_active_consumer,
        }
    }

    pub(super) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        declare_queue(channel, DEAD_LETTERS, quorum()).await?;
        let dead_letters = Exchange { name: DEAD_LETTERS.to_owned(), durable: true };
        declare_exchange(channel, &dead_letters, ExchangeKind::Fanout, DEAD_LETTERS).await?;
        declare_queue(channel, &self.work_queue, self.work_queue_arguments()).await?;
        for exchange in &self.exchanges {
            declare_exchange(channel, exchange, ExchangeKind::Topic, &self.work_queue).await?;
        }
        Ok(())
    }

    fn work_queue_arguments(&self) -> FieldTable {
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
        arguments
    }
}

/// Declares the exchange that events go to. Who listens binds a queue to it.
pub(super) async fn declare_events(channel: &Channel) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel
        .exchange_declare(EVENTS_EXCHANGE.into(), ExchangeKind::Topic, options, FieldTable::default())
        .await
}

async fn declare_queue(channel: &Channel, name: &str, arguments: FieldTable) -> lapin::Result<()> {
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name.into(), options, arguments).await?;
    Ok(())
}

/// Declares an exchange, all of whose messages go to this queue.
async fn declare_exchange(
    channel: &Channel,
    exchange: &Exchange,
    kind: ExchangeKind,
    queue: &str,
) -> lapin::Result<()> {
    let name = ShortString::from(exchange.name.as_str());
    let options = ExchangeDeclareOptions { durable: exchange.durable, ..Default::default() };
    channel.exchange_declare(name.clone(), kind, options, FieldTable::default()).await?;
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), name, "#".into(), options, FieldTable::default()).await
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
