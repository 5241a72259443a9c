//! Requests: the decoder is written by hand, so it is held against the schemas.

use std::collections::BTreeMap;

use florin_ledger::Operation;
use florin_wire::{BATCH, Decoded};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::world::{decode, refusal_by_itself};
use crate::{SCHEMAS, is_valid};

/// Whether a request is taken as far as it depends on nothing but itself.
fn is_taken(operation: &str, body: &str) -> bool {
    let is_sound = |command| refusal_by_itself(&command).is_none();
    match decode(operation, None, body) {
        Err(_) => false,
        Ok(Decoded::One(command)) => is_sound(command),
        Ok(Decoded::Batch(batch)) => batch.items.into_iter().all(|item| item.command.is_ok_and(is_sound)),
    }
}

/// Bodies that the schemas take and the service does not: all kinds that there are.
#[test]
fn what_no_schema_can_say() {
    let long =
        format!(r#"{{"wallet_id":1,"ticker":"USD","amount":1,"metadata":{{"a":"{}"}}}}"#, "a".repeat(4096));
    let deep = format!("{}{}", r#"{"a":"#.repeat(32), "{}") + &"}".repeat(32);
    let deep = format!(r#"{{"wallet_id":1,"ticker":"USD","amount":1,"metadata":{deep}}}"#);
    let large = format!(r#"{{"wallet_id":1,"ticker":"{}"}}"#, "a".repeat(64 * 1024));
    let id =
        format!(r#"{{"operations":[{{"operation":"balance","id":"{}","wallet_id":1}}]}}"#, "é".repeat(128));
    let cases = [
        ("a name that stands there twice", "balance", r#"{"wallet_id":1,"wallet_id":1}"#),
        ("more than 64 bits in a string", "balance", r#"{"wallet_id":"9223372036854775808"}"#),
        (
            "more than ten years in a string",
            "invoice",
            r#"{"wallet_id":1,"ticker":"USD","amount":1,"pending":true,"timeout":"315360001"}"#,
        ),
        ("a cursor of a time that is none", "history", CURSOR_OF_NO_TIME),
        ("a transfer to the same wallet", "transfer", SAME_WALLET),
        ("long metadata", "invoice", &long),
        ("deep metadata", "invoice", &deep),
        ("a large body", "balance", &large),
        ("an id of more bytes than characters", BATCH, &id),
    ];
    for (what, operation, body) in cases {
        let json = serde_json::from_str(body).unwrap();
        assert!(is_valid(&format!("{operation}.request"), &json), "{what} could be said: {body}");
        assert!(!is_taken(operation, body), "{what} is taken: {body}");
    }
}

const CURSOR_OF_NO_TIME: &str = r#"{"wallet_id":1,"before":"7fffffffffffffff000000010000000000000001"}"#;
const SAME_WALLET: &str = r#"{"wallet_id":1,"to_wallet_id":"1","ticker":"USD","amount":1}"#;

/// Whether a value that fits its schema may be refused nevertheless, for one of the reasons above.
fn is_beyond_schema(field: &str, json: &str) -> bool {
    let is_number = |allowed: i64| {
        let quoted = json.strip_prefix('"').and_then(|json| json.strip_suffix('"'));
        match quoted {
            Some(digits) => digits.parse::<i64>().map_or(true, |number| number > allowed),
            // The validator of these tests reads them as floats.
            None => json.contains(['.', 'e', 'E']) && json.len() > 15,
        }
    };
    match field {
        "wallet_id" | "to_wallet_id" | "limit" => is_number(i64::MAX),
        "timeout" => is_number(315_360_000),
        "before" => json.starts_with("\"7"),
        "metadata" => json.len() > 4096 || json.matches('{').count() > 32,
        "id" => !json.is_ascii(),
        _ => false,
    }
}

/// Right texts for this field, and ones that are nearly right.
fn texts(field: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match field {
        "wallet_id" | "to_wallet_id" => (
            &["2", r#""4111111111111111""#, "-5", "9223372036854775807", "12.0", "-0", "1.2e1"],
            &["9223372036854775808", r#""-05""#, "12.5", r#""12.0""#, r#""-0""#],
        ),
        "amount" => (
            &["10.5", r#""10.50""#, "1e2", r#""1E+2""#, r#""0.01""#],
            &["0.00", r#""0.00""#, "-1", r#""1.""#],
        ),
        "on_behalf_of" => {
            (&[r#""key:shop-1""#, r#"" ~\\""#, "null"], &[r#""""#, r#""é""#, r#""\u007f""#, "1", r#"["a"]"#])
        }
        "ticker" => (&[r#""USD""#, r#""\u0055SD""#], &[r#"["USD"]"#]),
        "pending" => (&["true"], &["false", r#""true""#]),
        "atomic" => (&["true", "false"], &[r#""true""#]),
        "timeout" => {
            (&["60", r#""60""#, "315360000", "60.0", "6e1"], &["315360001", r#""-1""#, "60.5", r#""60.0""#])
        }
        "metadata" => (
            &[r#"{"a":[1,{"b":null}]}"#, "{}", r#"{"a":"\u0001\n"}"#],
            &[r#"{"a":"\u0000"}"#, r#"{"a":[{"\u0000":1}]}"#, r#"{"a":{"b":["c\u0000"]}}"#, r#""{}""#],
        ),
        "transaction_id" => (
            &[r#""0190a5b0-7c1e-7d3c-8c3e-0123456789ab""#, r#""0190A5B0-7C1E-7D3C-8C3E-0123456789AB""#],
            &[r#""0190a5b07c1e7d3c8c3e0123456789ab""#, r#""{0190a5b0-7c1e-7d3c-8c3e-0123456789}""#],
        ),
        "at" | "from" | "until" => (
            &[
                r#""2026-01-31T08:15:30Z""#,
                r#""2024-02-29T23:59:59.123456789Z""#,
                r#""0000-01-01T00:00:00.0Z""#,
                r#""2026-01-31T08:15:30+00:00""#,
                r#""2026-01-31T08:15:30.5-23:59""#,
                r#""9999-12-31T23:59:59.999999999Z""#,
            ],
            &[
                r#""2026-02-29T08:15:30Z""#,
                r#""2026-01-31T08:15:60Z""#,
                r#""2016-12-31T23:59:60Z""#,
                r#""2026-01-31T08:15:30.Z""#,
                r#""2026-01-31T08:15:30.1234567890Z""#,
                r#""2026-01-31T08:15:30+24:00""#,
                r#""2026-01-31T08:15:30+0000""#,
                r#""2026-01-31t08:15:30z""#,
                r#""2026-01-31 08:15:30Z""#,
            ],
        ),
        "status" => (&[r#""Created""#, r#""Success""#, r#""Error""#], &[r#""success""#]),
        "before" => (
            &[r#""000649abf8ff4880000000010000000000000007""#],
            &[
                r#""000649ABF8FF4880000000010000000000000007""#,
                r#""7fffffffffffffff000000010000000000000001""#,
            ],
        ),
        "limit" => (&["1", r#""1000""#], &["1001", r#""1001""#]),
        "id" => (&[r#""order-17""#], &[r#""é""#, "17"]),
        _ => (&["1", "[{}]"], &["01"]),
    }
}

/// What may stand for any field.
const ANY: &[&str] =
    &["null", "0", "1", r#""1""#, r#""\u0031""#, r#""""#, "true", "[]", "{}", "1.0", "-0", "01", r#"" 1""#];

fn right(field: &'static str) -> impl Strategy<Value = String> {
    select(texts(field).0).prop_map(ToOwned::to_owned)
}

fn odd(field: &'static str) -> impl Strategy<Value = String> {
    let number = prop_oneof![Just(""), Just("\"")].prop_flat_map(|quote| {
        let digits = r"-?[0-9]{1,20}(\.[0-9]{0,3})?([eE][+-]?[0-9]{0,2})?";
        digits.prop_map(move |digits| format!("{quote}{digits}{quote}"))
    });
    let time = "\"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,10})?Z\"";
    prop_oneof![
        4 => select([texts(field).1, ANY].concat()).prop_map(ToOwned::to_owned),
        1 => number,
        1 => time,
        1 => any::<String>().prop_map(|text| Value::String(text).to_string()),
    ]
}

/// The fields that a request for this operation has, and one that it has not, and whether they have to be there.
fn fields_of(operation: &str) -> Vec<(&'static str, bool)> {
    const ALL: [&str; 15] = [
        "wallet_id",
        "to_wallet_id",
        "ticker",
        "amount",
        "pending",
        "timeout",
        "metadata",
        "transaction_id",
        "at",
        "status",
        "from",
        "until",
        "before",
        "limit",
        "unknown",
    ];
    let schema = SCHEMAS.get(&format!("{operation}.request")).unwrap();
    let known = schema["properties"].as_object().unwrap();
    let fields = ALL.into_iter().filter(|field| known.contains_key(*field) || *field == "unknown");
    let required = schema["required"].as_array().unwrap();
    let fields: Vec<_> = fields.map(|field| (field, required.contains(&field.into()))).collect();
    assert_eq!(fields.len(), known.len() + 1, "{operation} has a field that is not tested");
    fields
}

/// A body, and whether it may be refused for what no schema can say.
type Body = (Vec<(&'static str, String)>, bool);

/// A right body, but for two fields at most; those that need not be there are missing at times.
fn body(operation: Operation) -> impl Strategy<Value = Body> {
    let names = fields_of(operation.as_str());
    let count = names.len();
    let fields = names.into_iter().map(|(name, is_required)| {
        let is_given = proptest::bool::weighted(if is_required { 0.98 } else { 0.6 });
        (Just(name), right(name), odd(name), is_given)
    });
    (fields.collect::<Vec<_>>(), vec(0..count, 0..=2)).prop_map(|(fields, odd_ones)| {
        let given = fields.into_iter().enumerate().filter(|(_, (.., is_given))| *is_given);
        let given =
            given.map(|(at, (name, right, odd, _))| (name, if odd_ones.contains(&at) { odd } else { right }));
        let given: Vec<_> = given.collect();
        let beyond = given.iter().any(|(name, json)| is_beyond_schema(name, json));
        (given, beyond)
    })
}

fn any_body() -> impl Strategy<Value = (Operation, Body)> {
    Union::new(Operation::ALL.map(|operation| (Just(operation), body(operation)).boxed()))
}

fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, json)| format!("{name:?}:{json}")).collect();
    format!("{{{}}}", fields.join(","))
}

/// The text of a field.
fn raw(body: &str, field: &str) -> Option<String> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(body).ok()?;
    Some(fields.get(field)?.get().to_owned())
}

/// The schema and the decoder agree.
fn check(operation: &str, body: &str, beyond: bool) {
    let taken = is_taken(operation, body);
    let Ok(json) = serde_json::from_str::<Value>(body) else {
        assert!(!taken, "no JSON, but taken: {body}");
        return;
    };
    let valid = is_valid(&format!("{operation}.request"), &json);
    // Two texts may name the same wallet.
    let wallet = |field: &str| {
        let body = format!(r#"{{"wallet_id":{}}}"#, raw(body, field)?);
        match decode("balance", None, &body) {
            Ok(Decoded::One(command)) => command.wallet_ids().next(),
            _ => None,
        }
    };
    let same_wallet = operation == "transfer"
        && wallet("wallet_id").is_some_and(|wallet_id| wallet("to_wallet_id") == Some(wallet_id));
    if valid && !taken {
        assert!(beyond || same_wallet, "{operation}: valid, but not taken: {body}");
    } else {
        assert_eq!(valid, taken, "{operation}: {body}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_schema_takes_what_the_decoder_takes((operation, (fields, beyond)) in any_body()) {
        check(operation.as_str(), &object(&fields), beyond);
    }
}

/// An operation of a batch. Two wallets in texts that differ may be the same one: then it may be refused.
fn element() -> impl Strategy<Value = (String, bool)> {
    let name = prop_oneof![12 => Just(None), 1 => Just(Some("\"batch\"")), 1 => Just(Some("1"))];
    let id = prop_oneof![right("id"), odd("id")];
    let by = prop_oneof![9 => right("on_behalf_of"), 1 => odd("on_behalf_of")];
    (any_body(), name, id, by).prop_map(|((operation, (fields, beyond)), name, id, by)| {
        let name = name.map_or_else(|| format!("{:?}", operation.as_str()), ToOwned::to_owned);
        let beyond = beyond || is_beyond_schema("id", &id) || operation == Operation::Transfer;
        (object(&[&[("operation", name), ("id", id), ("on_behalf_of", by)], &fields[..]].concat()), beyond)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn and_so_of_batches(elements in vec(element(), 0..4), atomic in prop_oneof![right("atomic"), odd("atomic")]) {
        let is_history = |(json, _): &&(String, bool)| json.contains(r#""operation":"history""#);
        // Several histories may ask for more than a message gives.
        let beyond = elements.iter().any(|(_, beyond)| *beyond) || elements.iter().filter(is_history).count() > 1;
        let operations: Vec<String> = elements.into_iter().map(|(json, _)| json).collect();
        let body = format!(r#"{{"operations":[{}],"atomic":{atomic}}}"#, operations.join(","));
        check(BATCH, &body, beyond);
    }
}

#[test]
fn a_batch_has_1_to_1000_operations() {
    let batch = |count: usize| {
        let operations = vec![r#"{"operation":"balance","wallet_id":1}"#; count];
        format!(r#"{{"operations":[{}]}}"#, operations.join(","))
    };
    for (count, expected) in [(0, false), (1, true), (1000, true), (1001, false)] {
        assert_eq!(is_taken(BATCH, &batch(count)), expected, "{count}");
        check(BATCH, &batch(count), false);
    }
    for other in [r"{}", "[]", "1", "null", r#"{"operations":null}"#, r#"{"operations":[1]}"#] {
        assert!(!is_taken(BATCH, other), "{other}");
        check(BATCH, other, false);
    }
}
