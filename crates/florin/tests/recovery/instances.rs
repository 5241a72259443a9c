//! Two instances: one active and one standing by, or both at work on the same wallets.

use std::collections::HashSet;
use std::time::Instant;

use lapin::BasicProperties;

use crate::common::{SeedClient, Service, World, start_servers};
use crate::load::Load;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_standby_takes_over_within_two_seconds() {
    let servers = start_servers();
    let world = World::on(&servers).await;
    let mut active = Service::start(&world, &[]).await;
    let mut standby = Service::start(&world, &[]).await;
    let mut load = Load::start(&world, 200, 9).await;
    for _ in 0..3 {
        load.answers(500).await;
        assert!(answers_nothing(&standby).await, "one instance works, the other stands by");
        active.kill();
        let killed_at = Instant::now();
        load.answers(200).await;
        let takeover = killed_at.elapsed();
        println!("the standby took over and gave 200 answers {takeover:?} after the kill");
        active = std::mem::replace(&mut standby, Service::start(&world, &[]).await);
    }
    load.finish(&world).await;
}

async fn answers_nothing(service: &Service) -> bool {
    let metrics = service.get("/metrics").await;
    let mut answers = metrics.lines().filter(|line| line.starts_with("app_queries_status_counter{"));
    answers.all(|line| line.ends_with(" 0"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_active_instances_on_hot_wallets_stay_exact() {
    let servers = start_servers();
    let world = World::on(&servers).await;
    let both = [("FLORIN_BROKER_SINGLE_ACTIVE_CONSUMER", "false"), ("FLORIN_BROKER_PREFETCH", "100")];
    let one = Service::start(&world, &both).await;
    let other = Service::start(&world, &both).await;
    let mut load = Load::start(&world, 300, 2).await;
    load.answers(6000).await;
    load.finish(&world).await;
    let mut met = false;
    for service in [&one, &other] {
        assert!(!answers_nothing(service).await, "both work");
        let metrics = service.get("/metrics").await;
        met |= !metrics.contains("florin_batch_retries_total{cause=\"conflict\"} 0\n");
    }
    assert!(met, "they never met on a wallet");
}

/// The original's clients give no identity. Two instances get requests that look the same, at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn look_alikes_at_two_active_instances_are_all_applied() {
    const REQUESTS: usize = 600;
    let servers = start_servers();
    let world = World::on(&servers).await;
    let both = [("FLORIN_BROKER_SINGLE_ACTIVE_CONSUMER", "false"), ("FLORIN_BROKER_PREFETCH", "20")];
    let _one = Service::start(&world, &both).await;
    let _other = Service::start(&world, &both).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let bare = BasicProperties::default().with_reply_to(client.reply_queue.as_str().into());
    for _ in 0..REQUESTS {
        client.publish("invoice", br#"{"wallet_id":1,"ticker":"USD","amount":1}"#, bare.clone()).await;
    }
    let mut transactions = HashSet::new();
    for _ in 0..REQUESTS {
        transactions.insert(client.next_reply().await.receipt().unwrap().transaction_id);
    }
    assert_eq!(transactions.len(), REQUESTS);
    let ledger = world.ledger().await;
    assert_eq!(ledger.balances().await["1/USD"], REQUESTS.to_string());
    ledger.assert_sound().await;
}
