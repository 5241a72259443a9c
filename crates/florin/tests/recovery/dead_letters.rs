//! The dead-letter queue takes nothing: a request that is to go there waits, and no other does.

use std::time::{Duration, Instant};

use lapin::options::{BasicPublishOptions, QueueDeleteOptions};

use crate::common::{Run, SeedClient, Service, World, start_servers};

const READ: &[u8] = br#"{"wallet_id":1}"#;
const DEAD: &str = "florin.dead";

/// Waits until `florin dead list` shows so many messages, and gives why they are there.
async fn errors(world: &World, count: usize) -> Vec<String> {
    let started = Instant::now();
    loop {
        let list = Run::florin(&world.amqp_url, &["dead", "list", "--json"]).await.json();
        let messages = list["messages"].as_array().unwrap();
        if messages.len() == count {
            return messages.iter().map(|message| message["error"].as_str().unwrap().to_owned()).collect();
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{list}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_waits_for_its_queue() {
    let servers = start_servers();
    // The broker tries to move a message again so many milliseconds later: usually three minutes.
    let retry = "application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, 500).";
    servers.rabbit.ctl(&["eval", retry]).unwrap();
    let world = World::on(&servers).await;
    let service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let hostile = |client: &SeedClient| client.properties().with_reply_to("florin.work".into());

    // It is full: the copy is refused, and so is what the broker would move there.
    for _ in 0..3 {
        let options = BasicPublishOptions::default();
        let filler = client.channel.basic_publish("".into(), DEAD.into(), options, READ, client.properties());
        filler.await.unwrap().await.unwrap();
    }
    let full = r#"{"max-length":1,"overflow":"reject-publish"}"#;
    servers.rabbit.ctl(&["set_policy", "full", "^florin.dead$", full, "--apply-to", "queues"]).unwrap();
    client.publish("balance", READ, hostile(&client)).await;
    service.metric("florin_dead_lettered_total 1").await;
    assert_eq!(client.call("balance", READ).await.code, 200);

    // It is gone: the copy comes back.
    client.channel.queue_delete(DEAD.into(), QueueDeleteOptions::default()).await.unwrap();
    servers.rabbit.ctl(&["clear_policy", "full"]).unwrap();
    client.publish("balance", READ, hostile(&client)).await;
    service.metric("florin_dead_lettered_total 2").await;
    assert_eq!(client.call("balance", READ).await.code, 200);

    // The service declares it when it starts.
    assert_eq!(service.terminate().await.0.code(), Some(0));
    let _service = Service::start(&world, &[]).await;
    assert_eq!(errors(&world, 2).await, ["rejected", "rejected"]);
}

/// A reply that is longer than the broker takes: its request is dead-lettered, and others are answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_the_broker_refuses_stops_no_other() {
    let servers = start_servers();
    // The first until 3.13, the second from 4.0 on.
    let limit =
        "application:set_env(rabbit, max_message_size, 4000), persistent_term:put(max_message_size, 4000).";
    servers.rabbit.ctl(&["eval", limit]).unwrap();
    let world = World::on(&servers).await;
    let service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    for _ in 0..30 {
        let invoice = br#"{"wallet_id":1,"ticker":"USD","amount":1}"#;
        assert_eq!(client.call("invoice", invoice).await.code, 200);
    }
    client.publish("history", READ, client.properties()).await;
    service.metric("florin_dead_lettered_total 1").await;
    for _ in 0..3 {
        assert_eq!(client.call("balance", READ).await.code, 200, "the same address is as good as before");
    }
    assert_eq!(errors(&world, 1).await, ["reply_refused"]);
}
