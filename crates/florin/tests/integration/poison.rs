//! Messages that break what reads or answers them: they harm nobody else, and none of them stays.

use std::time::{Duration, Instant};

use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::common::{RawAmqp, RawProperties, SeedClient, Service, World};

const READ: &[u8] = br#"{"wallet_id":1}"#;

/// Waits until so many messages are in the dead-letter queue: only the broker knows.
async fn await_dead_letters(client: &SeedClient, count: u32) {
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let started = Instant::now();
    loop {
        let queue = client.channel.queue_declare("florin.dead".into(), passive, FieldTable::default());
        let dead = queue.await.unwrap().message_count();
        assert!(dead <= count, "{dead} dead letters");
        if dead == count {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{dead} dead letters");
        tokio::task::yield_now().await;
    }
}

async fn reconnects(service: &Service, connection: &str) -> String {
    let metrics = service.get("/metrics").await;
    let name = format!("florin_broker_reconnects_total{{connection=\"{connection}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).expect("the metric").to_owned()
}

/// 20,000 arrays in one another: the AMQP library reads them recursively.
#[tokio::test]
async fn deeply_nested_headers_are_read() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let mut value = b"V".to_vec();
    for _ in 0..20_000 {
        let length = u32::try_from(value.len()).unwrap().to_be_bytes();
        value.splice(0..0, [b'A'].into_iter().chain(length));
    }
    let headers = [&[1, b'x'][..], &value].concat();
    let reply_to = client.reply_queue.clone();
    let properties =
        RawProperties { headers: &headers, reply_to: reply_to.as_bytes(), ..RawProperties::default() };
    let mut raw = RawAmqp::connect(&world.amqp_url).await;
    raw.publish("florin.requests", "balance", &properties, READ).await;
    assert_eq!(client.next_reply().await.code, 200);
}

/// The AMQP library gives up the connection over it. Whoever was delivered along with it is served all the same.
#[tokio::test]
async fn an_unreadable_message_is_dead_lettered_alone() {
    let world = World::new().await;
    let limit = [("FLORIN_BROKER_DELIVERY_LIMIT", "10")];
    let (status, _) = Service::start(&world, &limit).await.terminate().await;
    assert!(status.success());
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let reply_to = client.reply_queue.clone();
    let mut raw = RawAmqp::connect(&world.amqp_url).await;
    for number in 0..40_u8 {
        let readable = number.to_string();
        let correlation_id = if number == 20 { b"\xff\xfe" } else { readable.as_bytes() };
        let properties =
            RawProperties { correlation_id, reply_to: reply_to.as_bytes(), ..RawProperties::default() };
        raw.publish("florin.requests", "balance", &properties, READ).await;
    }
    let service = Service::start(&world, &limit).await;
    let mut answered = std::collections::HashSet::new();
    while answered.len() < 39 {
        let delivery = client.next_delivery().await;
        answered.insert(delivery.properties.correlation_id().clone());
    }
    await_dead_letters(&client, 1).await;
    assert_eq!(client.call("balance", READ).await.code, 200);
    drop(service);
}

/// The broker closes the connection of whoever publishes to such a name.
#[tokio::test]
async fn a_reply_address_that_the_broker_objects_to_stops_no_other_reply() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    for number in 0..100 {
        let mut properties = client.properties();
        if number % 40 == 7 {
            properties = properties.with_reply_to("amq.rabbitmq.reply-to.a.b".into());
        }
        client.publish("balance", READ, properties).await;
    }
    for _ in 0..97 {
        assert_eq!(client.next_reply().await.code, 200);
    }
    await_dead_letters(&client, 3).await;
    assert_eq!(reconnects(&service, "consumer").await, "0");
}

/// A reply queue that takes no more refuses the reply: it is counted and dropped, and nobody else notices.
#[tokio::test]
async fn a_full_reply_queue_is_its_owners_problem() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let arguments = FieldTable::from(std::collections::BTreeMap::from([
        ("x-max-length".into(), AMQPValue::LongInt(1)),
        ("x-overflow".into(), AMQPValue::LongString("reject-publish".into())),
    ]));
    let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
    client.channel.queue_declare("full".into(), exclusive, arguments).await.unwrap();
    let options = BasicPublishOptions::default();
    let filler = client.channel.basic_publish("".into(), "full".into(), options, b"x", client.properties());
    filler.await.unwrap().await.unwrap();
    for _ in 0..5 {
        client.publish("balance", READ, client.properties().with_reply_to("full".into())).await;
    }
    assert_eq!(client.call("balance", READ).await.code, 200);
    assert_eq!(reconnects(&service, "consumer").await, "0");
    assert_eq!(reconnects(&service, "publisher").await, "0");
    service.metric("florin_replies_unroutable_total 5").await;
}
