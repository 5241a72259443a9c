//! The headers of a dead letter, and the properties that are the client's own.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::outgoing::PERSISTENT;

/// Written by the service: the error code, the reason in words, when; where the request was published, and
/// by which user.
pub(super) const ERROR: &str = "florin-error";
pub(super) const REASON: &str = "florin-reason";
pub(super) const TIME: &str = "florin-time";
pub(super) const EXCHANGE: &str = "florin-exchange";
pub(super) const ROUTING_KEY: &str = "florin-routing-key";
pub(super) const USER_ID: &str = "florin-user-id";
/// Set when a letter is requeued. The service then takes the request for a redelivery: the same request, even
/// without a `message_id`.
pub(crate) const REQUEUED: &str = "florin-requeued";

/// Prefixes of headers that the broker or the service added.
const ADDED: [&str; 6] =
    ["florin-", "x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count"];
/// Headers that make the broker route a message to more queues.
const ROUTING: [&str; 2] = ["CC", "BCC"];

/// The properties that the client set, for publishing the message again. Left out are the headers; the
/// expiration, which would expire it again; and the user, because the broker accepts only the publisher's
/// own.
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

/// The headers that the client set, without those that route to more queues.
pub(super) fn own_headers(properties: &BasicProperties) -> FieldTable {
    let mut own = FieldTable::default();
    for (name, value) in properties.headers().iter().flatten() {
        let was_added = ADDED.iter().any(|prefix| name.as_str().starts_with(prefix));
        if !was_added && !ROUTING.contains(&name.as_str()) {
            own.insert(name.clone(), value.clone());
        }
    }
    own
}

/// Whether a request was requeued from the dead-letter queue.
pub(crate) fn is_requeued(properties: &BasicProperties) -> bool {
    properties.headers().as_ref().is_some_and(|headers| headers.inner().contains_key(REQUEUED))
}

/// The exchange that the client published a request to. A requeued one arrives through the default
/// exchange, with the name in a header. A client may set that header too: it only decides what happens to
/// its own unknown fields.
pub(crate) fn published_to<'a>(exchange: &'a str, properties: &'a BasicProperties) -> &'a str {
    if !exchange.is_empty() || !is_requeued(properties) {
        return exchange;
    }
    let headers = properties.headers().as_ref();
    match headers.and_then(|headers| headers.inner().get(EXCHANGE)) {
        Some(AMQPValue::LongString(name)) => std::str::from_utf8(name.as_bytes()).unwrap_or_default(),
        _ => exchange,
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
