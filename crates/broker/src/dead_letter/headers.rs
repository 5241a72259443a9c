//! The headers of a dead letter, and the properties that are the client's own.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::outgoing::PERSISTENT;

/// Written by the service: the error code, the reason in words, when; where the request was published, and by
/// which user.
pub(super) const ERROR: &str = "florin-error";
pub(super) const REASON: &str = "florin-reason";
pub(super) const TIME: &str = "florin-time";
pub(super) const EXCHANGE: &str = "florin-exchange";
pub(super) const ROUTING_KEY: &str = "florin-routing-key";
pub(super) const USER_ID: &str = "florin-user-id";
/// Set when a letter is requeued. The service then takes the request for a redelivery: the same request, even
/// without a `message_id`.
pub(crate) const REQUEUED: &str = "florin-requeued";

/// How many of the client's own headers were left out.
pub(super) const LEFT_OUT: &str = "florin-headers-left-out";

/// The client's own headers that go along: so many, so long each, and so long together.
const MAX_HEADERS: usize = 32;
const MAX_TEXT_BYTES: usize = 1024;
const MAX_BYTES: usize = 8192;

/// Prefixes of headers that the broker or the service added.
const ADDED: [&str; 6] =
    ["florin-", "x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count"];
/// Headers that make the broker route a message to more queues.
const ROUTING: [&str; 2] = ["CC", "BCC"];

/// The properties that the client set, for publishing the message again. Left out are the headers; the
/// expiration, which would remove it again; and the user, because the broker accepts only the publisher's
/// own. The reply address may be left out, too.
pub(super) fn own_properties(properties: &BasicProperties, with_reply_to: bool) -> BasicProperties {
    type Set = fn(BasicProperties, ShortString) -> BasicProperties;
    let reply_to = if with_reply_to { properties.reply_to() } else { &None };
    let texts: [(&Option<ShortString>, Set); 8] = [
        (properties.content_type(), BasicProperties::with_content_type),
        (properties.content_encoding(), BasicProperties::with_content_encoding),
        (properties.correlation_id(), BasicProperties::with_correlation_id),
        (reply_to, BasicProperties::with_reply_to),
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

/// The client's own headers that go along with a copy of its message, and how many do not. Only flat values
/// go along, few and short: what the client nested costs the broker and every reader again whenever it is
/// published. Headers that route to more queues stay behind as well.
pub(super) fn own_headers(properties: &BasicProperties) -> (FieldTable, u32) {
    let (mut own, mut left_out, mut bytes) = (FieldTable::default(), 0, 0);
    for (name, value) in properties.headers().iter().flatten() {
        if ADDED.iter().any(|prefix| name.as_str().starts_with(prefix)) {
            continue;
        }
        let size = flat_bytes(value).filter(|_| !ROUTING.contains(&name.as_str()));
        match size.map(|size| bytes + name.as_str().len() + size) {
            Some(total) if total <= MAX_BYTES && own.inner().len() < MAX_HEADERS => {
                bytes = total;
                own.insert(name.clone(), value.clone());
            }
            _ => left_out += 1,
        }
    }
    (own, left_out)
}

/// The size of a value that is not nested, a short text at most.
fn flat_bytes(value: &AMQPValue) -> Option<usize> {
    match value {
        AMQPValue::Boolean(_)
        | AMQPValue::ShortShortInt(_)
        | AMQPValue::ShortShortUInt(_)
        | AMQPValue::ShortInt(_)
        | AMQPValue::ShortUInt(_)
        | AMQPValue::LongInt(_)
        | AMQPValue::LongUInt(_)
        | AMQPValue::LongLongInt(_)
        | AMQPValue::Timestamp(_) => Some(size_of::<u64>()),
        AMQPValue::LongString(text) => Some(text.as_bytes().len()).filter(|length| *length <= MAX_TEXT_BYTES),
        _ => None,
    }
}

pub(super) fn string(table: &FieldTable, name: &str) -> Option<String> {
    match table.inner().get(name) {
        Some(AMQPValue::LongString(text)) => Some(text.to_string()),
        _ => None,
    }
}

pub(super) fn timestamp(table: &FieldTable, name: &str) -> Option<u64> {
    match table.inner().get(name) {
        Some(AMQPValue::Timestamp(seconds)) => Some(*seconds),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(headers: impl IntoIterator<Item = (String, AMQPValue)>) -> (Vec<String>, u32) {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert(name.into(), value);
        }
        let (own, left_out) = own_headers(&BasicProperties::default().with_headers(table));
        (own.inner().keys().map(ToString::to_string).collect(), left_out)
    }

    fn text(length: usize) -> AMQPValue {
        AMQPValue::LongString("x".repeat(length).into())
    }

    #[test]
    fn only_flat_headers_of_a_client_go_along() {
        let values = [
            ("tenant", text(MAX_TEXT_BYTES)),
            ("count", AMQPValue::LongInt(-1)),
            ("at", AMQPValue::Timestamp(1)),
            ("urgent", AMQPValue::Boolean(true)),
            ("long", text(MAX_TEXT_BYTES + 1)),
            ("table", AMQPValue::FieldTable(FieldTable::default())),
            ("array", AMQPValue::FieldArray(Vec::new().into())),
            ("bytes", AMQPValue::ByteArray(Vec::new().into())),
            ("void", AMQPValue::Void),
            ("CC", text(1)),
            ("florin-error", text(1)),
            ("x-death", AMQPValue::FieldArray(Vec::new().into())),
        ];
        let (own, left_out) = own(values.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!((own, left_out), (["at", "count", "tenant", "urgent"].map(str::to_owned).to_vec(), 6));
    }

    #[test]
    fn they_are_few_and_short() {
        let many = (0..100).map(|number| (format!("h{number:02}"), AMQPValue::LongInt(1)));
        let (kept, left_out) = own(many);
        assert_eq!((kept.len(), left_out), (MAX_HEADERS, 68));
        let long = (0..20).map(|number| (format!("h{number:02}"), text(MAX_TEXT_BYTES)));
        let (kept, left_out) = own(long);
        assert_eq!((kept.len(), left_out), (7, 13));
    }
}
