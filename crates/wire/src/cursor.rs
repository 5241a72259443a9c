//! A place in a history as text: the `next` of a page, sent back as `before`.
//!
//! Opaque to clients: the time in microseconds, the ticker's key and the number of the posting, in
//! hexadecimal digits.

use florin_ledger::Cursor;

use crate::time::{from_micros, to_micros};

pub(crate) fn to_text(cursor: &Cursor) -> String {
    let micros = to_micros(cursor.created_at);
    format!("{micros:016x}{:08x}{:016x}", cursor.ticker_id, cursor.version)
}

/// Accepts only what [`to_text`] writes: keys and versions start at 1.
pub(crate) fn parse(text: &str) -> Option<Cursor> {
    let plain = text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let plain = plain.then_some(text)?;
    let micros = u64::from_str_radix(&plain[..16], 16).ok()?.cast_signed();
    let ticker_id = u32::from_str_radix(&plain[16..24], 16).ok()?.cast_signed();
    let version = u64::from_str_radix(&plain[24..], 16).ok()?.cast_signed();
    if ticker_id < 1 || version < 1 {
        return None;
    }
    let created_at = from_micros(micros)?;
    Some(Cursor { created_at, ticker_id, version })
}
