//! Requests that the service gives up: what is kept of them, and what their dead letters say.
//!
//! The broker can move a message to the dead-letter queue, but not say why. So the service copies it there itself,
//! with the reason in its headers, and acknowledges the original when the copy was confirmed. After a crash in
//! between there are two; there is never none.
//!
//! Copying takes the message as it was delivered, and that is dropped when it is decoded. To keep all of them for
//! the few that are given up would cost memory, so a request that is given up at its first delivery is given back
//! to the broker: what is delivered again is kept. What must not be worked on is known at once, and kept at once.

use std::time::{SystemTime, UNIX_EPOCH};

use florin_ledger::ErrorCode;
use florin_wire::Refusal;
use florin_wire::names::DEAD_LETTERS;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::operation;
use super::outgoing::{Message, PERSISTENT};
use crate::job::Rejection;

/// The headers of a dead letter that the service wrote: why, for programs and for people; when; where the request
/// had been published, and by whom when it said so.
pub(super) const ERROR: &str = "florin-error";
pub(super) const REASON: &str = "florin-reason";
pub(super) const TIME: &str = "florin-time";
pub(super) const EXCHANGE: &str = "florin-exchange";
pub(super) const ROUTING_KEY: &str = "florin-routing-key";
const USER_ID: &str = "florin-user-id";
/// Set on a request that was taken out of the dead-letter queue. The service takes it for one that was delivered
/// before: the same request, also without a `message_id`.
pub(super) const REQUEUED: &str = "florin-requeued";

/// Headers that begin so say something of earlier deliveries and deaths.
const OF_EARLIER_LIVES: [&str; 6] =
    ["florin-", "x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count"];
/// Headers that make the broker send a message to other queues, too.
const OTHER_ROUTES: [&str; 2] = ["CC", "BCC"];

/// A request as it was delivered.
#[derive(Debug)]
pub(super) enum Original {
    /// It can be had again: the broker has delivered it for the first time.
    NotKept,
    /// It was delivered before, or must not be worked on.
    Kept(Box<Request>),
    /// It is too long to be kept.
    TooLong,
}

/// A message and where it was published.
#[derive(Debug)]
pub(super) struct Request {
    exchange: ShortString,
    routing_key: ShortString,
    properties: BasicProperties,
    body: Vec<u8>,
}

/// Why a request is given up.
#[derive(Debug)]
pub(super) struct GivenUp {
    /// For programs.
    pub(super) error: &'static str,
    /// For people.
    pub(super) reason: String,
}

impl Original {
    /// Keeps what was delivered before, and what must not be worked on, unless it has more than `longest` bytes or was
    /// refused for its length.
    pub(super) fn of<T>(delivery: &Delivery, request: &Result<T, Rejection>, longest: usize) -> Self {
        match request {
            Err(Rejection::Barred { .. }) if delivery.data.len() > longest => return Self::TooLong,
            Err(Rejection::Barred { .. }) => {}
            _ if !delivery.redelivered => return Self::NotKept,
            Err(Rejection::Refused(Refusal { code: ErrorCode::TooLarge, .. })) => return Self::TooLong,
            _ => {}
        }
        Self::Kept(Box::new(Request {
            exchange: delivery.exchange.clone(),
            routing_key: delivery.routing_key.clone(),
            properties: delivery.properties.clone(),
            body: delivery.data.clone(),
        }))
    }
}

impl GivenUp {
    /// The broker closes the connection over the reply.
    pub(super) fn reply_to_refused(reply_to: &ShortString, words: &str) -> Self {
        let reason = format!(
            "the request was decided, but the broker closes the connection over its answer, to reply_to {:?}: \
             {words}",
            reply_to.as_str()
        );
        Self { error: "reply_to_refused", reason }
    }

    /// The broker closes the channel over the reply, wherever it goes.
    pub(super) fn reply_refused(words: &str) -> Self {
        let reason = format!("the request was decided, but the broker does not take its answer: {words}");
        Self { error: "reply_refused", reason }
    }

    /// The database refuses what the request asks for.
    pub(super) const fn data_refused(reason: String) -> Self {
        Self { error: "data_refused", reason }
    }
}

impl Request {
    /// Its dead letter. It goes to the queue by the queue's name: an exchange that is gone would cost the channel.
    pub(super) fn dead_letter(&self, given_up: &GivenUp) -> Message {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut headers = own_headers(&self.properties);
        let mut set = |name: &str, value| {
            headers.insert(name.into(), value);
        };
        set(ERROR, text(given_up.error));
        set(REASON, text(&given_up.reason));
        set(TIME, AMQPValue::Timestamp(now.as_secs()));
        let exchange = published_to(self.exchange.as_str(), &self.properties);
        let routing_key = match exchange {
            "" => &self.routing_key,
            _ => operation(self.exchange.as_str(), &self.routing_key, self.properties.kind().as_ref()),
        };
        set(EXCHANGE, text(exchange));
        set(ROUTING_KEY, text(routing_key.as_str()));
        if let Some(user_id) = self.properties.user_id() {
            set(USER_ID, text(user_id.as_str()));
        }
        Message {
            exchange: "",
            routing_key: DEAD_LETTERS.into(),
            body: self.body.clone(),
            properties: own_properties(&self.properties).with_headers(headers),
        }
    }
}

/// The properties that say something of the message itself, for sending it once more: without headers, the
/// expiration, which would take it away again, and the user, for the broker takes none but the one who sends.
pub(super) fn own_properties(properties: &BasicProperties) -> BasicProperties {
    type Set = fn(BasicProperties, ShortString) -> BasicProperties;
    let texts: [(&Option<ShortString>, Set); 8] = [
        (properties.content_type(), BasicProperties::with_content_type),
        (properties.content_encoding(), BasicProperties::with_content_encoding),
        (properties.correlation_id(), BasicProperties::with_correlation_id),
        (properties.reply_to(), BasicProperties::with_reply_to),
        (properties.message_id(), BasicProperties::with_message_id),
        (properties.kind(), BasicProperties::with_type),
        (properties.app_id(), BasicProperties::with_app_id),
        (properties.cluster_id(), BasicProperties::with_cluster_id),
    ];
    let mut own = BasicProperties::default().with_delivery_mode(PERSISTENT);
    for (text, set) in texts {
        if let Some(text) = text {
            own = set(own, text.clone());
        }
    }
    if let Some(priority) = properties.priority() {
        own = own.with_priority(*priority);
    }
    if let Some(timestamp) = properties.timestamp() {
        own = own.with_timestamp(*timestamp);
    }
    own
}

/// The headers that the client set, without those that would send the message to other queues as well.
pub(super) fn own_headers(properties: &BasicProperties) -> FieldTable {
    let mut own = FieldTable::default();
    for (name, value) in properties.headers().iter().flatten() {
        let of_earlier_lives = OF_EARLIER_LIVES.iter().any(|begin| name.as_str().starts_with(begin));
        if !of_earlier_lives && !OTHER_ROUTES.contains(&name.as_str()) {
            own.insert(name.clone(), value.clone());
        }
    }
    own
}

/// Whether a request was taken out of the dead-letter queue.
pub(super) fn is_requeued(properties: &BasicProperties) -> bool {
    properties.headers().as_ref().is_some_and(|headers| headers.inner().contains_key(REQUEUED))
}

/// The exchange that a client published the request to: a requeued one comes by the default exchange, with the name in
/// a header. Others may set that header too: it decides on nothing but their own unknown fields.
pub(super) fn published_to<'a>(exchange: &'a str, properties: &'a BasicProperties) -> &'a str {
    if !exchange.is_empty() || !is_requeued(properties) {
        return exchange;
    }
    let headers = properties.headers().as_ref();
    match headers.and_then(|headers| headers.inner().get(EXCHANGE)) {
        Some(AMQPValue::LongString(name)) => std::str::from_utf8(name.as_bytes()).unwrap_or_default(),
        _ => exchange,
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}
