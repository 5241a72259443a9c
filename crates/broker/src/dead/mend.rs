//! Reads what the codec refuses, by mending it: bytes that are not UTF-8 become `?`, headers that cannot be read
//! are left out. What was mended is told by its name.

use amq_protocol::frame::AMQPContentHeader;
use amq_protocol::frame::parsing::parse_content_header;
use amq_protocol::protocol::basic::{self, AMQPMethod as Basic};
use amq_protocol::protocol::{AMQPClass, parse_class};
use amq_protocol::types::parsing::parse_field_table;
use lapin::types::ShortString;

use super::Error;

/// A method, read.
#[derive(Debug)]
pub(super) enum Method {
    /// A message follows.
    Message(Envelope),
    /// Anything else.
    Other(AMQPClass),
}

/// What is said before a message.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) delivery_tag: u64,
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) mended: Vec<&'static str>,
}

/// Class and method of `basic.deliver` and `basic.get-ok`.
const DELIVER: [u8; 4] = [0, 60, 0, 60];
const GET_OK: [u8; 4] = [0, 60, 0, 71];
/// The delivery tag, and whether the message was delivered before.
const BEFORE_NAMES: usize = 8 + 1;
/// Class, weight and size of the body stand before the flags, which say which properties there are.
const FLAGS_AT: usize = 12;
/// The properties in their order.
const PROPERTIES: [(&str, Kind); 14] = [
    ("content_type", Kind::Text),
    ("content_encoding", Kind::Text),
    ("headers", Kind::Table),
    ("delivery_mode", Kind::Bytes(1)),
    ("priority", Kind::Bytes(1)),
    ("correlation_id", Kind::Text),
    ("reply_to", Kind::Text),
    ("expiration", Kind::Text),
    ("message_id", Kind::Text),
    ("timestamp", Kind::Bytes(8)),
    ("type", Kind::Text),
    ("user_id", Kind::Text),
    ("app_id", Kind::Text),
    ("cluster_id", Kind::Text),
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Table,
    Bytes(usize),
}

/// Reads a method.
pub(super) fn method(mut payload: Vec<u8>) -> Result<Method, Error> {
    let mended = mend_envelope(&mut payload).unwrap_or_default();
    let Ok((_, method)) = parse_class(payload.as_slice()) else {
        return Err(Error::Protocol("a method that cannot be read"));
    };
    Ok(match method {
        AMQPClass::Basic(Basic::Deliver(deliver)) => {
            let basic::Deliver { delivery_tag, exchange, routing_key, .. } = deliver;
            Method::Message(Envelope { delivery_tag, exchange, routing_key, mended })
        }
        AMQPClass::Basic(Basic::GetOk(got)) => {
            let basic::GetOk { delivery_tag, exchange, routing_key, .. } = got;
            Method::Message(Envelope { delivery_tag, exchange, routing_key, mended })
        }
        other => Method::Other(other),
    })
}

/// The consumer tag of a delivery, the delivery tag, whether it was delivered before, the exchange, the routing
/// key. None when it is something else.
fn mend_envelope(payload: &mut [u8]) -> Option<Vec<&'static str>> {
    let delivery_tag_at = match *payload.first_chunk()? {
        DELIVER => mend_text(payload, DELIVER.len())?.0,
        GET_OK => GET_OK.len(),
        _ => return None,
    };
    let (routing_key_at, exchange) = mend_text(payload, delivery_tag_at + BEFORE_NAMES)?;
    let (_, routing_key) = mend_text(payload, routing_key_at)?;
    let names = [exchange.then_some("exchange"), routing_key.then_some("routing key")];
    Some(names.into_iter().flatten().collect())
}

/// Reads the header of a message, and tells what was mended.
pub(super) fn header(mut payload: Vec<u8>) -> Result<(AMQPContentHeader, Vec<&'static str>), Error> {
    let mut mended = Vec::new();
    if parse_content_header(payload.as_slice()).is_err() {
        mended = mend_header(&mut payload).unwrap_or_default();
    }
    match parse_content_header(payload.as_slice()) {
        Ok((_, header)) => Ok((header, mended)),
        Err(_) => Err(Error::Protocol("a header that cannot be read")),
    }
}

fn mend_header(payload: &mut Vec<u8>) -> Option<Vec<&'static str>> {
    let flags = u16::from_be_bytes(payload.get(FLAGS_AT..FLAGS_AT + 2)?.try_into().ok()?);
    let mut at = FLAGS_AT + 2;
    let mut mended = Vec::new();
    for (number, (name, kind)) in PROPERTIES.into_iter().enumerate() {
        if flags & (1 << (15 - number)) == 0 {
            continue;
        }
        let (after, was_mended) = match kind {
            Kind::Text => mend_text(payload, at)?,
            Kind::Table => mend_table(payload, at)?,
            Kind::Bytes(count) => (at + count, false),
        };
        at = after;
        mended.extend(was_mended.then_some(name));
    }
    Some(mended)
}

/// Replaces what is not UTF-8 in the text at this place. Gives the place after it.
fn mend_text(payload: &mut [u8], at: usize) -> Option<(usize, bool)> {
    let after = at + 1 + usize::from(*payload.get(at)?);
    let text = payload.get_mut(at + 1..after)?;
    let mut mended = false;
    while let Err(error) = std::str::from_utf8(text) {
        text[error.valid_up_to()] = b'?';
        mended = true;
    }
    Some((after, mended))
}

/// Empties the table at this place when it cannot be read. Gives the place after it.
fn mend_table(payload: &mut Vec<u8>, at: usize) -> Option<(usize, bool)> {
    let size = u32::from_be_bytes(payload.get(at..at + 4)?.try_into().ok()?);
    let after = at + 4 + usize::try_from(size).ok()?;
    if parse_field_table(payload.get(at..after)?).is_ok() {
        return Some((after, false));
    }
    payload.splice(at..after, [0; 4]);
    Some((at + 4, true))
}
