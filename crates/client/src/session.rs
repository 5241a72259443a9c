//! One connection to the broker, ready for requests and their answers.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use florin_wire::names::{REPLY_QUEUES, REQUESTS_EXCHANGE, SEED_EXCHANGE};
use futures_util::FutureExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Confirmation, Connection, ConnectionProperties, Consumer, ExchangeKind};
use uuid::Uuid;

use crate::address::Address;
use crate::error::Error;
use crate::message::Outgoing;
use crate::options::{ClientOptions, Replies, Route};

/// Seconds. A peer that is gone without a word is noticed within two of these.
const HEARTBEAT_SECONDS: u16 = 10;
const REPLY_SUCCESS: u16 = 200;
/// The name that RabbitMQ gives the queue that is none.
const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// One connection with its channel and its answers.
///
/// One connection does both: with a second one for the answers there were about 8 % fewer calls a second, for a
/// quarter more processor time of this side (two cores, 1000 calls in flight).
pub(crate) struct Session {
    connection: Connection,
    /// Shared with every publish under way; a clone of the channel itself costs a dozen counters.
    channel: Arc<Channel>,
    pub(crate) replies: Consumer,
    reply_to: ShortString,
    /// What the broker is told of the sender, if anything.
    user_id: Option<ShortString>,
    pub(crate) unconfirmed: Unconfirmed,
}

/// Reads the URL once, so that a wrong one is an error of its own.
pub(crate) fn parse_url(amqp_url: &str) -> Result<Address, Error> {
    Ok(Address::parse(amqp_url)?.with_defaults(HEARTBEAT_SECONDS, None))
}

impl Session {
    /// Connects and declares. Everything is declared anew, for nothing of an earlier session is left: the
    /// reply queue has a fresh name each time because the broker may still hold the old one.
    pub(crate) async fn open(address: &Address, options: &ClientOptions) -> Result<Self, Error> {
        let opening = Self::open_unlimited(address, options);
        match tokio::time::timeout(options.connect_timeout, opening).await {
            Ok(session) => session.map_err(Error::Connect),
            Err(_) => Err(Error::ConnectTimeout(options.connect_timeout)),
        }
    }

    async fn open_unlimited(address: &Address, options: &ClientOptions) -> Result<Self, lapin::Error> {
        let name = options.connection_name.as_str().into();
        let properties = ConnectionProperties::default().with_connection_name(name);
        let connection = address.connect(properties).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        declare_exchange(&connection, &channel, &options.route).await?;
        let reply_to = declare_replies(&channel, options.replies).await?;
        let consume = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let replies = channel
            .basic_consume(reply_to.clone(), ShortString::default(), consume, FieldTable::default())
            .await?;
        let username = &address.uri().authority.userinfo.username;
        let user_id = options.send_user_id.then(|| username.as_str().into());
        let unconfirmed = Unconfirmed::default();
        Ok(Self { connection, channel: Arc::new(channel), replies, reply_to, user_id, unconfirmed })
    }

    /// Hands a message that holds so many calls to the broker; its confirmation arrives in `unconfirmed`.
    pub(crate) fn publish(&mut self, route: &Route, message: Outgoing, correlation_id: u64, calls: usize) {
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

    /// Takes leave of the broker. Not for a lost connection, where it may take long.
    pub(crate) async fn close(self, options: &ClientOptions) {
        let closing = self.connection.close(REPLY_SUCCESS, "closed by the client".into());
        match tokio::time::timeout(options.connect_timeout, closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "closing the connection failed"),
            Err(_) => tracing::debug!("closing the connection took too long"),
        }
    }
}

/// Sees to it that the exchanges of the protocol are there, for the client may come before the service. Then a request
/// that comes before the service is returned, where a missing exchange would cost the whole channel.
///
/// To look takes no permission, but costs the channel when there is none; then it is declared just as the service
/// does.
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
    // Random: whoever could guess the name could have the answers to his requests sent here.
    let name: ShortString = format!("{REPLY_QUEUES}{}", Uuid::new_v4()).into();
    let options =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.clone(), options, FieldTable::default()).await?;
    Ok(name)
}

type Publish = Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + Send>>;

/// Messages that the broker has not confirmed, oldest first.
///
/// Every confirmation is awaited, for lapin keeps the dropped ones. They come nearly in order, so it is
/// enough to wait for the oldest: one waking for many confirmations.
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
    /// How many calls these messages hold.
    pub(crate) const fn calls(&self) -> usize {
        self.calls
    }

    /// Starts to publish now: the broker counts messages as they arrive, and lapin as they are handed over, so
    /// both must see the same order.
    fn push(
        &mut self,
        correlation_id: u64,
        calls: usize,
        publish: impl Future<Output = lapin::Result<Confirmation>> + Send + 'static,
    ) {
        let mut publish: Publish = Box::pin(publish);
        if let Some(result) = publish.as_mut().now_or_never() {
            // Done already means failed. It is kept, to be found like any other failure.
            publish = Box::pin(std::future::ready(result));
        }
        self.calls += calls;
        self.messages.push_back(UnconfirmedMessage { correlation_id, calls, publish });
    }

    /// Waits for the oldest; for ever when there is none. May be dropped at any time.
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
