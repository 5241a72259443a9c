//! One dead letter: what it is, and why it is here.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use sha2::{Digest, Sha256};

use super::headers::{
    ERROR, EXCHANGE, REASON, REQUEUED, ROUTING_KEY, TIME, own_headers, own_properties, string, timestamp,
};
use super::origin::published_to;
use crate::operation;

/// Hexadecimal digits of an id.
const ID_DIGITS: usize = 12;

/// A message of the dead-letter queue.
#[derive(Debug)]
pub struct DeadLetter {
    delivery_tag: u64,
    /// A short hash of its content: the same at every reading.
    pub id: String,
    /// The operation, as the client wrote it.
    pub operation: ShortString,
    /// The exchange that it was published to.
    pub exchange: String,
    /// The routing key that it was published with.
    pub routing_key: ShortString,
    /// Why it is here: a stable code.
    pub error: String,
    /// Why it is here, for people.
    pub reason: String,
    /// When it was dead-lettered, in seconds since 1970.
    pub died_at: Option<u64>,
    pub properties: BasicProperties,
    pub body: Vec<u8>,
}

/// How the broker moved a message to a dead-letter queue: an entry of its header `x-death`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// The broker's reason, such as `expired`.
    pub reason: String,
    /// The queue that it was in.
    pub queue: String,
    /// The exchange that it was published to.
    pub exchange: String,
    /// When, in seconds since 1970.
    pub at: Option<u64>,
    /// How often.
    pub count: i64,
}

impl DeadLetter {
    pub(super) fn new(delivery: Delivery) -> Self {
        let Delivery { delivery_tag, exchange, routing_key, properties, data: body, .. } = delivery;
        let mut letter = Self {
            delivery_tag,
            id: String::new(),
            operation: ShortString::default(),
            exchange: exchange.to_string(),
            routing_key,
            error: "unknown".to_owned(),
            reason: "no reason is recorded".to_owned(),
            died_at: None,
            properties,
            body,
        };
        letter.read_reason();
        let kind = letter.properties.kind().as_ref();
        letter.operation = operation(&letter.exchange, &letter.routing_key, kind).clone();
        letter.id = letter.hash();
        letter
    }

    pub(super) const fn delivery_tag(&self) -> u64 {
        self.delivery_tag
    }

    /// Reads the reason, the time and the origin from the headers.
    fn read_reason(&mut self) {
        let headers = self.properties.headers().clone().unwrap_or_default();
        // The service publishes to the queue by its name. What the broker moved came through an exchange,
        // which kept the routing key; there, headers like the service's can be anybody's.
        if let Some(error) = string(&headers, ERROR).filter(|_| self.exchange.is_empty()) {
            self.error = error;
            self.reason = string(&headers, REASON).unwrap_or_default();
            self.died_at = timestamp(&headers, TIME);
            self.exchange = string(&headers, EXCHANGE).unwrap_or_default();
            let routing_key = string(&headers, ROUTING_KEY).unwrap_or_default();
            self.routing_key = ShortString::try_new(routing_key).unwrap_or_default();
        } else if let Some(death) = self.deaths().into_iter().next() {
            self.reason = death.in_words();
            self.error = death.reason;
            self.died_at = death.at;
            self.exchange = death.exchange;
        }
    }

    /// The broker's moves of this message, newest first.
    #[must_use]
    pub fn deaths(&self) -> Vec<Death> {
        let headers = self.properties.headers().as_ref();
        let Some(AMQPValue::FieldArray(entries)) = headers.and_then(|headers| headers.inner().get("x-death"))
        else {
            return Vec::new();
        };
        let tables = entries.as_slice().iter().filter_map(|entry| match entry {
            AMQPValue::FieldTable(table) => Some(Death::of(table)),
            _ => None,
        });
        tables.collect()
    }

    /// Whether `name` means this letter: its id, the beginning of its id, or its `message_id`.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.id.starts_with(name) || self.message_id() == Some(name)
    }

    /// The client's own identity for the request.
    #[must_use]
    pub fn message_id(&self) -> Option<&str> {
        self.properties.message_id().as_ref().map(ShortString::as_str)
    }

    /// The properties to send it to the work queue with, by the queue's name: what the service decodes is the
    /// same, but for the reply address if nobody is to be answered.
    pub(super) fn requeued(&self, with_reply: bool) -> BasicProperties {
        let (mut headers, _) = own_headers(&self.properties);
        headers.insert(REQUEUED.into(), AMQPValue::Boolean(true));
        let exchange = published_to(&self.exchange, &self.properties);
        headers.insert(EXCHANGE.into(), AMQPValue::LongString(exchange.into()));
        own_properties(&self.properties, with_reply).with_type(self.operation.clone()).with_headers(headers)
    }

    /// A hash over what the service decodes and the time of death, so that equal requests differ.
    fn hash(&self) -> String {
        let died_at = self.died_at.unwrap_or_default().to_be_bytes();
        let properties =
            [self.properties.message_id(), self.properties.reply_to(), self.properties.correlation_id()];
        let texts = properties.map(|text| text.as_ref().map_or(&b""[..], |text| text.as_str().as_bytes()));
        let mut hash = Sha256::new();
        for part in [self.operation.as_str().as_bytes(), &self.body, &died_at].into_iter().chain(texts) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        digits[..ID_DIGITS].to_owned()
    }
}

impl Death {
    fn of(entry: &FieldTable) -> Self {
        let count = match entry.inner().get("count") {
            Some(AMQPValue::LongLongInt(count)) => *count,
            Some(AMQPValue::LongInt(count)) => (*count).into(),
            _ => 1,
        };
        Self {
            reason: string(entry, "reason").unwrap_or_default(),
            queue: string(entry, "queue").unwrap_or_default(),
            exchange: string(entry, "exchange").unwrap_or_default(),
            at: timestamp(entry, "time"),
            count,
        }
    }

    /// The broker's reason in words.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self.reason.as_str() {
            "rejected" => "the service could not publish a copy with the reason; its log has the reason".to_owned(),
            "delivery_limit" => {
                "it reached the delivery limit: each time, the connection or the service failed before it was \
                 answered"
                    .to_owned()
            }
            "expired" => "its expiration passed before it was delivered".to_owned(),
            "maxlen" => "the queue was full".to_owned(),
            other => format!("the broker says {other:?}"),
        }
    }
}
