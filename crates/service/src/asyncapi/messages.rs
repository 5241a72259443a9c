//! Messages: bodies, properties, examples.

use florin_wire::schema::{EVENTS, REFUSAL, Schemas};
use florin_wire::{IDEMPOTENT_REPLAYED, ON_BEHALF_OF};
use serde_json::{Map, Value, json};

use super::{BINDING_VERSION, SCHEMAS, operation_names, reference};
use crate::config::Broker;

pub(super) const DEAD_LETTER: &str = "deadLetter";

const REQUEST_PROPERTIES: &str = "RequestProperties";
const REPLY_PROPERTIES: &str = "ReplyProperties";
const EVENT_PROPERTIES: &str = "EventProperties";

/// The names of the schema of a request and of its message, and the same of a reply.
pub(super) fn request(operation: &str) -> String {
    format!("{operation}.request")
}

pub(super) fn reply(operation: &str) -> String {
    format!("{operation}.reply")
}

/// All messages, by name.
pub(super) fn all(schemas: &Schemas, broker: &Broker) -> Map<String, Value> {
    let mut messages = Map::new();
    for operation in operation_names() {
        messages.insert(request(operation), request_message(operation, schemas, broker));
    }
    for name in operation_names().map(reply).chain([REFUSAL.to_owned()]) {
        let about = schema_text(schemas, &name);
        let headers = |_: &Value| json!({"correlation_id": "7"});
        messages.insert(
            name.clone(),
            message(&name, &about, REPLY_PROPERTIES, &examples(schemas, &name, headers)),
        );
    }
    let about = schema_text(schemas, EVENTS);
    let headers = |_: &Value| json!({"delivery_mode": 2});
    let mut events = message(EVENTS, &about, EVENT_PROPERTIES, &examples(schemas, EVENTS, headers));
    without_reply(&mut events);
    messages.insert(EVENTS.to_owned(), events);
    messages.insert(DEAD_LETTER.to_owned(), dead_letter());
    messages
}

fn request_message(operation: &str, schemas: &Schemas, broker: &Broker) -> Value {
    let name = request(operation);
    let limit =
        if operation == florin_wire::BATCH { broker.max_batch_body_bytes } else { broker.max_body_bytes };
    let about = format!("{} The body has at most {limit} bytes.", schema_text(schemas, &name));
    let headers =
        |_: &Value| json!({"message_id": "order-17", "correlation_id": "7", "reply_to": "my-replies"});
    let mut message = message(&name, &about, REQUEST_PROPERTIES, &examples(schemas, &name, headers));
    message["bindings"] = json!({"amqp": {"messageType": operation, "bindingVersion": BINDING_VERSION}});
    message
}

fn message(name: &str, about: &str, properties: &str, examples: &[Value]) -> Value {
    json!({
        "name": name,
        "title": name,
        "description": about,
        "contentType": "application/json",
        "correlationId": {"$ref": "#/components/correlationIds/correlationId"},
        "headers": reference(SCHEMAS, properties),
        "payload": reference(SCHEMAS, name),
        "examples": examples,
    })
}

fn without_reply(message: &mut Value) {
    if let Some(fields) = message.as_object_mut() {
        fields.shift_remove("correlationId");
    }
}

fn dead_letter() -> Value {
    json!({
        "name": DEAD_LETTER,
        "title": "a request that was not answered",
        "description": "The request as it was published, with headers that say why it is here: the service's or RabbitMQ's.",
        "headers": reference(SCHEMAS, "DeadLetterProperties"),
        "payload": {"description": "The body that the client sent."},
    })
}

/// What the schema says of itself.
pub(super) fn schema_text(schemas: &Schemas, name: &str) -> String {
    let schema = schemas.get(name).unwrap_or_default();
    schema["description"].as_str().unwrap_or_default().to_owned()
}

fn examples(schemas: &Schemas, name: &str, headers: impl Fn(&Value) -> Value) -> Vec<Value> {
    let schema = schemas.get(name).unwrap_or_default();
    let examples = schema["examples"].as_array().into_iter().flatten();
    examples.map(|example| json!({"headers": headers(example), "payload": example})).collect()
}

/// All schemas, by name. What a message shows as its examples is not repeated.
pub(super) fn schemas(schemas: &Schemas) -> Map<String, Value> {
    let mut definitions = schemas.definitions_at(SCHEMAS);
    for (name, schema) in &mut definitions {
        let of_message = [".request", ".reply"].iter().any(|end| name.ends_with(end));
        if of_message || [REFUSAL, EVENTS].contains(&name.as_str()) {
            schema.as_object_mut().and_then(|fields| fields.shift_remove("examples"));
        }
    }
    definitions.extend(properties());
    definitions
}

/// What travels beside the bodies. AsyncAPI has one place for AMQP's properties and its headers.
fn properties() -> Map<String, Value> {
    let property =
        |about: &str| json!({"type": "string", "maxLength": 255, "description": about, "x-amqp": "property"});
    let correlation_id = property("The client's number for the request; comes back with the answer.");
    let mode = json!({"const": 2, "description": "Persistent.", "x-amqp": "property"});
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    let mut message_id = property(
        "The request's identity: however often it is sent, it is applied once. A UUID is also the transaction's id. An \
         empty one counts as none. Without it, only RabbitMQ's redelivery flag tells a retry from a second request.",
    );
    message_id["x-idempotency-key"] = true.into();
    let request = json!({
        "message_id": message_id,
        "correlation_id": correlation_id,
        "reply_to": property("The queue for the reply, or RabbitMQ's direct reply-to. Without it there is no reply."),
        "user_id": property(
            "The RabbitMQ user who sends the request; RabbitMQ accepts no other name. It is recorded with the \
             transaction. The service can be configured to require it.",
        ),
        ON_BEHALF_OF: {
            "type": "string",
            "pattern": "^[ -~]{1,255}$",
            "description": "On whose behalf the request is sent: recorded in place of the user. Ignored unless the \
                            service trusts the user of `user_id`.",
            "x-amqp": "header",
        },
        "type": property("The operation, if the message is published to the work queue by name."),
        "expiration": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "Milliseconds after which a request that is still in the queue is dead-lettered.",
            "x-amqp": "property",
        },
    });
    let reply = json!({
        "correlation_id": correlation_id,
        "delivery_mode": mode,
        IDEMPOTENT_REPLAYED: {
            "const": true,
            "description": "The reply repeats that to an earlier request with the same identity.",
            "x-amqp": "header",
        },
    });
    let event = json!({"delivery_mode": mode});
    [
        (REQUEST_PROPERTIES, request),
        (REPLY_PROPERTIES, reply),
        (EVENT_PROPERTIES, event),
        ("DeadLetterProperties", dead_letter_properties()),
    ]
    .map(|(name, properties)| (name.to_owned(), object(properties)))
    .into_iter()
    .collect()
}

/// Why a request is in the dead-letter queue: the service says so, or else RabbitMQ.
fn dead_letter_properties() -> Value {
    let header = |about: &str| json!({"type": "string", "description": about, "x-amqp": "header"});
    json!({
        "florin-error": {
            "enum": ["data_refused", "reply_refused", "reply_to_refused", "reply_to_not_allowed", "undecodable", "user_id_missing"],
            "description": "Why the service dead-lettered it.",
            "x-amqp": "header",
        },
        "florin-reason": header("The same in words."),
        "florin-headers-left-out": {
            "type": "integer",
            "description": "How many of the request's own headers are not here, because they are nested or long.",
            "x-amqp": "header",
        },
        "florin-user-id": header("The `user_id` of the request, if it had one."),
        "x-death": {"type": "array", "description": "RabbitMQ's record: from which queue, when, how often and why.", "x-amqp": "header"},
        "x-first-death-reason": {
            "enum": ["rejected", "delivery_limit", "expired"],
            "description": "`rejected`: the service cannot answer it. `delivery_limit`: too many deliveries failed. \
                            `expired`: its `expiration` passed.",
            "x-amqp": "header",
        },
    })
}
