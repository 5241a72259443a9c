//! Each schema has examples; they validate, and the code reads them.

use florin_wire::schema::{EVENTS, REFUSAL};
use florin_wire::{Decoded, Events, Reply};
use serde_json::Value;

use crate::world::decode;
use crate::{SCHEMAS, assert_valid, assert_valid_reply};

#[test]
fn every_schema_has_valid_examples() {
    for name in SCHEMAS.names() {
        let schema = SCHEMAS.get(name).unwrap();
        let examples = schema["examples"].as_array().unwrap();
        assert!(!examples.is_empty(), "{name}");
        for example in examples {
            assert_valid(name, example);
            match name.split_once('.') {
                Some((operation, "request")) => assert_is_request(operation, example),
                Some((operation, "reply")) => {
                    assert_valid_reply(operation, example);
                    assert_is_read(example);
                }
                Some((_, "body")) => {}
                Some(_) | None if name == REFUSAL => assert_is_read(example),
                Some(_) | None => {
                    assert_eq!(name, EVENTS);
                    let events = Events::from_json(example.to_string().as_bytes()).unwrap();
                    assert_same(&events.to_json(), example);
                }
            }
        }
    }
}

fn assert_is_request(operation: &str, example: &Value) {
    match decode(operation, None, &example.to_string()).unwrap() {
        Decoded::One(command) => assert_eq!(command.operation().as_str(), operation),
        Decoded::Batch(batch) => {
            assert_eq!(operation, "batch");
            for item in batch.items {
                item.command.unwrap();
            }
        }
    }
}

/// The types know all fields of an example: nothing is lost by reading and writing it.
fn assert_is_read(example: &Value) {
    let reply = Reply::from_json(example.to_string().as_bytes()).unwrap();
    assert_same(&reply.to_json(), example);
    let Some(body) = reply.body.as_deref() else { return };
    let written = match reply.operation.as_str() {
        "balance" => serde_json::to_vec(&reply.balances().unwrap()),
        "transaction" => serde_json::to_vec(&reply.transaction().unwrap()),
        "history" => serde_json::to_vec(&reply.history().unwrap()),
        "batch" => serde_json::to_vec(&serde_json::json!({"results": reply.results().unwrap()})),
        _ => serde_json::to_vec(&reply.receipt().unwrap()),
    };
    assert_same(&written.unwrap(), &serde_json::from_str(body).unwrap());
}

fn assert_same(written: &[u8], example: &Value) {
    assert_eq!(&serde_json::from_slice::<Value>(written).unwrap(), example);
}
