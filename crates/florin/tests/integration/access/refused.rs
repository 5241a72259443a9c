//! Requests that are not allowed: neither executed nor answered, but dead-lettered with the reason.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::common::{Run, SeedClient, Service, World};

const ONE_USD: &[u8] = br#"{"wallet_id":1,"ticker":"USD","amount":1}"#;

async fn count(client: &SeedClient, queue: &str) -> u32 {
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let queue = client.channel.queue_declare(queue.into(), passive, FieldTable::default());
    queue.await.unwrap().message_count()
}

async fn take(client: &SeedClient) -> Delivery {
    let got = client.channel.basic_get("florin.dead".into(), BasicGetOptions::default()).await.unwrap();
    let delivery = got.unwrap().delivery;
    delivery.acker.ack(BasicAckOptions::default()).await.unwrap();
    delivery
}

/// Sends these requests, which are dead-lettered, and one that is answered; returns the reason of each.
async fn dead_lettered(
    service: &Service,
    client: &mut SeedClient,
    requests: Vec<BasicProperties>,
) -> Vec<(String, String)> {
    for properties in &requests {
        client.publish("invoice", ONE_USD, properties.clone()).await;
    }
    let properties = client.properties().with_user_id("florin".into());
    client.publish("invoice", ONE_USD, properties).await;
    assert_eq!(client.next_reply().await.code, 200);
    service.metric(&format!("florin_dead_lettered_total {}", requests.len())).await;
    service.metric("florin_in_flight_requests 0").await;
    assert_eq!(count(client, "florin.work").await, 0);
    let mut reasons = Vec::new();
    for properties in &requests {
        let dead = take(client).await;
        assert_eq!((dead.data.as_slice(), dead.properties.reply_to()), (ONE_USD, properties.reply_to()));
        let headers = dead.properties.headers().as_ref().unwrap().inner().clone();
        let text = |name: &str| match &headers[name] {
            AMQPValue::LongString(text) => text.to_string(),
            other => panic!("{name} is {other:?}"),
        };
        reasons.push((text("florin-error"), text("florin-reason")));
    }
    assert_eq!(count(client, "florin.dead").await, 0, "nothing came back");
    reasons
}

#[tokio::test]
async fn a_user_can_be_demanded() {
    let world = World::new().await;
    let service = Service::start(&world, &[("FLORIN_BROKER_REQUIRE_USER_ID", "true")]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let requests = vec![client.properties(), BasicProperties::default()];
    for (error, reason) in dead_lettered(&service, &mut client, requests).await {
        assert_eq!(error, "user_id_missing");
        assert!(reason.contains("user_id"), "{reason}");
    }
    assert_eq!(world.ledger().await.balances().await["1/USD"], "1");
}

#[tokio::test]
async fn what_an_operator_sends_again_is_the_operators() {
    let world = World::new().await;
    let service = Service::start(&world, &[("FLORIN_BROKER_REQUIRE_USER_ID", "true")]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let mut headers = FieldTable::default();
    headers.insert("florin-on-behalf-of".into(), AMQPValue::LongString("key:boss".into()));
    let properties = client.properties().with_headers(headers).with_message_id("m".into());
    client.publish("invoice", ONE_USD, properties).await;
    service.metric("florin_dead_lettered_total 1").await;
    let requeued = Run::florin(&world.amqp_url, &["dead", "requeue", "m", "--json"]).await.json();
    assert_eq!(requeued["requeued"], 1);
    assert_eq!(client.next_reply().await.code, 200);
    let sql = "SELECT count(*) FROM postings WHERE requested_by = 'amqp:florin'";
    assert_eq!(world.ledger().await.number(sql).await, 1);
}

#[tokio::test]
async fn no_answer_goes_to_a_queue_of_the_service() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let names = ["florin.work", "florin.dead", "florin.events", "florin.requests"];
    let requests = names.map(|name| client.properties().with_reply_to(name.into())).to_vec();
    let reasons = dead_lettered(&service, &mut client, requests).await;
    for ((error, reason), name) in reasons.iter().zip(names) {
        assert_eq!(error, "reply_to_not_allowed");
        assert!(reason.contains(name) && reason.contains("reserved"), "{reason}");
    }
    assert_eq!(world.ledger().await.balances().await["1/USD"], "1");
}

#[tokio::test]
async fn no_answer_goes_to_a_queue_of_another() {
    let world = World::new().await;
    let service = Service::start(&world, &[("FLORIN_BROKER_REPLY_TO", "own")]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    let victim = client.channel.queue_declare("reply.victim.1".into(), durable, FieldTable::default());
    victim.await.unwrap();
    let own = QueueDeclareOptions { exclusive: true, ..Default::default() };
    client.channel.queue_declare("reply.florin.1".into(), own, FieldTable::default()).await.unwrap();
    let of_user =
        |name: &str| BasicProperties::default().with_reply_to(name.into()).with_user_id("florin".into());
    let requests = vec![
        of_user("reply.victim.1"),
        BasicProperties::default().with_reply_to("reply.florin.1".into()),
        of_user("reply.florin.1.x"),
    ];
    for (error, reason) in dead_lettered(&service, &mut client, requests).await {
        assert_eq!(error, "reply_to_not_allowed");
        assert!(reason.contains("another client's"), "{reason}");
    }
    assert_eq!(count(&client, "reply.victim.1").await, 0);

    client.publish("invoice", ONE_USD, of_user("reply.florin.1")).await;
    service
        .metric("app_queries_status_counter{operation=\"invoice\",status=\"200\",transport=\"amqp\"} 2")
        .await;
    assert_eq!(count(&client, "reply.florin.1").await, 1);
    assert_eq!(world.ledger().await.balances().await["1/USD"], "2");
}
