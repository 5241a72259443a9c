//! Single frames: which ones lapin cannot read, and what stands in their place.

use super::values::{Bytes, MAX_DEPTH, is_readable, is_readable_table, is_text};

/// The header that names the properties that were left out of a message because they cannot be decoded.
pub const UNDECODABLE: &str = "florin-undecodable";

pub(super) const METHOD: u8 = 1;
pub(super) const HEADER: u8 = 2;
/// Type, channel and length.
pub(super) const START_BYTES: usize = 7;
pub(super) const END_BYTES: usize = 1;

/// The class of all methods that carry messages.
const BASIC: u16 = 60;
const DELIVER: u16 = 60;
const GET_OK: u16 = 71;
/// Longer headers are left out of a message that has to be rewritten, so that its frame does not grow beyond
/// the limit.
const MAX_KEPT_HEADERS_BYTES: usize = 65_536;
const HEADERS: usize = 2;
/// The lowest bits of the flags stand for no property.
const NO_PROPERTY: u16 = 0b11;

enum Kind {
    Text,
    Table,
    Octet,
    Time,
}

/// The properties of a message in their order. Their flags begin with the highest bit.
const PROPERTIES: [(&str, Kind); 14] = [
    ("content_type", Kind::Text),
    ("content_encoding", Kind::Text),
    ("headers", Kind::Table),
    ("delivery_mode", Kind::Octet),
    ("priority", Kind::Octet),
    ("correlation_id", Kind::Text),
    ("reply_to", Kind::Text),
    ("expiration", Kind::Text),
    ("message_id", Kind::Text),
    ("timestamp", Kind::Time),
    ("type", Kind::Text),
    ("user_id", Kind::Text),
    ("app_id", Kind::Text),
    ("cluster_id", Kind::Text),
];

/// What stands in place of a whole frame, if lapin cannot read it.
pub(super) fn readable(frame: &[u8]) -> Option<Vec<u8>> {
    let payload = frame.get(START_BYTES..frame.len().checked_sub(END_BYTES)?)?;
    let readable = match *frame.first()? {
        METHOD => readable_method(payload)?,
        HEADER => readable_header(payload)?,
        _ => return None,
    };
    let length = u32::try_from(readable.len()).ok()?;
    let (start, end) = (frame.get(..START_BYTES - 4)?, frame.get(START_BYTES + payload.len()..)?);
    Some([start, &length.to_be_bytes(), &readable, end].concat())
}

/// The names of the exchange and the routing key in a delivery.
fn readable_method(payload: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Bytes(payload);
    if rest.u16()? != BASIC {
        return None;
    }
    match rest.u16()? {
        DELIVER => rest.short().map(drop)?,
        GET_OK => {}
        _ => return None,
    }
    let _delivery_tag_and_redelivered = rest.take(9)?;
    let names = payload.len() - rest.0.len();
    let (exchange, routing_key) = (rest.short()?, rest.short()?);
    if is_text(exchange) && is_text(routing_key) {
        return None;
    }
    let mut readable = payload[..names].to_vec();
    for name in [exchange, routing_key] {
        readable.push(name[0]);
        for chunk in name[1..].utf8_chunks() {
            readable.extend(chunk.valid().as_bytes());
            readable.extend(std::iter::repeat_n(b'?', chunk.invalid().len()));
        }
    }
    readable.extend(rest.0);
    Some(readable)
}

/// The properties of a message.
fn readable_header(payload: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Bytes(payload);
    if rest.u16()? != BASIC {
        return None;
    }
    let _weight_and_body_size = rest.take(10)?;
    let before_flags = payload.len() - rest.0.len();
    let flags = rest.u16()?;
    let mut all_readable = true;
    let complete = each_property(flags, rest, |_, _, is_readable| all_readable &= is_readable);
    if complete.is_some() && all_readable {
        return None;
    }
    let (flags, values) = rewritten(flags, rest);
    Some([&payload[..before_flags], &flags.to_be_bytes(), &values].concat())
}

/// Calls `each` with the place of every property, its bytes, and whether lapin can decode it. None if it is
/// not even clear where they end.
fn each_property<'a>(
    flags: u16,
    mut rest: Bytes<'a>,
    mut each: impl FnMut(usize, &'a [u8], bool),
) -> Option<()> {
    if flags & NO_PROPERTY != 0 {
        return None;
    }
    for (place, (_, kind)) in PROPERTIES.iter().enumerate() {
        if flags & flag(place) == 0 {
            continue;
        }
        let (value, is_readable) = match kind {
            Kind::Text => rest.short().map(|text| (text, is_text(text)))?,
            Kind::Table => rest.long().map(|table| (table, is_readable_table(&table[4..], MAX_DEPTH)))?,
            Kind::Octet => (rest.take(1)?, true),
            Kind::Time => (rest.take(8)?, true),
        };
        each(place, value, is_readable);
    }
    rest.is_empty().then_some(())
}

const fn flag(place: usize) -> u16 {
    1 << (15 - place)
}

/// The flags and values of what can be decoded, with the names of what cannot.
fn rewritten(flags: u16, properties: Bytes<'_>) -> (u16, Vec<u8>) {
    let mut kept: [&[u8]; PROPERTIES.len()] = Default::default();
    let mut headers = Vec::new();
    let mut undecodable = Vec::new();
    let complete = each_property(flags, properties, |place, value, is_readable| match (place, is_readable) {
        (HEADERS, _) => match readable_headers(&value[4..]) {
            Some(readable) => headers = readable,
            None => undecodable.push(PROPERTIES[place].0),
        },
        (_, true) => kept[place] = value,
        (_, false) => undecodable.push(PROPERTIES[place].0),
    });
    if complete.is_none() {
        kept = Default::default();
        headers.clear();
        undecodable = vec!["properties"];
    }
    if headers.len() > MAX_KEPT_HEADERS_BYTES {
        headers.clear();
        undecodable.push(PROPERTIES[HEADERS].0);
    }
    if !undecodable.is_empty() {
        add_text(&mut headers, UNDECODABLE, &undecodable.join(", "));
    }
    let length = u32::try_from(headers.len()).unwrap_or_default().to_be_bytes();
    let table = [&length[..], &headers].concat();
    if !headers.is_empty() {
        kept[HEADERS] = &table;
    }
    let present = kept.iter().enumerate().filter(|(_, value)| !value.is_empty());
    (present.fold(0, |flags, (place, _)| flags | flag(place)), kept.concat())
}

/// The same headers; a value that cannot be decoded, or is nested too deep, is void. None if it is not clear
/// where they end, or a name cannot be decoded.
fn readable_headers(table: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Bytes(table);
    let mut readable = Vec::new();
    while !rest.is_empty() {
        let (name, value) = (rest.short()?, rest.value()?);
        if !is_text(name) {
            return None;
        }
        readable.extend(name);
        readable.extend(if is_readable(value, MAX_DEPTH) { value } else { b"V" });
    }
    Some(readable)
}

fn add_text(table: &mut Vec<u8>, name: &str, text: &str) {
    table.push(u8::try_from(name.len()).unwrap_or_default());
    table.extend(name.as_bytes());
    table.push(b'S');
    table.extend(u32::try_from(text.len()).unwrap_or_default().to_be_bytes());
    table.extend(text.as_bytes());
}
