//! The client of the original system, step by step and without anything of ours: declares the exchange
//! `queries` and a reply queue, sends 30 invoices, 40 withdrawals and 50 balance requests of 1 USD on random
//! wallets 1 to 8 all at once, and waits for 120 answers. Exits non-zero when one is missing.
//!
//! `cargo run -p florin-client --example seed_client -- amqp://...`

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use uuid::Uuid;

const SCENARIO: [(&str, usize); 3] = [("invoice", 30), ("withdraw", 40), ("balance", 50)];
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("usage: seed_client amqp://user:password@host:port/%2f")?;
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let transient = ExchangeDeclareOptions::default();
    channel.exchange_declare("queries".into(), ExchangeKind::Topic, transient, FieldTable::default()).await?;
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), exclusive, FieldTable::default()).await?;
    let no_ack = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let consumer = channel.basic_consume(queue.name().clone(), "".into(), no_ack, FieldTable::default());
    let mut replies = consumer.await?;

    let mut missing = HashSet::new();
    for (operation, count) in SCENARIO {
        for _ in 0..count {
            missing.insert(send(&channel, queue.name().as_str(), operation).await?);
        }
    }
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    while !missing.is_empty() {
        let reply = tokio::time::timeout(PATIENCE, replies.next()).await;
        let reply = reply.map_err(|_| format!("{} answers are missing", missing.len()))?;
        let reply = reply.ok_or("the broker closed the queue")??;
        let correlation_id = reply.properties.correlation_id().as_ref().map(ToString::to_string);
        if correlation_id.is_some_and(|id| missing.remove(&id)) {
            let reply = florin_wire::Reply::from_json(&reply.data)?;
            *answers.entry(format!("{} {}", reply.operation, reply.code)).or_default() += 1;
        }
    }
    println!("120 answers: {answers:?}");
    Ok(())
}

/// Returns the correlation id.
async fn send(channel: &Channel, reply_to: &str, operation: &str) -> Result<String, lapin::Error> {
    let correlation_id = Uuid::new_v4();
    let wallet_id = 1 + correlation_id.as_u128() % 8;
    let body = match operation {
        "balance" => format!(r#"{{"wallet_id":{wallet_id}}}"#),
        _ => format!(r#"{{"wallet_id":{wallet_id},"ticker":"USD","amount":1}}"#),
    };
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_correlation_id(correlation_id.to_string().into())
        .with_reply_to(reply_to.into());
    let options = BasicPublishOptions::default();
    let published = channel
        .basic_publish("queries".into(), operation.into(), options, body.as_bytes(), properties)
        .await?;
    published.await?;
    Ok(correlation_id.to_string())
}
