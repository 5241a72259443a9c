//! One connection to the broker, ready for requests and replies.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use florin_amqp::Addresses;
use florin_wire::ProofKey;
use florin_wire::names::{REPLY_QUEUES, REQUESTS_EXCHANGE, SEED_EXCHANGE};
use futures_util::FutureExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Confirmation, Connection, ConnectionProperties, Consumer, ExchangeKind};
use uuid::Uuid;

use crate::error::Error;
use crate::message::Outgoing;
use crate::options::{ClientOptions, Replies, Route};

/// A silent peer is detected within two heartbeats.
const HEARTBEAT_SECONDS: u16 = 10;
const REPLY_SUCCESS: u16 = 200;
/// RabbitMQ's pseudo-queue for direct replies.
const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// One connection, for requests and replies.
///
/// A second one for the replies cost 8 % of the calls a second, and a quarter more processor time here (two
/// cores, 1000 calls in flight).
pub(crate) struct Session {
    connection: Connection,
    /// Shared with every unconfirmed publish; cloning the channel itself costs a dozen counters.
    channel: Arc<Channel>,
    pub(crate) replies: Consumer,
    reply_to: ShortString,
    /// The `user_id` of messages, if they carry one.
    user_id: Option<ShortString>,
    proof_key: Option<ProofKey>,
    pub(crate) unconfirmed: Unconfirmed,
}

/// Parsed once, so that an unusable URL is an error of its own.
pub(crate) fn parse_urls(amqp_urls: &str) -> Result<Addresses, Error> {
    Ok(Addresses::parse(amqp_urls)?.with_defaults(HEARTBEAT_SECONDS, None))
}

impl Session {
    /// Connects and declares. The reply queue gets a fresh name each time, because the broker may still have
    /// the old one.
    pub(crate) async fn open(addresses: &Addresses, options: &ClientOptions) -> Result<Self, Error> {
        let opening = async {
            let name = options.connection_name.as_str().into();
            let properties = ConnectionProperties::default().with_connection_name(name);
            let connected = addresses.connect(properties, options.connect_timeout).await;
            let connection = connected.map_err(|error| Error::connecting(error, options.connect_timeout))?;
            Self::declare(connection, options).await.map_err(Error::Connect)
        };
        let opened = tokio::time::timeout(options.connect_timeout, opening).await;
        opened.unwrap_or(Err(Error::ConnectTimeout(options.connect_timeout)))
    }

    async fn declare(connection: Connection, options: &ClientOptions) -> Result<Self, lapin::Error> {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        declare_exchange(&connection, &channel, &options.route).await?;
        let reply_to = declare_replies(&channel, options.replies).await?;
        let consume = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let replies = channel
            .basic_consume(reply_to.clone(), ShortString::default(), consume, FieldTable::default())
            .await?;
        let user_id = options.send_user_id.then(|| connection.status().username().into());
        let unconfirmed = Unconfirmed::default();
        let (channel, proof_key) = (Arc::new(channel), options.proof_key.clone());
        Ok(Self { connection, channel, replies, reply_to, user_id, proof_key, unconfirmed })
    }

    /// Publishes a message with this many calls; its confirmation arrives in `unconfirmed`.
    pub(crate) fn publish(&mut self, route: &Route, message: Outgoing, correlation_id: u64, calls: usize) {
        let message = match &self.proof_key {
            Some(key) => message.proven(key),
            None => message,
        };
        let Outgoing { operation, properties, body } = message;
        let (exchange, routing_key, properties) = match route {
            Route::Exchange(name) => (name.as_str().into(), operation, properties),
            Route::Queue(name) => {
                (ShortString::default(), name.as_str().into(), properties.with_type(operation))
            }
        };
        let properties = properties
            .with_reply_to(self.reply_to.clone())
            .with_correlation_id(correlation_id.to_string().into());
        let properties = match &self.user_id {
            Some(user_id) => properties.with_user_id(user_id.clone()),
            None => properties,
        };
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let channel = Arc::clone(&self.channel);
        self.unconfirmed.push(correlation_id, calls, async move {
            channel.basic_publish(exchange, routing_key, options, &body, properties).await?.await
        });
    }

    /// Closes the connection. Not for a lost one, where it may take long.
    pub(crate) async fn close(self, options: &ClientOptions) {
        let closing = self.connection.close(REPLY_SUCCESS, "closed by the client".into());
        match tokio::time::timeout(options.connect_timeout, closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "closing the connection failed"),
            Err(_) => tracing::debug!("closing the connection took too long"),
        }
    }
}

/// Makes sure that the protocol's exchanges exist, because the client may start before the service: a request
/// is then returned as unroutable, where a missing exchange would close the channel.
///
/// A passive declaration needs no permission, but closes its channel if the exchange is missing; then it is
/// declared exactly as the service does.
async fn declare_exchange(
    connection: &Connection,
    channel: &Channel,
    route: &Route,
) -> Result<(), lapin::Error> {
    let (name, durable) = match route {
        Route::Exchange(name) if name == REQUESTS_EXCHANGE => (REQUESTS_EXCHANGE, true),
        Route::Exchange(name) if name == SEED_EXCHANGE => (SEED_EXCHANGE, false),
        Route::Exchange(_) | Route::Queue(_) => return Ok(()),
    };
    let looking = connection.create_channel().await?;
    let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    let found =
        looking.exchange_declare(name.into(), ExchangeKind::Topic, passive, FieldTable::default()).await;
    if found.is_ok() {
        return looking.close(REPLY_SUCCESS, "seen".into()).await;
    }
    let options = ExchangeDeclareOptions { durable, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(name.into(), ExchangeKind::Topic, options, FieldTable::default()).await
}

async fn declare_replies(channel: &Channel, replies: Replies) -> Result<ShortString, lapin::Error> {
    if replies == Replies::DirectReplyTo {
        return Ok(DIRECT_REPLY_TO.into());
    }
    // Random: whoever could guess the name could have the replies to their requests sent here.
    let name: ShortString = format!("{REPLY_QUEUES}{}", Uuid::new_v4()).into();
    let options =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.clone(), options, FieldTable::default()).await?;
    Ok(name)
}

type Publish = Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + Send>>;

/// Messages that the broker has not confirmed, oldest first.
///
/// Every confirmation is awaited, because lapin leaks dropped ones. They arrive nearly in order, so it is
/// enough to wait for the oldest: one wake-up for many confirmations.
#[derive(Default)]
pub(crate) struct Unconfirmed {
    messages: VecDeque<UnconfirmedMessage>,
    calls: usize,
}

struct UnconfirmedMessage {
    correlation_id: u64,
    calls: usize,
    publish: Publish,
}

impl Unconfirmed {
    /// Number of calls in these messages.
    pub(crate) const fn calls(&self) -> usize {
        self.calls
    }

    /// Starts to publish at once: the broker numbers messages as they arrive, and lapin as they are
    /// published, so both must see the same order.
    fn push(
        &mut self,
        correlation_id: u64,
        calls: usize,
        publish: impl Future<Output = lapin::Result<Confirmation>> + Send + 'static,
    ) {
        let mut publish: Publish = Box::pin(publish);
        if let Some(result) = publish.as_mut().now_or_never() {
            // Complete already means failed. It is kept, to be handled like any other failure.
            publish = Box::pin(std::future::ready(result));
        }
        self.calls += calls;
        self.messages.push_back(UnconfirmedMessage { correlation_id, calls, publish });
    }

    /// Waits for the oldest one; for ever if there is none. Cancel-safe.
    pub(crate) async fn next(&mut self) -> (u64, lapin::Result<Confirmation>) {
        let Some(UnconfirmedMessage { correlation_id, calls, publish }) = self.messages.front_mut() else {
            return std::future::pending().await;
        };
        let confirmed = (*correlation_id, publish.await);
        self.calls -= *calls;
        self.messages.pop_front();
        confirmed
    }
}
