//! The schemas and the code that reads and writes: neither says more than the other, except where it is listed.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod examples;
mod replies;
mod requests;
mod world;

use std::collections::HashMap;
use std::sync::LazyLock;

use florin_wire::schema::Schemas;
use jsonschema::Validator;
use serde_json::Value;

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(Schemas::new);

static VALIDATORS: LazyLock<HashMap<String, Validator>> = LazyLock::new(|| {
    let validator = |name: &str| {
        let schema = SCHEMAS.get(name).unwrap();
        jsonschema::meta::validate(&schema).unwrap();
        let options = jsonschema::options().should_validate_formats(true);
        (name.to_owned(), options.build(&schema).unwrap())
    };
    SCHEMAS.names().map(validator).collect()
});

fn is_valid(name: &str, value: &Value) -> bool {
    VALIDATORS[name].is_valid(value)
}

fn assert_valid(name: &str, value: &Value) {
    if let Err(error) = VALIDATORS[name].validate(value) {
        panic!("{name}: {error} at {}, in {value}", error.instance_path());
    }
}

/// A reply, and the JSON within it.
fn assert_valid_reply(operation: &str, reply: &Value) {
    assert_valid(&format!("{operation}.reply"), reply);
    match reply["body"].as_str() {
        Some(body) => assert_valid(&format!("{operation}.body"), &serde_json::from_str(body).unwrap()),
        None => assert_valid("refusal", reply),
    }
}

#[test]
fn every_schema_is_one_of_2020_12_and_refers_to_nothing_else() {
    assert_eq!(VALIDATORS.len(), 3 * 10 + 2);
    assert!(SCHEMAS.get("nonsense").is_none());
    assert!(SCHEMAS.get("Amount").is_none(), "a part is no schema of its own");
}
