//! Operations: what the service receives and sends.

use florin_wire::schema::{self, REFUSAL, Schemas};
use serde_json::{Map, Value, json};

use super::channels::{DEAD_LETTERS, EVENTS, REPLIES, REQUESTS, SEED, WORK};
use super::messages::{DEAD_LETTER, reply, request, schema_text};
use super::{BINDING_VERSION, operation_names};

pub(super) fn all(schemas: &Schemas) -> Map<String, Value> {
    let mut operations = Map::new();
    for name in operation_names() {
        let about = schema_text(schemas, &request(name));
        operations.insert(name.to_owned(), received(REQUESTS, &[name], name, &about));
    }
    let all: Vec<&str> = operation_names().collect();
    let seed = "All operations, from clients that publish to `queries`.";
    operations.insert("fromQueries".to_owned(), received(SEED, &all, "requests of existing clients", seed));
    let direct =
        "All operations, from clients that publish to the queue by name, with the operation in `type`.";
    operations.insert("fromQueue".to_owned(), received(WORK, &all, "requests past the exchange", direct));
    let mut events = sent(EVENTS, schema::EVENTS, "Publishes every change of a transaction.");
    events["bindings"] =
        json!({"amqp": {"deliveryMode": 2, "mandatory": false, "bindingVersion": BINDING_VERSION}});
    operations.insert("publishEvents".to_owned(), events);
    let dead_letter =
        "Requests that cannot be answered. One leaves the work queue only when its dead letter is confirmed.";
    operations.insert("deadLetter".to_owned(), sent(DEAD_LETTERS, DEAD_LETTER, dead_letter));
    operations
}

/// Requests, each acknowledged after its reply was confirmed.
fn received(channel: &str, names: &[&str], title: &str, about: &str) -> Value {
    let requests: Vec<Value> = names.iter().map(|name| of_channel(channel, &request(name))).collect();
    // To a request that names no operation.
    let refusal = (names.len() > 1).then(|| REFUSAL.to_owned());
    let replies = names.iter().map(|name| reply(name)).chain(refusal);
    let replies: Vec<Value> = replies.map(|name| of_channel(REPLIES, &name)).collect();
    json!({
        "action": "receive",
        "title": title,
        "description": about,
        "channel": {"$ref": format!("#/channels/{channel}")},
        "messages": requests,
        "reply": {
            "address": {
                "location": "$message.header#/reply_to",
                "description": "The queue that the property `reply_to` of the request names.",
            },
            "channel": {"$ref": format!("#/channels/{REPLIES}")},
            "messages": replies,
        },
        "bindings": {"amqp": {"ack": true, "bindingVersion": BINDING_VERSION}},
    })
}

fn sent(channel: &str, message: &str, about: &str) -> Value {
    json!({
        "action": "send",
        "title": channel,
        "description": about,
        "channel": {"$ref": format!("#/channels/{channel}")},
        "messages": [of_channel(channel, message)],
    })
}

fn of_channel(channel: &str, message: &str) -> Value {
    json!({"$ref": format!("#/channels/{channel}/messages/{message}")})
}
