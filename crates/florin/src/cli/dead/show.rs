//! One dead letter in full.

use std::fmt::Write;

use florin_broker::dead_letter::{DeadLetter, Death};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::table::{time, visible};

const X_DEATH: &str = "x-death";

/// For people.
pub(super) fn for_people(letter: &DeadLetter) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<18}{}", visible(value));
    };
    line("id", &letter.id);
    line("died at", &letter.died_at.map_or("-".to_owned(), time));
    line("reason", &format!("{}: {}", letter.error, letter.reason));
    line("operation", letter.operation.as_str());
    line("exchange", &letter.exchange);
    line("routing key", letter.routing_key.as_str());
    for death in letter.deaths() {
        line("moved by broker", &in_words(&death));
    }
    for (name, value) in properties(&letter.properties) {
        line(name, &plain(&value));
    }
    for (name, value) in letter.properties.headers().iter().flatten() {
        if name.as_str() != X_DEATH {
            line(&format!("header {name}"), &plain(&value_to_json(value)));
        }
    }
    line("body", &format!("{} bytes", letter.body.len()));
    text.push('\n');
    text.push_str(&body(&letter.body));
    text
}

/// For programs.
pub(super) fn json(letter: &DeadLetter) -> Value {
    let deaths: Vec<Value> = letter
        .deaths()
        .iter()
        .map(|death| {
            json!({
                "reason": death.reason,
                "queue": death.queue,
                "exchange": death.exchange,
                "at": death.at.map(time),
                "count": death.count,
                "words": death.in_words(),
            })
        })
        .collect();
    let properties: Map<String, Value> =
        properties(&letter.properties).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let text = std::str::from_utf8(&letter.body).ok();
    json!({
        "id": letter.id,
        "died_at": letter.died_at.map(time),
        "error": letter.error,
        "reason": letter.reason,
        "operation": letter.operation.as_str(),
        "exchange": letter.exchange,
        "routing_key": letter.routing_key.as_str(),
        "deaths": deaths,
        "properties": properties,
        "headers": letter.properties.headers().as_ref().map(table_to_json),
        "body": text,
        "body_hex": text.is_none().then(|| hex(&letter.body)),
    })
}

fn in_words(death: &Death) -> String {
    let Death { reason, queue, exchange, at, count, .. } = death;
    let at = at.map_or("-".to_owned(), time);
    format!(
        "{at}, {reason}, from the queue {queue:?}, published to {exchange:?}, {count} times: {}",
        death.in_words()
    )
}

/// The properties that are set, by name.
fn properties(properties: &BasicProperties) -> Vec<(&'static str, Value)> {
    let texts = [
        ("content_type", properties.content_type()),
        ("content_encoding", properties.content_encoding()),
        ("correlation_id", properties.correlation_id()),
        ("reply_to", properties.reply_to()),
        ("expiration", properties.expiration()),
        ("message_id", properties.message_id()),
        ("type", properties.kind()),
        ("user_id", properties.user_id()),
        ("app_id", properties.app_id()),
        ("cluster_id", properties.cluster_id()),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name, json!(text.as_ref()?.as_str()))));
    let numbers = [("delivery_mode", properties.delivery_mode()), ("priority", properties.priority())];
    let numbers = numbers.into_iter().filter_map(|(name, number)| Some((name, json!(number.as_ref()?))));
    let timestamp = properties.timestamp().map(|seconds| ("timestamp", json!(time(seconds))));
    texts.chain(numbers).chain(timestamp).collect()
}

fn value_to_json(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(value) => json!(value),
        AMQPValue::ShortShortInt(value) => json!(value),
        AMQPValue::ShortShortUInt(value) => json!(value),
        AMQPValue::ShortInt(value) => json!(value),
        AMQPValue::ShortUInt(value) => json!(value),
        AMQPValue::LongInt(value) => json!(value),
        AMQPValue::LongUInt(value) => json!(value),
        AMQPValue::LongLongInt(value) => json!(value),
        AMQPValue::Float(value) => json!(value),
        AMQPValue::Double(value) => json!(value),
        AMQPValue::DecimalValue(value) => json!({ "value": value.value, "scale": value.scale }),
        AMQPValue::ShortString(value) => json!(value.as_str()),
        AMQPValue::LongString(value) => json!(value.to_string()),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(value_to_json).collect(),
        AMQPValue::Timestamp(seconds) => json!(time(*seconds)),
        AMQPValue::FieldTable(table) => table_to_json(table),
        AMQPValue::ByteArray(bytes) => json!(hex(bytes.as_slice())),
        AMQPValue::Void => Value::Null,
    }
}

fn table_to_json(table: &FieldTable) -> Value {
    let fields = table.into_iter().map(|(name, value)| (name.to_string(), value_to_json(value)));
    Value::Object(fields.collect())
}

/// A text unchanged; anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// JSON with a line for every field, and its digits unchanged; any other text unchanged.
fn body(bytes: &[u8]) -> String {
    let text = match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(json) => pretty(json.get()),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    };
    let lines = text.lines().map(visible);
    lines.flat_map(|line| [line, "\n".to_owned()]).collect()
}

/// Breaks valid JSON into lines. No value is read, so a number keeps its digits.
fn pretty(json: &str) -> String {
    let mut text = String::new();
    let mut depth: usize = 0;
    let (mut in_string, mut escaped, mut just_opened) = (false, false, false);
    for c in json.chars() {
        if in_string {
            text.push(c);
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        if c.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(c, '}' | ']');
        depth -= usize::from(closes);
        if closes != just_opened && (closes || just_opened) {
            new_line(&mut text, depth);
        }
        text.push(c);
        match c {
            ',' => new_line(&mut text, depth),
            ':' => text.push(' '),
            _ => {}
        }
        just_opened = matches!(c, '{' | '[');
        depth += usize::from(just_opened);
        in_string = c == '"';
    }
    text
}

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_broken_into_lines_and_keeps_its_digits() {
        let cases = [
            (r#"{"a":1.10,"b":[]}"#, "{\n  \"a\": 1.10,\n  \"b\": []\n}\n"),
            (r#"[ {} , [1e400, "{,\" :"] ]"#, "[\n  {},\n  [\n    1e400,\n    \"{,\\\" :\"\n  ]\n]\n"),
            ("12345678901234567890.12345678901234567890", "12345678901234567890.12345678901234567890\n"),
            ("not\njson\x1b[2J", "not\njson\\u{1b}[2J\n"),
        ];
        for (json, shown) in cases {
            assert_eq!(body(json.as_bytes()), shown, "{json}");
        }
    }
}
