//! Metadata that a client keeps with a transaction: any JSON object, to the byte, within limits.
//!
//! They are kept to the byte, but compared by their meaning ([`canonical`]): a retry may come from a library
//! that writes the same object in another way.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::fields::Name;
use crate::number::Number;
use crate::refusal::Refusal;

const MAX_BYTES: usize = 4096;
const MAX_DEPTH: usize = 32;

/// The text of the metadata, if it is an object within the limits and every reader can hold its strings.
pub(crate) fn check(raw: &RawValue) -> Result<&str, Refusal> {
    let json = raw.get();
    if !json.starts_with('{') {
        return Err(Refusal::malformed("metadata must be a JSON object"));
    }
    if json.len() > MAX_BYTES {
        let reason = format!("metadata has {} bytes; the limit is {MAX_BYTES}", json.len());
        return Err(Refusal::malformed(reason));
    }
    let mut depth = 0;
    let mut rest = json;
    while let Some(at) = rest.find(['"', '{', '[', '}', ']']) {
        match rest.as_bytes()[at] {
            b'"' => {
                let end = at + string_length(&rest[at..]);
                check_string(&rest[at..end])?;
                rest = &rest[end..];
                continue;
            }
            b'{' | b'[' => depth += 1,
            _ => depth -= 1,
        }
        if depth > MAX_DEPTH {
            return Err(Refusal::malformed(format!("metadata is nested deeper than {MAX_DEPTH} levels")));
        }
        rest = &rest[at + 1..];
    }
    Ok(json)
}

/// The length of the string at the start of `json`, with its quotes.
fn string_length(json: &str) -> usize {
    let mut escaped = true;
    let end = json.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(json.len(), |end| end + 1)
}

/// PostgreSQL and many readers can hold neither a NUL character nor half of a surrogate pair.
fn check_string(json: &str) -> Result<(), Refusal> {
    if !json.contains('\\') {
        return Ok(());
    }
    match serde_json::from_str::<String>(json) {
        Ok(text) if !text.contains('\0') => Ok(()),
        Ok(_) => Err(Refusal::malformed("metadata contains a NUL character")),
        Err(_) => Err(Refusal::malformed("metadata contains a string that is not valid Unicode")),
    }
}

/// The one text of all that mean the same: no spaces, members sorted by name, strings with only the escapes
/// that JSON needs, numbers as their exact values. Members of one name keep their order.
pub(crate) fn canonical(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    match serde_json::from_str(json) {
        Ok(raw) => write(raw, &mut text),
        // Never: it was read as JSON before.
        Err(_) => text.push_str(json),
    }
    text
}

/// Recursion ends: [`check`] bounds the depth.
fn write(raw: &RawValue, text: &mut String) {
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'{') => write_object(json, text),
        Some(b'[') => write_array(json, text),
        Some(b'"') => match serde_json::from_str::<String>(json) {
            Ok(content) => write_string(&content, text),
            Err(_) => text.push_str(json),
        },
        Some(b'-' | b'0'..=b'9') => match Number::read(json) {
            Some(number) => text.push_str(&number.to_string()),
            None => text.push_str(json),
        },
        _ => text.push_str(json),
    }
}

fn write_object(json: &str, text: &mut String) {
    let Members(mut members) = serde_json::from_str(json).unwrap_or_default();
    members.sort_by(|(one, _), (other, _)| one.cmp(other));
    text.push('{');
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_string(name, text);
        text.push(':');
        write(value, text);
    }
    text.push('}');
}

fn write_array(json: &str, text: &mut String) {
    let values: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
    text.push('[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write(value, text);
    }
    text.push(']');
}

fn write_string(content: &str, text: &mut String) {
    text.push_str(&serde_json::to_string(content).expect("a text is JSON"));
}

/// The members of an object in their order: a name may appear twice.
#[derive(Default)]
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(Members(members))
    }
}
