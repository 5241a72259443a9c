//! Whatever is sent: it is answered, nothing else suffers, and the service stays up.

use florin_client::CallOptions;
use florin_wire::{MovementBody, Request};
use lapin::BasicProperties;
use lapin::options::BasicGetOptions;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::common::{SeedClient, Service, World};

/// Bodies that no operation takes.
fn bad_body() -> impl Strategy<Value = Vec<u8>> {
    let wrong_types = "(null|true|\\[\\]|\\{\\}|\"x\"|1e5|-|NaN|\\[\\[\\[1\\]\\]\\])".prop_map(|value| {
        format!(r#"{{"wallet_id":{value},"ticker":{value},"amount":{value}}}"#).into_bytes()
    });
    let nested = (1_usize..20_000).prop_map(|depth| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"wallet_id":{open}{close},"x":{open}"#).into_bytes()
    });
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..300),
        6 => "\\PC{0,100}".prop_map(String::into_bytes),
        6 => wrong_types,
        1 => nested,
        1 => (1_usize..65_536).prop_map(|length| vec![b'{'; length]),
    ]
}

#[tokio::test]
async fn ten_thousand_malformed_requests_are_all_refused() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let mut random = TestRunner::deterministic();
    let mut flood = async |count: usize| {
        let mut sent = 0;
        while sent < count {
            for index in 0..250 {
                let body = bad_body().new_tree(&mut random).unwrap().current();
                let operation = ["invoice", "withdraw", "balance"][index % 3];
                client.publish(operation, &body, client.properties()).await;
            }
            for _ in 0..250 {
                let reply = client.next_reply().await;
                assert_eq!((reply.code, reply.error.as_deref()), (400, Some("malformed")), "{reply:?}");
            }
            sent += 250;
        }
    };
    flood(2_500).await;
    let before_kib = service.resident_kib();
    flood(7_500).await;
    let after_kib = service.resident_kib();
    assert!(after_kib < before_kib + 16 * 1024, "memory grew from {before_kib} to {after_kib} KiB");
    assert_eq!(client.call("balance", br#"{"wallet_id":1}"#).await.code, 200);
    assert!(!service.log().contains("panicked"), "{}", service.log());
    assert_eq!(world.ledger().await.number("SELECT count(*) FROM postings").await, 0);
}

#[tokio::test]
async fn huge_bodies_are_refused_and_unknown_operations_answered() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let huge = vec![b' '; 8 * 1024 * 1024];
    let reply = client.call("invoice", &huge).await;
    assert_eq!((reply.code, reply.error.as_deref()), (413, Some("too_large")));
    let long = "x".repeat(255);
    for operation in ["", "Invoice", "invoice.x", "unknown", &long] {
        let reply = client.call(operation, b"{}").await;
        assert_eq!((reply.code, reply.error.as_deref()), (400, Some("unknown_operation")));
        assert_eq!(reply.operation, operation);
    }
}

/// A client that waits for no answer, or is gone, holds up nobody.
#[tokio::test]
async fn requests_without_a_reader_are_applied_all_the_same() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let body = br#"{"wallet_id":1,"ticker":"USD","amount":1}"#;
    client.publish("invoice", body, BasicProperties::default()).await;
    let gone = BasicProperties::default().with_reply_to("nobody.reads.this".into());
    client.publish("invoice", body, gone).await;
    let balance = client.call("balance", br#"{"wallet_id":1}"#).await.balances().unwrap();
    assert_eq!(balance.actual_balance["USD"].0, "2".parse().unwrap());
    service.metric("florin_replies_unroutable_total 1").await;
}

/// A direct message to the work queue names its operation in the `type` property; direct reply-to works.
#[tokio::test]
async fn a_client_in_a_hurry_is_served() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let options = florin_client::ClientOptions {
        route: florin_client::Route::Queue("florin.work".into()),
        replies: florin_client::Replies::DirectReplyTo,
        ..Default::default()
    };
    let client = florin_client::Client::connect(&world.amqp_url, options).await.unwrap();
    let answer = client.invoice(1, "USD", "0.01".parse().unwrap()).await.unwrap();
    assert_eq!(answer.reply.code, 200);
}

/// Data that the database refuses for a reason of its own: the request goes to the dead-letter queue, and its
/// neighbours in the batch are answered.
#[tokio::test]
async fn what_the_database_refuses_is_dead_lettered_alone() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let ledger = world.ledger().await;
    ledger.sql.batch_execute("ALTER TABLE postings ADD CHECK (amount <> 13)").await.unwrap();
    let mut seed = SeedClient::connect(&world.amqp_url).await;
    // While the database is busy with the first request, the others gather: the next batch is all of them.
    ledger.hold_commits().await;
    let first = br#"{"wallet_id":2,"ticker":"USD","amount":1}"#;
    seed.publish("invoice", first, seed.properties()).await;
    service.metric("florin_in_flight_requests 1").await;
    let options = florin_client::ClientOptions { coalescing: None, ..Default::default() };
    let client = florin_client::Client::connect(&world.amqp_url, options).await.unwrap();
    let credit = |amount: &str| Request::Invoice(MovementBody::new(1, "USD", amount.parse().unwrap()));
    let poison = seed.properties();
    seed.publish("invoice", &credit("13").to_json(), poison.clone()).await;
    let requests: Vec<Request> = (1..=50).filter(|n| *n != 13).map(|n| credit(&n.to_string())).collect();
    let calls = requests.iter().map(|request| client.call(request, CallOptions::default()));
    let gathered = async {
        service.metric("florin_in_flight_requests 51").await;
        ledger.release_commits().await;
    };
    let (answers, ()) = tokio::join!(futures_util::future::try_join_all(calls), gathered);
    assert!(answers.unwrap().iter().all(|answer| answer.reply.code == 200));
    assert_eq!(seed.next_reply().await.code, 200);

    // Dead-lettering is confirmed between the queues; asking the broker again is the only way to see it.
    let dead = loop {
        if let Some(dead) =
            seed.channel.basic_get("florin.dead".into(), BasicGetOptions::default()).await.unwrap()
        {
            break dead;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(dead.properties.correlation_id(), poison.correlation_id());
    // The client would have sent the others again.
    service.metric("florin_dead_lettered_total 1").await;
    assert_eq!(ledger.balances().await["1/USD"], (1..=50).sum::<i32>().saturating_sub(13).to_string());
    let metrics = service.get("/metrics").await;
    assert!(metrics.contains("florin_broker_reconnects_total{connection=\"consumer\"} 0\n"), "{metrics}");
    // The next request of the same client is served.
    assert_eq!(seed.call("balance", br#"{"wallet_id":1}"#).await.code, 200);
}
