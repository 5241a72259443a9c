//! The commands of the pages about access, word for word: what they allow is enough, and nothing else is allowed.

use florin_client::{ClientOptions, Replies};
use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use uuid::Uuid;

use super::{as_user, client};
use crate::common::{Service, World, rabbitmqctl};
use crate::docs;

const ACCESS: &str = "docs/guides/amqp-access.md";
const EVENTS: &str = "docs/guides/events.md";
const ONE_USD: &[u8] = br#"{"wallet_id":1,"ticker":"USD","amount":1}"#;

/// The words of a command line, without their quotes.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for (number, part) in line.split('\'').enumerate() {
        match number % 2 {
            0 => words.extend(part.split_whitespace()),
            _ => words.push(part),
        }
    }
    words
}

/// Does what a page says about this user, in the virtual host of this world.
async fn grant(world: &World, page: &str, user: &str, lines: usize) {
    let (_, vhost) = world.amqp_url.rsplit_once('/').unwrap();
    let page = docs::page(page);
    let commands = page.lines().filter_map(|line| line.strip_prefix("rabbitmqctl ")).map(words);
    let commands: Vec<Vec<&str>> = commands.filter(|words| words.contains(&user)).collect();
    assert_eq!(commands.len(), lines, "{commands:?}");
    for words in commands {
        let words = words.into_iter().map(|word| if word == "/" { vhost } else { word });
        rabbitmqctl(&words.collect::<Vec<_>>()).await;
    }
}

async fn publish(channel: &Channel, exchange: &str, key: &str, user_id: &str) -> lapin::Result<()> {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let properties = BasicProperties::default().with_user_id(user_id.into());
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish(exchange.into(), key.into(), options, ONE_USD, properties);
    sent.await?.await.map(drop)
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> lapin::Result<()> {
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, none).await
}

async fn declare(channel: &Channel, queue: &str) -> lapin::Result<String> {
    let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
    let queue = channel.queue_declare(queue.into(), exclusive, FieldTable::default()).await?;
    Ok(queue.name().to_string())
}

async fn consume(channel: &Channel, queue: &str) -> lapin::Result<()> {
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    channel.basic_consume(queue.into(), "".into(), options, none).await.map(drop)
}

/// Tries what a client must not do, by this number, and says what it is.
async fn trespass(channel: &Channel, number: usize) -> Option<(&'static str, lapin::Result<()>)> {
    let exchange = ExchangeDeclareOptions { durable: true, ..Default::default() };
    Some(match number {
        0 => ("read the work queue", consume(channel, "florin.work").await),
        1 => {
            let got = channel.basic_get("florin.dead".into(), BasicGetOptions::default()).await;
            ("read the dead letters", got.map(drop))
        }
        2 => {
            let purged = channel.queue_purge("florin.work".into(), QueuePurgeOptions::default()).await;
            ("empty the work queue", purged.map(drop))
        }
        3 => {
            let deleted = channel.queue_delete("florin.work".into(), QueueDeleteOptions::default()).await;
            ("delete the work queue", deleted.map(drop))
        }
        4 => {
            ("tell an event", publish(channel, "florin.events", "transaction.invoice.success", "shop").await)
        }
        5 => ("add a dead letter", publish(channel, "florin.dead", "invoice", "shop").await),
        6 => ("send around the exchange", publish(channel, "", "florin.work", "shop").await),
        7 => ("ask for what it may not", publish(channel, "florin.requests", "cancel", "shop").await),
        8 => ("send many in one", publish(channel, "florin.requests", "batch", "shop").await),
        9 => {
            let queue = declare(channel, "").await.unwrap();
            ("listen to requests", bind(channel, &queue, "florin.requests", "#").await)
        }
        10 => {
            let queue = declare(channel, "").await.unwrap();
            ("listen to events", bind(channel, &queue, "florin.events", "#").await)
        }
        11 => ("have a queue of any name", declare(channel, "mine").await.map(drop)),
        12 => ("have a queue of another user", declare(channel, "reply.other.1").await.map(drop)),
        13 => {
            let declared = channel.exchange_declare(
                "florin.events".into(),
                ExchangeKind::Topic,
                exchange,
                FieldTable::default(),
            );
            ("declare an exchange", declared.await)
        }
        _ => return None,
    })
}

#[tokio::test]
async fn the_permissions_of_a_client_are_enough_and_no_more() {
    let mut world = World::new().await;
    grant(&world, ACCESS, "florin_service", 2).await;
    let shop = as_user(&world, "shop", "another password");
    world.amqp_url = as_user(&world, "florin_service", "a password");
    let service = Service::start(&world, &[("FLORIN_BROKER_REPLY_TO", "own")]).await;
    grant(&world, ACCESS, "shop", 3).await;

    for replies in [Replies::ExclusiveQueue, Replies::DirectReplyTo] {
        let client = client(&shop, ClientOptions { replies, coalescing: None, ..Default::default() }).await;
        let answer = client.invoice(1, "USD", "1".parse().unwrap()).await.unwrap();
        let transaction_id = answer.reply.receipt().unwrap().transaction_id;
        let body = client.transaction(transaction_id).await.unwrap().reply.body.unwrap();
        assert!(body.contains(r#""requested_by":"amqp:shop""#), "{body}");
    }
    let connection = Connection::connect(&shop, ConnectionProperties::default()).await.unwrap();
    for name in ["", "reply.shop.1"] {
        let channel = connection.create_channel().await.unwrap();
        let queue = declare(&channel, name).await.unwrap();
        consume(&channel, &queue).await.unwrap();
    }
    let mut tried = 0;
    loop {
        let channel = connection.create_channel().await.unwrap();
        let Some((what, result)) = trespass(&channel, tried).await else { break };
        let error = result.expect_err(what).to_string();
        assert!(error.contains("ACCESS-REFUSED") || error.contains("ACCESS_REFUSED"), "{what}: {error}");
        tried += 1;
    }
    assert_eq!(tried, 14);

    // Another's reply queue is exclusive, whatever it is called.
    let other = Connection::connect(&world.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = other.create_channel().await.unwrap();
    let queue = declare(&channel, &format!("florin.reply.{}", Uuid::new_v4())).await.unwrap();
    let own = connection.create_channel().await.unwrap();
    let error = consume(&own, &queue).await.unwrap_err().to_string();
    assert!(error.contains("RESOURCE"), "{error}");

    // Nobody takes another's name.
    let channel = connection.create_channel().await.unwrap();
    let error =
        publish(&channel, "florin.requests", "invoice", "florin_service").await.unwrap_err().to_string();
    assert!(error.contains("PRECONDITION"), "{error}");
    assert_eq!(world.ledger().await.balances().await["1/USD"], "2", "nothing else was done");
    let (status, log) = service.terminate().await;
    assert!(status.success(), "{log}");
}

#[tokio::test]
async fn the_permissions_of_a_consumer_of_events_are_enough_and_no_more() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let shop = world.client().await;
    grant(&world, EVENTS, "billing", 3).await;
    let url = as_user(&world, "billing", "a third password");
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    declare(&channel, "events.billing").await.unwrap();
    bind(&channel, "events.billing", "florin.events", "transaction.invoice.*").await.unwrap();
    let options = BasicConsumeOptions::default();
    let consumer = channel.basic_consume("events.billing".into(), "".into(), options, FieldTable::default());
    let mut consumer = consumer.await.unwrap();
    assert_eq!(shop.invoice(1, "USD", "1".parse().unwrap()).await.unwrap().reply.code, 200);
    let event = consumer.next().await.unwrap().unwrap();
    assert_eq!(event.routing_key.as_str(), "transaction.invoice.success");

    for number in 0..5 {
        let channel = connection.create_channel().await.unwrap();
        let (what, result) = match number {
            0 => {
                let bound = bind(&channel, "events.billing", "florin.events", "transaction.#").await;
                ("see other events", bound)
            }
            1 => ("see requests", bind(&channel, "events.billing", "florin.requests", "#").await),
            2 => ("ask for anything", publish(&channel, "florin.requests", "invoice", "billing").await),
            3 => ("read the work queue", consume(&channel, "florin.work").await),
            _ => ("have another queue", declare(&channel, "events.shop").await.map(drop)),
        };
        let error = result.expect_err(what).to_string();
        assert!(error.contains("ACCESS-REFUSED") || error.contains("ACCESS_REFUSED"), "{what}: {error}");
    }
}
