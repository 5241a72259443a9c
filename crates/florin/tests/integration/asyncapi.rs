//! docs/asyncapi.json against a running service and its broker.

use std::collections::HashSet;
use std::time::Duration;

use florin_wire::schema::Schemas;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Consumer, ExchangeKind};
use serde_json::Value;

use crate::common::{SeedClient, Service, World};

const PATIENCE: Duration = Duration::from_secs(60);
const FAILING: &str = r#"{"atomic":true,"operations":[
    {"operation":"balance","wallet_id":2},
    {"operation":"withdraw","wallet_id":2,"ticker":"USD","amount":1}
]}"#;
const ID: &str = "0190a5b0-7c1e-7d3c-8c3e-0123456789ab";

fn document() -> Value {
    serde_json::from_str(include_str!("../../../../docs/asyncapi.json")).unwrap()
}

fn arguments(queue: &Value) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in queue["x-arguments"].as_object().unwrap() {
        let value = match value {
            Value::String(text) => AMQPValue::LongString(text.as_str().into()),
            Value::Number(number) => AMQPValue::LongUInt(number.as_u64().unwrap().try_into().unwrap()),
            other => AMQPValue::Boolean(other.as_bool().unwrap()),
        };
        table.insert(name.as_str().into(), value);
    }
    table
}

async fn declare_queue(channel: &Channel, queue: &Value, arguments: FieldTable) -> lapin::Result<()> {
    let flag = |name: &str| queue[name].as_bool().unwrap();
    let options = QueueDeclareOptions {
        durable: flag("durable"),
        exclusive: flag("exclusive"),
        auto_delete: flag("autoDelete"),
        ..Default::default()
    };
    channel.queue_declare(queue["name"].as_str().unwrap().into(), options, arguments).await.map(drop)
}

async fn declare_exchange(channel: &Channel, exchange: &Value) -> lapin::Result<()> {
    let kind = match exchange["type"].as_str().unwrap() {
        "topic" => ExchangeKind::Topic,
        "fanout" => ExchangeKind::Fanout,
        other => panic!("{other}"),
    };
    let options = ExchangeDeclareOptions {
        durable: exchange["durable"].as_bool().unwrap(),
        auto_delete: exchange["autoDelete"].as_bool().unwrap(),
        ..Default::default()
    };
    let name = exchange["name"].as_str().unwrap().into();
    channel.exchange_declare(name, kind, options, FieldTable::default()).await
}

/// The broker refuses to declare again with other properties what is there.
#[tokio::test]
async fn exchanges_and_queues_are_as_documented() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let client = SeedClient::connect(&world.amqp_url).await;
    let document = document();
    let mut count = 0;
    for (name, channel) in document["channels"].as_object().unwrap() {
        let binding = &channel["bindings"]["amqp"];
        let declared = match binding["is"].as_str().unwrap() {
            "queue" => declare_queue(&client.channel, &binding["queue"], arguments(&binding["queue"])).await,
            _ if binding["exchange"]["type"] == "default" => continue,
            _ => declare_exchange(&client.channel, &binding["exchange"]).await,
        };
        declared.unwrap_or_else(|error| panic!("{name}: {error}"));
        count += 1;
    }
    assert_eq!(count, 6);
    let work = &document["channels"]["work"]["bindings"]["amqp"]["queue"];
    let mut other = arguments(work);
    other.insert("x-delivery-limit".into(), AMQPValue::LongUInt(21));
    declare_queue(&client.channel, work, other).await.unwrap_err();
}

async fn next(consumer: &mut Consumer) -> Delivery {
    let next = tokio::time::timeout(PATIENCE, consumer.next()).await;
    next.expect("in time").expect("the consumer stands").expect("the connection stands")
}

async fn consume(client: &SeedClient, queue: &str) -> Consumer {
    let no_ack = BasicConsumeOptions { no_ack: true, ..Default::default() };
    client.channel.basic_consume(queue.into(), queue.into(), no_ack, FieldTable::default()).await.unwrap()
}

fn assert_valid(name: &str, json: &[u8]) -> Value {
    let value = serde_json::from_slice(json).unwrap();
    let schema = Schemas::new().get(name).unwrap();
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    if let Err(error) = validator.validate(&value) {
        panic!("{name}: {error} in {value}");
    }
    value
}

/// One request of each kind: what is answered and told validates, and is addressed as documented.
#[tokio::test]
async fn answers_and_events_are_as_documented() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
    client.channel.queue_declare("told".into(), exclusive, FieldTable::default()).await.unwrap();
    let everything = QueueBindOptions::default();
    let events = "florin.events".into();
    client
        .channel
        .queue_bind("told".into(), events, "#".into(), everything, FieldTable::default())
        .await
        .unwrap();
    let mut told = consume(&client, "told").await;

    let one = format!(r#"{{"transaction_id":"{ID}"}}"#);
    let requests = [
        ("invoice", r#"{"wallet_id":1,"ticker":"USD","amount":"10.50","metadata":{"order":1.0}}"#),
        ("withdraw", r#"{"wallet_id":1,"ticker":"USD","amount":4,"pending":true,"timeout":3600}"#),
        ("settle", r#"{"transaction_id":"0190a5b0-7c1e-7d3c-8c3e-0123456789ab","amount":1.25}"#),
        ("cancel", &one),
        ("expire", &one),
        ("transfer", r#"{"wallet_id":1,"to_wallet_id":2,"ticker":"USD","amount":100}"#),
        ("balance", r#"{"wallet_id":1}"#),
        ("transaction", &one),
        ("history", r#"{"wallet_id":1,"limit":2}"#),
        ("batch", r#"{"operations":[{"operation":"balance","wallet_id":1}]}"#),
        ("batch", FAILING),
    ];
    let mut codes = Vec::new();
    for (operation, body) in requests {
        assert_valid(&format!("{operation}.request"), body.as_bytes());
        let mut properties = client.properties();
        if operation == "withdraw" {
            properties = properties.with_message_id(ID.into());
        }
        client.publish(operation, body.as_bytes(), properties).await;
        let reply = assert_valid(&format!("{operation}.reply"), &client.next_delivery().await.data);
        if let Some(body) = reply["body"].as_str() {
            assert_valid(&format!("{operation}.body"), body.as_bytes());
        }
        codes.push(reply["code"].as_u64().unwrap());
    }
    assert_eq!(codes, [200, 202, 200, 409, 409, 400, 200, 200, 200, 200, 400]);
    assert_eq!(client.call("refund", b"{}").await.code, 400);

    let mut steps: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    while steps.len() < 5 {
        let message = next(&mut told).await;
        let json = assert_valid("events", &message.data);
        assert_eq!(message.properties.delivery_mode(), &Some(2));
        for event in json["events"].as_array().unwrap() {
            let status = event["transaction"]["status"].as_str().unwrap().to_lowercase();
            let event_id = format!("{}.{status}", event["transaction"]["transaction_id"].as_str().unwrap());
            assert_eq!(event["event_id"], event_id);
            // A request for an end that was made already tells it again.
            if seen.insert(event_id) {
                steps.push(message.routing_key.to_string());
            }
        }
    }
    let expected =
        ["invoice.success", "withdraw.created", "withdraw.success", "transfer.error", "withdraw.error"];
    assert_eq!(steps, expected.map(|step| format!("transaction.{step}")));
}

/// The headers on a request that nobody worked on in its time.
#[tokio::test]
async fn dead_letters_are_as_documented() {
    let world = World::new().await;
    let (status, _) = Service::start(&world, &[]).await.terminate().await;
    assert!(status.success());
    let client = SeedClient::connect(&world.amqp_url).await;
    let properties = BasicProperties::default().with_expiration("1".into()).with_type("balance".into());
    let options = BasicPublishOptions::default();
    let published = client.channel.basic_publish("".into(), "florin.work".into(), options, b"{}", properties);
    published.await.unwrap().await.unwrap();
    let dead = next(&mut consume(&client, "florin.dead").await).await;
    assert_eq!((dead.routing_key.as_str(), dead.data.as_slice()), ("florin.work", &b"{}"[..]));
    let headers = dead.properties.headers().as_ref().unwrap().inner();
    let schema = &document()["components"]["schemas"]["DeadLetterProperties"]["properties"];
    // The others are the service's own: `dead` and `access` are about those.
    for name in schema.as_object().unwrap().keys().filter(|name| name.starts_with("x-")) {
        assert!(headers.contains_key(name.as_str()), "{name} in {headers:?}");
    }
    assert_eq!(headers["x-first-death-reason"], AMQPValue::LongString("expired".into()));
}
