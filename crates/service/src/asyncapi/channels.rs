//! Channels: the exchanges and queues.

use florin_ledger::Status;
use florin_wire::schema::{self, REFUSAL};
use lapin::ExchangeKind;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Map, Value, json};

use super::messages::{DEAD_LETTER, reply, request};
use super::{BINDING_VERSION, MESSAGES, operation_names, reference};
use florin_broker::{Exchange, Queue, Topology};

pub(super) const REQUESTS: &str = "requests";
pub(super) const SEED: &str = "queries";
pub(super) const WORK: &str = "work";
pub(super) const REPLIES: &str = "replies";
pub(super) const EVENTS: &str = "events";
pub(super) const DEAD_LETTERS: &str = "deadLetters";
pub(super) const DEAD_LETTER_QUEUE: &str = "deadLetterQueue";

/// The exchange that every broker has: its routing keys are the names of queues.
const DEFAULT_EXCHANGE: &str = "";

pub(super) fn all(topology: &Topology) -> Map<String, Value> {
    let mut channels = Map::new();
    let mut add = |name: &str, channel: Value| channels.insert(name.to_owned(), channel);
    let work = topology.work_queue();
    for exchange in &topology.exchanges {
        add(if exchange.durable { REQUESTS } else { SEED }, requests(exchange, &work));
    }
    let about = "The queue that the service consumes. For lower latency, publish to the default exchange with this \
                 queue's name as the routing key and the operation in the property `type`. One instance is active; the \
                 others are standby.";
    let names: Vec<String> = operation_names().map(request).collect();
    add(WORK, channel("The work queue", about, Some(&work.name), &names, &of_queue(&work)));
    add(REPLIES, replies());
    add(EVENTS, events());
    let dead = [DEAD_LETTER.to_owned()];
    let queue = Queue::dead_letters();
    let about = "Where RabbitMQ publishes requests that cannot be answered or whose `expiration` has passed. They keep \
                 their routing keys.";
    let through = of_exchange(&Exchange::dead_letters(), Some(&queue));
    add(DEAD_LETTERS, channel("Dead letters", about, Some("{routingKey}"), &dead, &through));
    let about =
        "The requests that were not answered, for an operator: `florin dead` lists, requeues and drops them.";
    add(
        DEAD_LETTER_QUEUE,
        channel("The dead-letter queue", about, Some(&queue.name), &dead, &of_queue(&queue)),
    );
    channels
}

fn requests(exchange: &Exchange, work: &Queue) -> Value {
    let (title, about) = if exchange.durable {
        (
            "Requests",
            "Where clients publish requests. All are routed to the work queue, whatever their routing key. One whose \
             routing key names no operation is answered with `refusal`.",
        )
    } else {
        (
            "Requests of existing clients",
            "The same for clients that declare this exchange themselves, as not durable. Here unknown fields are ignored; \
             everywhere else they are refused.",
        )
    };
    let names: Vec<String> = operation_names().map(request).collect();
    let mut channel = channel(title, about, Some("{operation}"), &names, &of_exchange(exchange, Some(work)));
    channel["parameters"] = json!({"operation": parameter("The operation.", operation_names())});
    channel
}

fn replies() -> Value {
    let about = "Replies are published to the default exchange with the request's `reply_to` as the routing key, \
                 mandatory and persistent. A reply that no queue takes is counted and dropped: retry with the same \
                 identity.";
    let names: Vec<String> = operation_names().map(reply).chain([REFUSAL.to_owned()]).collect();
    let exchange = json!({"name": DEFAULT_EXCHANGE, "type": "default", "durable": true, "autoDelete": false});
    channel("Replies", about, None, &names, &binding("routingKey", "exchange", &exchange))
}

fn events() -> Value {
    let about = "Every change of a transaction, published after its commit and before the request is acknowledged. \
                 Changes that were committed together share messages, by operation and status. A repeated request \
                 publishes its change again with the same `event_id`. Bind a queue of your own. A queue that refuses \
                 messages blocks the service.";
    let address = Some("transaction.{operation}.{status}");
    let through = of_exchange(&Exchange::events(), None);
    let mut channel = channel("Events", about, address, &[schema::EVENTS.to_owned()], &through);
    let statuses = Status::ALL.map(|status| status.as_str().to_ascii_lowercase());
    channel["parameters"] = json!({
        "operation": parameter("The operation that opened the transaction.", ["invoice", "withdraw", "transfer"]),
        "status": parameter("Its new status.", statuses),
    });
    channel
}

fn channel(title: &str, about: &str, address: Option<&str>, names: &[String], bindings: &Value) -> Value {
    json!({
        "title": title,
        "description": about,
        "address": address,
        "messages": messages(names),
        "bindings": bindings,
    })
}

/// With `queue`, all its messages are routed there.
fn of_exchange(exchange: &Exchange, queue: Option<&Queue>) -> Value {
    let object = json!({
        "name": exchange.name,
        "type": kind(&exchange.kind),
        "durable": exchange.durable,
        "autoDelete": false,
    });
    let mut bindings = binding("routingKey", "exchange", &object);
    if let Some(queue) = queue {
        bindings["amqp"]["x-bound-queue"] = json!({"name": queue.name, "routingKey": "#"});
    }
    bindings
}

fn kind(kind: &ExchangeKind) -> &str {
    match kind {
        ExchangeKind::Topic => "topic",
        ExchangeKind::Fanout => "fanout",
        ExchangeKind::Direct => "direct",
        ExchangeKind::Headers => "headers",
        ExchangeKind::Custom(name) => name,
    }
}

fn of_queue(queue: &Queue) -> Value {
    let object = json!({
        "name": queue.name,
        "durable": true,
        "exclusive": false,
        "autoDelete": false,
        "x-arguments": arguments(&queue.arguments),
    });
    binding("queue", "queue", &object)
}

fn binding(kind: &str, field: &str, object: &Value) -> Value {
    json!({"amqp": {"is": kind, field: object, "bindingVersion": BINDING_VERSION}})
}

fn messages(names: &[String]) -> Map<String, Value> {
    names.iter().map(|name| (name.clone(), reference(MESSAGES, name))).collect()
}

fn parameter(about: &str, values: impl IntoIterator<Item = impl Into<Value>>) -> Value {
    let values: Vec<Value> = values.into_iter().map(Into::into).collect();
    json!({"description": about, "enum": values})
}

/// Only the types that our arguments have.
fn arguments(table: &FieldTable) -> Map<String, Value> {
    let json = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => text.to_string().into(),
        AMQPValue::LongUInt(number) => (*number).into(),
        AMQPValue::Boolean(flag) => (*flag).into(),
        other => panic!("no JSON is known for {other:?}"),
    };
    table.inner().iter().map(|(name, value)| (name.to_string(), json(value))).collect()
}
