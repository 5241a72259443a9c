//! Messages that break what reads or answers them: they harm nobody else, and none of them stays.

use std::time::{Duration, Instant};

use florin_wire::Reply;
use futures_util::StreamExt;
use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::common::{RawAmqp, RawProperties, SeedClient, Service, World, nested_headers, unknown_node};
use crate::dead::list;

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

/// Far deeper than anything that has to be read.
#[tokio::test]
async fn deeply_nested_headers_are_ignored() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let headers = nested_headers(20_000);
    let reply_to = client.reply_queue.clone();
    let properties =
        RawProperties { headers: &headers, reply_to: reply_to.as_bytes(), ..RawProperties::default() };
    let mut raw = RawAmqp::connect(&world.amqp_url).await;
    raw.publish("florin.requests", "balance", &properties, READ).await;
    assert_eq!(client.next_reply().await.code, 200);
}

/// The AMQP library cannot decode it. Whoever was delivered along with it is served as if it were not there.
#[tokio::test]
async fn an_unreadable_message_is_dead_lettered_alone() {
    let world = World::new().await;
    let (status, _) = Service::start(&world, &[]).await.terminate().await;
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
    let service = Service::start(&world, &[]).await;
    let mut answered = std::collections::HashSet::new();
    while answered.len() < 39 {
        let delivery = client.next_delivery().await;
        answered.insert(delivery.properties.correlation_id().clone());
    }
    await_dead_letters(&client, 1).await;
    assert_eq!(client.call("balance", READ).await.code, 200);
    assert_eq!(reconnects(&service, "consumer").await, "0");
    let [letter] = list(&world).await.try_into().unwrap();
    assert_eq!((&letter["error"], &letter["operation"]), (&"undecodable".into(), &"balance".into()));
    assert!(letter["reason"].as_str().unwrap().ends_with(": correlation_id"), "{letter}");
}

/// The broker closes the connection of whoever publishes to such a name.
#[tokio::test]
async fn a_reply_address_that_the_broker_objects_to_stops_no_other_reply() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    for number in 0..100 {
        let mut properties = client.properties();
        if number % 20 == 7 {
            properties = properties.with_reply_to("amq.rabbitmq.reply-to.a.b".into());
        }
        if number % 20 == 11 {
            properties = properties.with_reply_to(unknown_node(number).into());
        }
        client.publish("balance", READ, properties).await;
    }
    for _ in 0..90 {
        assert_eq!(client.next_reply().await.code, 200);
    }
    await_dead_letters(&client, 10).await;
    assert_eq!(reconnects(&service, "consumer").await, "0");
    assert_eq!(reconnects(&service, "publisher").await, "0");
}

/// Clients of the broker's node are answered at their direct addresses, and those that have gone are not waited for.
#[tokio::test]
async fn direct_reply_addresses_are_used() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let gone = SeedClient::connect(&world.amqp_url).await.direct_address().await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let (direct, mut replies) = client.direct_replies().await;
    for _ in 0..20 {
        client.publish("balance", READ, client.properties().with_reply_to(gone.as_str().into())).await;
        client.publish("balance", READ, client.properties().with_reply_to(direct.as_str().into())).await;
        let reply = replies.next().await.unwrap().unwrap();
        assert_eq!(Reply::from_json(&reply.data).unwrap().code, 200);
    }
    assert_eq!(client.call("balance", READ).await.code, 200);
    await_dead_letters(&client, 0).await;
    assert_eq!(reconnects(&service, "publisher").await, "0");
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
