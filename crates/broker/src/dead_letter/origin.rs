//! Where the client published a request.

use std::borrow::Cow;

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::headers::{ERROR, EXCHANGE, REQUEUED, ROUTING_KEY};
use crate::operation;

/// Where the client published a request. A dead letter that is back in the work queue came through the
/// default exchange: `florin dead requeue` sends it there, and so does RabbitMQ's "Move messages" (a shovel).
/// Then its headers say what it was.
///
/// A client may set these headers too. It then decides for its own request what it asks for, which it may
/// anyway, and that it may have been applied before, which costs it a look.
#[derive(Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) exchange: &'a str,
    pub(crate) routing_key: Cow<'a, ShortString>,
    /// Whether it was a dead letter, and so may have been applied.
    pub(crate) was_dead: bool,
}

impl<'a> Origin<'a> {
    pub(crate) fn of(delivery: &'a Delivery, work_queue: &str) -> Self {
        let Delivery { exchange, routing_key, properties, .. } = delivery;
        let was_dead = is_requeued(properties);
        let published =
            Self { exchange: exchange.as_str(), routing_key: Cow::Borrowed(routing_key), was_dead };
        let Some(headers) = properties.headers().as_ref().filter(|_| exchange.as_str().is_empty()) else {
            return published;
        };
        if !was_dead {
            return moved(headers, work_queue).unwrap_or(published);
        }
        match (published_to("", properties), properties.kind()) {
            ("", _) | (_, None) => published,
            (exchange, Some(operation)) => Self { exchange, routing_key: Cow::Borrowed(operation), was_dead },
        }
    }

    /// What it asks for.
    pub(crate) fn operation<'b>(&'b self, kind: Option<&'b ShortString>) -> &'b ShortString {
        operation(self.exchange, &self.routing_key, kind)
    }
}

/// Of a letter that was moved as it was: written by the service, or by the broker when the request left the
/// work queue.
fn moved<'a>(headers: &'a FieldTable, work_queue: &str) -> Option<Origin<'a>> {
    let (exchange, routing_key) = if headers.inner().contains_key(ERROR) {
        (text(headers, EXCHANGE)?, text(headers, ROUTING_KEY)?)
    } else {
        let AMQPValue::FieldArray(deaths) = headers.inner().get("x-death")? else { return None };
        let Some(AMQPValue::FieldTable(death)) = deaths.as_slice().first() else { return None };
        let AMQPValue::FieldArray(keys) = death.inner().get("routing-keys")? else { return None };
        let Some(AMQPValue::LongString(key)) = keys.as_slice().first() else { return None };
        if text(death, "queue")? != work_queue {
            return None;
        }
        (text(death, "exchange")?, str::from_utf8(key.as_bytes()).ok()?)
    };
    let routing_key = Cow::Owned(ShortString::try_new(routing_key).ok()?);
    Some(Origin { exchange, routing_key, was_dead: true })
}

/// Whether a request was requeued from the dead-letter queue.
pub(crate) fn is_requeued(properties: &BasicProperties) -> bool {
    properties.headers().as_ref().is_some_and(|headers| headers.inner().contains_key(REQUEUED))
}

/// The exchange that the client published a request to. A requeued one arrives through the default exchange,
/// with the name in a header.
pub(super) fn published_to<'a>(exchange: &'a str, properties: &'a BasicProperties) -> &'a str {
    if !exchange.is_empty() || !is_requeued(properties) {
        return exchange;
    }
    let headers = properties.headers().as_ref();
    headers.and_then(|headers| text(headers, EXCHANGE)).unwrap_or_default()
}

fn text<'a>(table: &'a FieldTable, name: &str) -> Option<&'a str> {
    match table.inner().get(name)? {
        AMQPValue::LongString(text) => str::from_utf8(text.as_bytes()).ok(),
        _ => None,
    }
}
