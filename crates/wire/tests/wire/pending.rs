//! What a request that moves money may say beyond the amount: that it waits, for how long, and what is kept with it.

use std::time::Duration;

use florin_ledger::{Movement, Pending};
use proptest::prelude::*;

use crate::common::{assert_malformed, decode_as};

const OPERATIONS: [&str; 3] = ["invoice", "withdraw", "transfer"];

/// A complete body with these fields at its end.
fn with(operation: &str, fields: &str) -> String {
    let payee = if operation == "transfer" { r#""to_wallet_id":2,"# } else { "" };
    format!(r#"{{"wallet_id":1,{payee}"ticker":"USD","amount":1,{fields}}}"#)
}

fn movement(operation: &str, fields: &str) -> Movement {
    let command = decode_as(operation, with(operation, fields)).unwrap();
    command.movement().unwrap().clone()
}

fn assert_all_malformed(rows: &[(&str, &str)]) {
    for operation in OPERATIONS {
        let bodies: Vec<_> = rows.iter().map(|(fields, part)| (with(operation, fields), *part)).collect();
        let rows: Vec<_> = bodies.iter().map(|(body, part)| (body.as_str(), *part)).collect();
        assert_malformed(operation, &rows);
    }
}

#[test]
fn a_request_waits_if_it_says_so() {
    let for_seconds = |seconds| Some(Pending { timeout: Some(Duration::from_secs(seconds)) });
    let rows = [
        (r#""metadata":{}"#, None),
        (r#""pending":null"#, None),
        (r#""pending":false"#, None),
        (r#""pending":false,"timeout":null"#, None),
        (r#""pending":true"#, Some(Pending { timeout: None })),
        (r#""pending":true,"timeout":null"#, Some(Pending { timeout: None })),
        (r#""pending":true,"timeout":1"#, for_seconds(1)),
        (r#""timeout":"60","pending":true"#, for_seconds(60)),
        (r#""pending":true,"timeout":315360000"#, for_seconds(315_360_000)),
    ];
    for operation in OPERATIONS {
        for (fields, expected) in rows {
            assert_eq!(movement(operation, fields).pending, expected, "{operation} {fields}");
        }
    }
}

#[test]
fn a_wait_that_makes_no_sense_is_refused() {
    let needs = "timeout needs \"pending\":true";
    let bounds = "timeout must be whole seconds from 1 to 315360000";
    assert_all_malformed(&[
        (r#""pending":1"#, "pending must be true or false"),
        (r#""pending":"true""#, "pending must be true or false"),
        (r#""pending":[true]"#, "pending must be true or false"),
        (r#""pending":True"#, "cannot be read"),
        (r#""pending":true,"pending":true"#, "duplicate field \"pending\""),
        (r#""pending":null,"pending":true"#, "duplicate field \"pending\""),
        (r#""timeout":60"#, needs),
        (r#""pending":false,"timeout":60"#, needs),
        (r#""pending":null,"timeout":60"#, needs),
        (r#""pending":true,"timeout":0"#, bounds),
        (r#""pending":true,"timeout":-1"#, bounds),
        (r#""pending":true,"timeout":315360001"#, bounds),
        (r#""pending":true,"timeout":99999999999999999999"#, bounds),
        (r#""pending":true,"timeout":1.5"#, bounds),
        (r#""pending":true,"timeout":60.5"#, bounds),
        (r#""pending":true,"timeout":6e-1"#, bounds),
        (r#""pending":true,"timeout":"060""#, bounds),
        (r#""pending":true,"timeout":"""#, bounds),
        (r#""pending":true,"timeout":"60s""#, bounds),
        (r#""pending":true,"timeout":true"#, bounds),
        (r#""pending":true,"timeout":{"seconds":60}"#, bounds),
    ]);
}

/// An object that is nested this deep.
fn nested(depth: usize) -> String {
    let inner = depth - 1;
    format!(r#"{{"a":{}{}}}"#, "[".repeat(inner), "]".repeat(inner))
}

#[test]
fn metadata_are_kept_to_the_byte() {
    let longest = format!(r#"{{"a":"{}"}}"#, "x".repeat(4096 - 8));
    assert_eq!(longest.len(), 4096);
    let deepest = nested(32);
    let rows = [
        "{}",
        "{ }",
        r#"{"order":17}"#,
        "{\r\n\t\"b\" : [1 , 2.50,1e400],\"a\":null }",
        r#"{"a":1,"a":2,"pending":"x","amount":-0}"#,
        r#"{"a":"\u0041\/\ud83d\ude00 é😀 {[\"\\"}"#,
        r#"{"u0000":"\\u0000 u0000"}"#,
        r#"{"\"":"\\\\","b":"\\\"{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{"}"#,
        &format!("{{{}}}", vec![r#""a":{"b":[[{}]]}"#; 100].join(",")),
        &longest,
        &deepest,
    ];
    for operation in OPERATIONS {
        for metadata in rows {
            // The space around a value is no part of it.
            let got = movement(operation, &format!("\"metadata\": {metadata} ")).metadata;
            assert_eq!(got.as_deref(), Some(metadata), "{operation}");
        }
        assert_eq!(movement(operation, r#""metadata":null"#).metadata, None);
    }
}

#[test]
fn other_metadata_are_refused() {
    let long = format!(r#""metadata":{{"a":"{}"}}"#, "x".repeat(4096 - 7));
    let deep = format!(r#""metadata":{}"#, nested(33));
    let very_deep = format!(r#""metadata":{}"#, nested(1500));
    let object = "metadata must be a JSON object";
    assert_all_malformed(&[
        (r#""metadata":[]"#, object),
        (r#""metadata":[{"a":1}]"#, object),
        (r#""metadata":"{}""#, object),
        (r#""metadata":5"#, object),
        (r#""metadata":true"#, object),
        (r#""metadata":{"a":1,}"#, "cannot be read"),
        (r#""metadata":{a:1}"#, "cannot be read"),
        ("\"metadata\":{\"a\":\"\0\"}", "cannot be read"),
        (r#""metadata":{},"metadata":{}"#, "duplicate field \"metadata\""),
        (&long, "metadata has 4097 bytes; the limit is 4096"),
        (&deep, "metadata is nested deeper than 32 levels"),
        (&very_deep, "metadata is nested deeper than 32 levels"),
        (r#""metadata":{"a":"\u0000"}"#, "NUL"),
        (r#""metadata":{"\u0000":1}"#, "NUL"),
        (r#""metadata":{"a":[{"b":"\\\u0000"}]}"#, "NUL"),
        (r#""metadata":{"a":"\ud83d"}"#, "not valid Unicode"),
        (r#""metadata":{"a":"\ude00\ud83d"}"#, "not valid Unicode"),
    ]);
}

/// Any JSON value, in any of the ways to write it.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][-+]?[0-9]{1,3})?",
        r#""([a-z{}\[\]é]|\\["\\/bfnrt]|\\u0[0-9a-fA-F]{3}){0,8}""#,
    ];
    leaf.prop_recursive(40, 64, 3, |inner| {
        let field = (r#""([a-z]|\\u00[0-9]{2}|\\\\|\\"){0,3}""#, inner.clone());
        let fields = prop::collection::vec(field.prop_map(|(name, value)| format!("{name} :{value}")), 0..3);
        prop_oneof![
            prop::collection::vec(inner, 0..3).prop_map(|values| format!("[{}]", values.join(" ,"))),
            fields.prop_map(|fields| format!("{{{}}}", fields.join(", "))),
        ]
    })
}

/// The depth, and whether there is a NUL character: by another way than the one that is tested.
fn look_at(value: &serde_json::Value) -> (usize, bool) {
    let join = |inner: &mut dyn Iterator<Item = (usize, bool)>| {
        inner.fold((1, false), |(depth, nul), (inner, inner_nul)| (depth.max(1 + inner), nul | inner_nul))
    };
    match value {
        serde_json::Value::String(text) => (0, text.contains('\0')),
        serde_json::Value::Array(values) => join(&mut values.iter().map(look_at)),
        serde_json::Value::Object(fields) => join(&mut fields.iter().map(|(name, value)| {
            let (depth, nul) = look_at(value);
            (depth, nul || name.contains('\0'))
        })),
        _ => (0, false),
    }
}

proptest! {
    #[test]
    fn metadata_are_judged_by_what_they_mean(value in json(), wrap in 0_usize..34) {
        let metadata = format!("{{\"x\":{}{value}{}}}", "[".repeat(wrap), "]".repeat(wrap));
        // Huge exponents and the like are no business of ours.
        if let Ok(read) = serde_json::from_str::<serde_json::Value>(&metadata) {
            let (depth, nul) = look_at(&read);
            let decoded = decode_as("invoice", with("invoice", &format!("\"metadata\":{metadata}")));
            // Duplicate names hide values from the other reader.
            if decoded.is_ok() {
                prop_assert!(depth <= 32 && !nul, "{}", metadata);
            }
            if depth > 32 || nul {
                prop_assert!(decoded.is_err(), "{}", metadata);
            }
        }
    }
}
