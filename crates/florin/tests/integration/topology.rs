//! Exchanges and queues that are not as the service would declare them, or are deleted under it.

use florin_wire::names::{DEAD_LETTERS, REQUESTS_EXCHANGE, SEED_EXCHANGE, WORK_QUEUE};
use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};

use crate::common::{Run, Service, World};

async fn channel(world: &World) -> (Connection, Channel) {
    let connection = Connection::connect(&world.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// A queue with another delivery limit, of several active consumers, and an exchange that is durable: the service uses
/// them as they are, says so once, and so does `florin status`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exists_with_other_settings_is_adopted() {
    let world = World::new().await;
    let (_connection, channel) = channel(&world).await;
    let text = |value: &str| AMQPValue::LongString(value.into());
    let mut arguments = FieldTable::default();
    for (name, value) in [
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongUInt(33)),
        ("x-dead-letter-exchange", text(DEAD_LETTERS)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ] {
        arguments.insert(name.into(), value);
    }
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(WORK_QUEUE.into(), durable, arguments).await.unwrap();
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let queries = SEED_EXCHANGE.into();
    channel.exchange_declare(queries, ExchangeKind::Topic, durable, FieldTable::default()).await.unwrap();

    let service = Service::start(&world, &[]).await;
    assert_eq!(world.client().await.balance(1).await.unwrap().reply.code, 200);
    let log = service.log();
    for part in ["x-delivery-limit", "x-single-active-consumer", "'durable' for exchange 'queries'"] {
        let lines = log.lines().filter(|line| line.contains("declared with other settings"));
        assert_eq!(lines.filter(|line| line.contains(part)).count(), 1, "{part}: {log}");
    }
    let status = ["status", "--json", "--database-url", world.database_url.as_str()];
    let status = Run::florin(&world.amqp_url, &status).await.json();
    let notes = status["notes"].to_string();
    for part in ["the queue florin.work was declared", "'33'", "the exchange queries was declared"] {
        assert!(notes.contains(part), "{part} is not in {status}");
    }
    assert_eq!(status["ok"], true, "{status}");
}

/// The same service goes on: what is missing is declared again, and requests are executed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_comes_back() {
    let world = World::new().await;
    let mut service = Service::start(&world, &[]).await;
    let (_connection, channel) = channel(&world).await;
    let client = world.client().await;
    assert_eq!(client.balance(1).await.unwrap().reply.code, 200);

    channel.exchange_delete(REQUESTS_EXCHANGE.into(), ExchangeDeleteOptions::default()).await.unwrap();
    channel.queue_delete(DEAD_LETTERS.into(), QueueDeleteOptions::default()).await.unwrap();
    let line = service.line_with("deleted while the service was running").await;
    assert!(line.contains("queue florin.dead, exchange florin.requests"), "{line}");
    service.line_with("declared again").await;
    assert_eq!(world.client().await.balance(1).await.unwrap().reply.code, 200);
    service.readyz(200, r#""reasons":[]"#).await;

    channel.queue_delete(WORK_QUEUE.into(), QueueDeleteOptions::default()).await.unwrap();
    service.line_with("RabbitMQ cancelled the consumer").await;
    service.line_with("consumer started").await;
    assert_eq!(world.client().await.balance(1).await.unwrap().reply.code, 200);
}
