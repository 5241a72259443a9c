//! One client's connection to the broker: kept up, and made again for as long as the run lasts.
//!
//! Its reply queue is durable and replicated, so that every answer which the service had confirmed is found,
//! also one that came while the client was away. An answer is written down before it is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use florin_client::{Addresses, names};
use florin_wire::IDEMPOTENT_REPLAYED;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Client, Way};
use crate::history::What;

/// Seconds. A broker that hangs is noticed within two of these.
const HEARTBEAT_SECONDS: u16 = 4;
const OPEN_LIMIT: Duration = Duration::from_secs(10);
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
const ACK_LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);
/// Answers that are on their way to a client at a time.
const PREFETCH: u16 = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Requests,
    /// To the exchange of the first clients, which does not survive a restart of the broker.
    Seed,
    /// To the work queue by its name.
    Queue,
}

impl Route {
    /// Each client has its own way.
    pub(super) const fn of(client: u32) -> Self {
        match client % 3 {
            0 => Self::Requests,
            1 => Self::Queue,
            _ => Self::Seed,
        }
    }

    /// Exchange and routing key of an operation.
    pub(super) fn address(self, operation: &str) -> (ShortString, ShortString) {
        match self {
            Self::Requests => (names::REQUESTS_EXCHANGE.into(), operation.into()),
            Self::Seed => (names::SEED_EXCHANGE.into(), operation.into()),
            Self::Queue => (ShortString::default(), names::WORK_QUEUE.into()),
        }
    }
}

/// The connection of a client that sends messages.
#[derive(Debug)]
pub(super) struct Link {
    amqp_url: String,
    pub(super) route: Route,
    pub(super) channel: watch::Sender<Option<Arc<Channel>>>,
    /// Asks for another connection.
    pub(super) renew: Notify,
}

impl Link {
    pub(super) fn new(amqp_url: &str, client: u32) -> Self {
        Self {
            amqp_url: amqp_url.to_owned(),
            route: Route::of(client),
            channel: watch::channel(None).0,
            renew: Notify::new(),
        }
    }
}

/// The reply queue of a client.
pub(crate) fn reply_queue(client: u32) -> String {
    format!("reply.faults.{client}")
}

pub(crate) async fn declare_durable(channel: &Channel, queue: &str) -> lapin::Result<()> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), options, arguments).await.map(drop)
}

/// Keeps the connection of a client until `stop`, if it needs one.
pub(super) async fn keep(client: Arc<Client>, stop: CancellationToken) {
    let Way::Messages(link) = &client.way else { return };
    while !stop.is_cancelled() {
        if let Ok(Ok((connection, channel, answers))) = timeout(OPEN_LIMIT, open(link, client.number)).await {
            link.channel.send_replace(Some(Arc::new(channel)));
            tokio::select! {
                () = stop.cancelled() => {}
                () = link.renew.notified() => {}
                () = listen(&client, answers) => {}
            }
            link.channel.send_replace(None);
            let closing = connection.close(200, "the client goes".into());
            // One that is lost cannot be closed, and need not be.
            let _ = timeout(CLOSE_LIMIT, closing).await;
        }
        let _ = timeout(PAUSE, stop.cancelled()).await;
    }
}

async fn open(link: &Link, client: u32) -> anyhow::Result<(Connection, Channel, Consumer)> {
    let addresses = Addresses::parse(&link.amqp_url)?.with_defaults(HEARTBEAT_SECONDS, None);
    let name = format!("faults client {client}");
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connection = addresses.connect(properties, OPEN_LIMIT).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    if link.route == Route::Seed {
        let options = ExchangeDeclareOptions::default();
        let exchange = names::SEED_EXCHANGE.into();
        channel.exchange_declare(exchange, ExchangeKind::Topic, options, FieldTable::default()).await?;
    }
    let queue = reply_queue(client);
    declare_durable(&channel, &queue).await?;
    let options = BasicConsumeOptions::default();
    let answers =
        channel.basic_consume(queue.into(), ShortString::default(), options, FieldTable::default()).await?;
    Ok((connection, channel, answers))
}

/// Until the connection is lost.
async fn listen(client: &Client, mut answers: Consumer) {
    while let Some(Ok(delivery)) = answers.next().await {
        let (request, what) = read(&delivery);
        client.history.write(&request, what.clone());
        client.answered(&request, &what);
        match timeout(ACK_LIMIT, delivery.ack(BasicAckOptions::default())).await {
            Ok(Ok(_)) => {}
            _ => return,
        }
    }
}

/// What an answer says, and to which request.
pub(crate) fn read(delivery: &Delivery) -> (String, What) {
    let properties = &delivery.properties;
    let request = properties.correlation_id().as_ref().map(ToString::to_string).unwrap_or_default();
    let headers = properties.headers().as_ref();
    let replayed = headers.is_some_and(|headers| headers.inner().contains_key(IDEMPOTENT_REPLAYED));
    let text = String::from_utf8_lossy(&delivery.data).into_owned();
    (request, What::Answer { replayed, text })
}
