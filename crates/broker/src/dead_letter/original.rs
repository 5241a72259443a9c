//! What the service keeps of a request in case it has to be dead-lettered, and the letter that it writes
//! then.
//!
//! The broker can move a message to the dead-letter queue, but it cannot say why. So the service publishes a
//! copy with the reason in its headers, and acknowledges the original once the copy is confirmed. A crash in
//! between leaves two letters, never none.
//!
//! A copy needs the message as it was delivered, and the consumer drops that after decoding. Keeping every
//! message for the few that are dead-lettered would cost memory, so a request that fails on its first
//! delivery is requeued, and redelivered requests are kept. A request that is not allowed is known at once,
//! and kept at once.

use std::time::{SystemTime, UNIX_EPOCH};

use florin_ledger::ErrorCode;
use florin_wire::Refusal;
use florin_wire::names::DEAD_LETTERS;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, ShortString};

use super::headers::{
    ERROR, EXCHANGE, LEFT_OUT, REASON, ROUTING_KEY, TIME, USER_ID, own_headers, own_properties,
};
use super::{Origin, Reason};
use crate::job::Rejection;
use crate::outgoing::Message;
use crate::topology::text;

/// What is kept of a request.
#[derive(Debug)]
pub(crate) enum Original {
    /// Nothing yet: the request is requeued, and kept when it is redelivered.
    NotKept,
    Kept(Box<Request>),
    /// Nothing: it is too long to keep, and only the broker can dead-letter it.
    TooLong,
}

/// A message and where it was published.
#[derive(Debug)]
pub(crate) struct Request {
    exchange: String,
    routing_key: ShortString,
    properties: BasicProperties,
    body: Vec<u8>,
}

impl Original {
    /// Keeps redelivered and not allowed requests, unless they are longer than `max_bytes` or were refused
    /// for their length.
    pub(crate) fn of<T>(
        delivery: &Delivery,
        origin: Origin<'_>,
        request: &Result<T, Rejection>,
        max_bytes: usize,
    ) -> Self {
        match request {
            Err(Rejection::NotAllowed { .. }) if delivery.data.len() > max_bytes => return Self::TooLong,
            Err(Rejection::NotAllowed { .. }) => {}
            _ if !delivery.redelivered => return Self::NotKept,
            Err(Rejection::Refused(Refusal { code: ErrorCode::TooLarge, .. })) => return Self::TooLong,
            _ => {}
        }
        Self::Kept(Box::new(Request {
            exchange: origin.exchange.to_owned(),
            routing_key: origin.routing_key.into_owned(),
            properties: delivery.properties.clone(),
            body: delivery.data.clone(),
        }))
    }
}

impl Request {
    /// The dead letter. It goes to the queue by name: a missing exchange would close the channel.
    pub(crate) fn dead_letter(&self, reason: &Reason) -> Message {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (mut headers, left_out) = own_headers(&self.properties);
        let mut set = |name: &str, value| {
            headers.insert(name.into(), value);
        };
        set(ERROR, text(reason.error));
        set(REASON, text(&reason.reason));
        set(TIME, AMQPValue::Timestamp(now.as_secs()));
        set(EXCHANGE, text(&self.exchange));
        set(ROUTING_KEY, text(self.routing_key.as_str()));
        if left_out > 0 {
            set(LEFT_OUT, AMQPValue::LongLongInt(left_out.into()));
        }
        if let Some(user_id) = self.properties.user_id() {
            set(USER_ID, text(user_id.as_str()));
        }
        Message {
            exchange: "",
            routing_key: DEAD_LETTERS.into(),
            body: self.body.clone(),
            properties: own_properties(&self.properties, true).with_headers(headers),
        }
    }
}
