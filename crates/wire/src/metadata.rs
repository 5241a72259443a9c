//! Metadata that a client keeps with a transaction: any JSON object, to the byte, within limits.

use serde_json::value::RawValue;

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
