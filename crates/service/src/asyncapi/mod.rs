//! The AMQP side of the service as an AsyncAPI 3.0 document.
//!
//! Exchanges, queues and their arguments come from [`Topology`], schemas and examples from `florin_wire`,
//! limits and addresses from the configuration: the document shows those of the defaults.

mod channels;
mod messages;
mod operations;

use std::sync::LazyLock;

use florin_ledger::{ErrorCode, Operation};
use florin_wire::schema::Schemas;
use florin_wire::{BATCH, Guide};
use serde_json::{Value, json};

use crate::config::Config;
use florin_broker::Topology;

const SCHEMAS: &str = "#/components/schemas/";
const MESSAGES: &str = "#/components/messages/";
const BINDING_VERSION: &str = "0.3.0";

const ABOUT: &str = "\
Wallet transactions through RabbitMQ, applied exactly once in PostgreSQL.

Publish requests to the topic exchange `florin.requests` with the operation as the routing key, and the queue for the \
answer in `reply_to`. Set a `message_id`, which makes a retry the same request: it is applied once, and answered again. \
Every change of a transaction is published to the exchange `florin.events`.

A request is answered after it was committed. A failure of RabbitMQ or PostgreSQL is never an answer: the request \
waits until it can be answered. The errors that are answers are in `x-errors` and in docs/errors.md.

Exchanges, queues, arguments and limits are those of the default configuration.";

/// The document, built once.
#[must_use]
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(build);
    &DOCUMENT
}

fn build() -> Value {
    let config = Config::default();
    let broker = &config.broker;
    let topology =
        Topology::service(&broker.queue, broker.delivery_limit, broker.single_active_consumer, true);
    let schemas = Schemas::new();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Florin",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": env!("CARGO_PKG_LICENSE")},
        },
        "defaultContentType": "application/json",
        "servers": {"broker": server(&config)},
        "channels": channels::all(&topology),
        "operations": operations::all(&schemas),
        "components": {
            "messages": messages::all(&schemas, broker),
            "schemas": messages::schemas(&schemas),
            "correlationIds": {
                "correlationId": {
                    "description": "Returned unchanged with the reply.",
                    "location": "$message.header#/correlation_id",
                },
            },
            "securitySchemes": {"user": {"type": "userPassword"}},
        },
        "x-errors": ErrorCode::ALL.map(Guide::document),
    })
}

fn server(config: &Config) -> Value {
    let broker = &config.broker;
    json!({
        "host": "{host}:{port}",
        "pathname": "/{vhost}",
        "protocol": "amqp",
        "protocolVersion": "0-9-1",
        "description": "RabbitMQ 3.10 or newer.",
        "variables": {
            "host": {"default": broker.host},
            "port": {"default": broker.port.to_string()},
            "vhost": {"default": "%2f", "description": "The virtual host, percent-encoded."},
        },
        "security": [{"$ref": "#/components/securitySchemes/user"}],
    })
}

/// The operations and `batch`.
fn operation_names() -> impl Iterator<Item = &'static str> {
    Operation::ALL.into_iter().map(Operation::as_str).chain([BATCH])
}

fn reference(place: &str, name: &str) -> Value {
    json!({"$ref": format!("{place}{name}")})
}
