//! Records the final state of a run: waits until nothing is in flight, stops the service, and empties the
//! queues and the database into files.

use std::path::Path;
use std::time::{Duration, Instant};

use florin_client::names::{DEAD_LETTERS, EVENTS_EXCHANGE, PARKED_EVENTS, WORK_QUEUE};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls, Row};

use crate::files::write_lines;
use crate::history::{self, History};
use crate::load::link;
use crate::record::{self, Posting, Queued, Ticker, Verified};
use crate::world::{Error as WorldError, World};

/// The queue that gets every event from the beginning.
const EVENTS_QUEUE: &str = "faults.events";
/// How long draining the queue and expiring overdue holds may take once all faults are over.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);
const DRAIN_PAUSE: Duration = Duration::from_millis(250);
/// How long to wait for the next message of a queue that has one.
const NEXT_LIMIT: Duration = Duration::from_secs(10);
const OVERDUE: &str = "SELECT count(*) FROM holds WHERE expires_at < now() + interval '2 seconds'";

const POSTINGS: &str = "
    SELECT wallet_id, t.name, version, transaction_id, leg, operation, status, error, trim_scale(amount)::text,
           trim_scale(actual_after)::text, trim_scale(frozen_after)::text, counterparty_wallet_id,
           (extract(epoch FROM p.created_at) * 1000000)::bigint, (extract(epoch FROM expires_at) * 1000000)::bigint,
           metadata->>'request', (metadata->>'place')::bigint
      FROM postings p JOIN tickers t USING (ticker_id)
     ORDER BY wallet_id, t.name, version";

/// Why the final state cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the queues cannot be read: {0}")]
    Broker(#[from] lapin::Error),
    /// A queue delivered fewer messages than it has.
    #[error("queue {queue} holds {expected} messages, but gave {found}")]
    Short { queue: String, expected: u32, found: usize },
    #[error("the tables cannot be read: {0}")]
    Database(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    World(#[from] WorldError),
}

/// Declares the queue for events, before there are any.
pub async fn listen(amqp_url: &str) -> Result<(), Error> {
    let (_connection, channel) = open(amqp_url).await?;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let none = FieldTable::default;
    channel.exchange_declare(EVENTS_EXCHANGE.into(), ExchangeKind::Topic, durable, none()).await?;
    link::declare_durable(&channel, EVENTS_QUEUE).await?;
    let bind = QueueBindOptions::default();
    channel.queue_bind(EVENTS_QUEUE.into(), EVENTS_EXCHANGE.into(), "#".into(), bind, none()).await?;
    Ok(())
}

/// Waits until the work queue is empty, no event is parked and no hold is overdue, or the limit. Returns whether that
/// was reached.
pub async fn drain(world: &World) -> Result<bool, Error> {
    let (_connection, channel) = open(world.servers.amqp_url()).await?;
    let database = connect(world.servers.database_url()).await?;
    let end = Instant::now() + DRAIN_LIMIT;
    loop {
        let waiting = count(&channel, WORK_QUEUE).await? + count(&channel, PARKED_EVENTS).await?;
        let overdue: i64 = database.query_one(OVERDUE, &[]).await?.get(0);
        if waiting == 0 && overdue == 0 {
            return Ok(true);
        }
        if Instant::now() > end {
            tracing::warn!(waiting, overdue, "the queues were not drained in time");
            return Ok(false);
        }
        sleep(DRAIN_PAUSE).await;
    }
}

/// Stops the service, and writes all records into the folder.
pub async fn collect(world: &World, clients: u32, folder: &Path, start: Instant) -> Result<(), Error> {
    let services = world.services.clone();
    let stopped =
        tokio::task::spawn_blocking(move || services.iter().for_each(crate::service::Service::stop));
    stopped.await.map_err(std::io::Error::other)?;
    let (_connection, channel) = open(world.servers.amqp_url()).await?;
    for client in 1..=clients {
        let history = History::open(&history::path(folder, client), start)?;
        for delivery in empty(&channel, &link::reply_queue(client)).await? {
            let (request, what) = link::read(&delivery);
            history.write(&request, what);
        }
    }
    for (queue, file) in
        [(WORK_QUEUE, record::WORK), (DEAD_LETTERS, record::DEAD), (EVENTS_QUEUE, record::EVENTS)]
    {
        let messages: Vec<Queued> = empty(&channel, queue).await?.iter().map(queued).collect();
        write_lines(&folder.join(file), &messages)?;
    }
    let database = connect(world.servers.database_url()).await?;
    let tickers = database.query("SELECT name, scale FROM tickers ORDER BY name", &[]).await?;
    let ticker =
        |row: &Row| Ticker { name: row.get(0), scale: u8::try_from(row.get::<_, i16>(1)).unwrap_or(u8::MAX) };
    write_lines(&folder.join(record::TICKERS), &tickers.iter().map(ticker).collect::<Vec<_>>())?;
    let postings = database.query(POSTINGS, &[]).await?;
    write_lines(&folder.join(record::POSTINGS), &postings.iter().map(posting).collect::<Vec<_>>())?;
    let (code, text) = world.florin(&["verify", "--json"]).await?;
    let verified = serde_json::to_vec(&Verified { code, text }).map_err(std::io::Error::from)?;
    std::fs::write(folder.join(record::VERIFY), verified)?;
    Ok(())
}

fn posting(row: &Row) -> Posting {
    Posting {
        wallet_id: row.get(0),
        ticker: row.get(1),
        version: row.get(2),
        transaction_id: row.get(3),
        leg: row.get(4),
        operation: row.get(5),
        status: row.get(6),
        error: row.get(7),
        amount: row.get(8),
        actual_after: row.get(9),
        frozen_after: row.get(10),
        counterparty_wallet_id: row.get(11),
        created_at: row.get(12),
        expires_at: row.get(13),
        request: row.get(14),
        place: row.get::<_, Option<i64>>(15).and_then(|place| usize::try_from(place).ok()),
    }
}

fn queued(delivery: &Delivery) -> Queued {
    let correlation_id = delivery.properties.correlation_id().as_ref();
    Queued {
        request: correlation_id.map(ToString::to_string).unwrap_or_default(),
        routing_key: delivery.routing_key.to_string(),
        text: String::from_utf8_lossy(&delivery.data).into_owned(),
    }
}

async fn open(amqp_url: &str) -> Result<(Connection, Channel), Error> {
    let connection = Connection::connect(amqp_url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

async fn connect(database_url: &str) -> Result<Client, Error> {
    let (client, connection) = tokio_postgres::connect(database_url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Makes PostgreSQL begin another segment of its log.
pub(crate) async fn switch_wal(database_url: &str) -> Result<(), Error> {
    Ok(connect(database_url).await?.batch_execute("SELECT pg_switch_wal()").await?)
}

async fn count(channel: &Channel, queue: &str) -> Result<u32, Error> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    Ok(channel.queue_declare(queue.into(), passive, FieldTable::default()).await?.message_count())
}

/// All messages of a queue. Consumed, for a queue with a single active consumer gives nothing in another way.
async fn empty(channel: &Channel, queue: &str) -> Result<Vec<Delivery>, Error> {
    let expected = count(channel, queue).await?;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut consumer =
        channel.basic_consume(queue.into(), ShortString::default(), options, FieldTable::default()).await?;
    let mut found = Vec::new();
    while found.len() < expected as usize {
        match timeout(NEXT_LIMIT, consumer.next()).await {
            Ok(Some(delivery)) => found.push(delivery?),
            _ => return Err(Error::Short { queue: queue.to_owned(), expected, found: found.len() }),
        }
    }
    let options = lapin::options::BasicCancelOptions::default();
    channel.basic_cancel(consumer.tag(), options).await?;
    Ok(found)
}
