//! PostgreSQL goes away under load, politely and not, and comes back.

use std::collections::HashSet;
use std::time::Duration;

use florin_wire::Reply;
use lapin::BasicProperties;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;

use crate::common::{SeedClient, Service, World, start_servers};
use crate::load::Load;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_goes_on_when_the_database_is_back() {
    let mut servers = start_servers();
    let world = World::on(&servers).await;
    let service = Service::start(&world, &[]).await;
    let mut load = Load::start(&world, 100, 9).await;
    for kill in [false, true, true] {
        load.answers(500).await;
        if kill {
            servers.postgres.kill();
            servers.postgres.start().unwrap();
        } else {
            servers.postgres.restart().unwrap();
        }
    }
    load.answers(500).await;
    load.finish(&world).await;
    assert!(service.get("/readyz").await.starts_with("HTTP/1.1 200"));
}

/// While it is away nothing is answered, and the prefetch bounds the requests in the service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_requests_wait_in_the_broker() {
    const PREFETCH: u64 = 50;
    let mut servers = start_servers();
    let world = World::on(&servers).await;
    let prefetch = PREFETCH.to_string();
    let mut service = Service::start(&world, &[("FLORIN_BROKER_PREFETCH", prefetch.as_str())]).await;
    let mut load = Load::start(&world, 400, 9).await;
    load.answers(500).await;
    servers.postgres.stop();
    for _ in 0..3 {
        service.line_with("batch failed, retrying").await;
    }
    let answered = load.answered();
    let full = format!("florin_in_flight_requests {PREFETCH}\n");
    service.metric(full.trim_end()).await;
    assert!(service.get("/readyz").await.starts_with("HTTP/1.1 503"));
    assert!(service.get("/healthz").await.starts_with("HTTP/1.1 200"));
    for _ in 0..3 {
        service.line_with("batch failed, retrying").await;
    }
    assert!(service.get("/metrics").await.contains(&full), "no more than the prefetch");
    assert_eq!(load.answered(), answered, "nothing is answered without the database");
    servers.postgres.start().unwrap();
    load.answers(500).await;
    load.finish(&world).await;
}

/// The connection breaks when a commit is done but not yet said. The request is tried again and found,
/// although the client gave it no identity; and two that look the same, and waited behind it, are not taken
/// for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_was_done_but_never_said_is_not_done_again() {
    let servers = start_servers();
    let world = World::on(&servers).await;
    let ledger = world.ledger().await;
    // Commits are done, but not said before a standby has them too; and there is none.
    ledger.sql.batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await.unwrap();
    ledger.sql.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let body = br#"{"wallet_id":1,"ticker":"USD","amount":1}"#;
    let bare = BasicProperties::default().with_reply_to(client.reply_queue.as_str().into());
    client.publish("invoice", body, bare.clone()).await;
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    while ledger.number(waiting).await == 0 {}
    for _ in 0..2 {
        client.publish("invoice", body, bare.clone()).await;
    }
    service.metric("florin_in_flight_requests 3").await;
    let cut_off =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    assert_eq!(ledger.number(cut_off).await, 1);
    ledger.sql.batch_execute("ALTER SYSTEM RESET synchronous_standby_names").await.unwrap();
    ledger.sql.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let mut transactions = HashSet::new();
    let mut replayed = 0;
    for _ in 0..3 {
        let delivery = client.next_delivery().await;
        replayed += u32::from(delivery.properties.headers().is_some());
        transactions.insert(Reply::from_json(&delivery.data).unwrap().receipt().unwrap().transaction_id);
    }
    assert_eq!((transactions.len(), replayed), (3, 1));
    assert_eq!(ledger.number("SELECT count(*) FROM postings").await, 3);
}

/// The broker takes deliveries back from a consumer that holds them for too long, and dead-letters them after
/// some times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_outlive_an_outage_that_is_longer_than_the_brokers_patience() {
    /// More than the delivery limit times the consumer timeout, and what the broker needs to notice it.
    const OUTAGE: Duration = Duration::from_secs(40);
    let mut servers = start_servers();
    let patience = "application:set_env(rabbit, consumer_timeout, 1000),
        application:set_env(rabbit, channel_tick_interval, 500).";
    servers.rabbit.ctl(&["eval", patience]).unwrap();
    let world = World::on(&servers).await;
    let limits = [("FLORIN_BROKER_DELIVERY_LIMIT", "10"), ("FLORIN_ENGINE_OUTAGE_LIMIT_SECS", "1")];
    let mut service = Service::start(&world, &limits).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    servers.postgres.stop();
    let body = br#"{"wallet_id":1,"ticker":"USD","amount":1}"#;
    for _ in 0..30 {
        client.publish("invoice", body, client.properties()).await;
    }
    service.line_with("requests are requeued, and none are taken until it answers").await;
    assert!(service.get("/readyz").await.starts_with("HTTP/1.1 503"));
    service.metric("florin_in_flight_requests 0").await;
    tokio::time::sleep(OUTAGE).await;
    servers.postgres.start().unwrap();
    for _ in 0..30 {
        assert_eq!(client.next_reply().await.code, 200);
    }
    service.line_with("the database executes requests again: taking requests").await;
    service.metric("florin_in_flight_requests 0").await;
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let dead = client.channel.queue_declare("florin.dead".into(), passive, FieldTable::default());
    assert_eq!(dead.await.unwrap().message_count(), 0);
    let ledger = world.ledger().await;
    assert_eq!(ledger.number("SELECT count(*) FROM postings").await, 30);
    ledger.assert_sound().await;
}
