//! Dead letters: they say why they are there, and `florin dead` shows them, requeues them and drops them without
//! losing any.

mod moved;
mod reasons;
mod requeue;
mod tool;

use std::time::{Duration, Instant};

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use serde_json::Value;

use crate::common::{Run, SeedClient, Service, World};

pub(crate) const DEAD: &str = "florin.dead";
const WORK: &str = "florin.work";
const ONE_USD: &[u8] = br#"{"wallet_id":1,"ticker":"USD","amount":1}"#;
pub(crate) const READ: &[u8] = br#"{"wallet_id":1}"#;

async fn ready(client: &SeedClient, queue: &str) -> u32 {
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let queue = client.channel.queue_declare(queue.into(), passive, FieldTable::default());
    queue.await.unwrap().message_count()
}

/// Waits until so many messages are in a queue and nobody holds any: only the broker knows.
pub(crate) async fn await_ready(client: &SeedClient, queue: &str, count: u32) {
    let started = Instant::now();
    loop {
        let now = ready(client, queue).await;
        if now == count {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{now} messages in {queue}, not {count}");
        tokio::task::yield_now().await;
    }
}

/// The queues are there and nobody serves them.
async fn without_a_service(world: &World) -> SeedClient {
    let (status, log) = Service::start(world, &[]).await.terminate().await;
    assert!(status.success(), "{log}");
    SeedClient::connect(&world.amqp_url).await
}

async fn publish(client: &SeedClient, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) {
    let options = BasicPublishOptions::default();
    let published = client.channel.basic_publish(exchange.into(), key.into(), options, body, properties);
    published.await.unwrap().await.unwrap();
}

async fn declare(client: &SeedClient, queue: &str, arguments: FieldTable) {
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    client.channel.queue_declare(queue.into(), options, arguments).await.unwrap();
}

/// Publishes requests that expire at once, one after the other.
async fn expire(client: &SeedClient, operation: &str, body: &[u8], properties: BasicProperties) {
    let before = ready(client, DEAD).await;
    client.publish(operation, body, properties.with_expiration("1".into())).await;
    await_ready(client, DEAD, before + 1).await;
}

async fn dead(world: &World, arguments: &[&str]) -> Run {
    Run::florin(&world.amqp_url, &[&["dead"], arguments].concat()).await
}

pub(crate) async fn list(world: &World) -> Vec<Value> {
    let list = dead(world, &["list", "--json", "--limit", "1000"]).await.json();
    let messages = list["messages"].as_array().unwrap().clone();
    assert_eq!(list["total"], messages.len());
    messages
}

/// Takes all messages out of a queue.
async fn take_all(client: &SeedClient, queue: &str) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while let Some(message) =
        client.channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap()
    {
        message.delivery.acker.ack(BasicAckOptions::default()).await.unwrap();
        taken.push(message.delivery);
    }
    taken
}

fn message_id(delivery: &Delivery) -> String {
    delivery.properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default()
}

/// Publishes so many requests into the dead-letter queue, as the broker would.
async fn fill(client: &SeedClient, count: u32) {
    let before = ready(client, DEAD).await;
    for number in 0..count {
        let properties = BasicProperties::default().with_message_id(format!("m{number}").into());
        publish(client, DEAD, "invoice", ONE_USD, properties).await;
    }
    await_ready(client, DEAD, before + count).await;
}
