//! RabbitMQ goes away under load, politely and not, and comes back.

use devstack::Stack;
use lapin::options::ConfirmSelectOptions;

use crate::common::{SeedClient, Service, World, start_servers};
use crate::load::Load;

/// RabbitMQ keeps the register of its quorum queues in memory for three seconds before it writes it. A queue
/// that is younger than that when the broker is killed (3.10) comes back without a leader, for ever.
fn settle_queues(servers: &Stack) {
    servers.rabbit.ctl(&["eval", "[ok = dets:sync(Table) || Table <- dets:all()]."]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_comes_back_with_the_broker() {
    let mut servers = start_servers();
    let world = World::on(&servers).await;
    let service = Service::start(&world, &[]).await;
    settle_queues(&servers);
    let mut load = Load::start(&world, 100, 9).await;
    for kill in [false, true, true] {
        load.answers(300).await;
        if kill {
            servers.rabbit.kill();
            servers.rabbit.start().unwrap();
        } else {
            servers.rabbit.restart().unwrap();
        }
    }
    load.answers(300).await;
    load.finish(&world).await;
    // The original's exchange does not survive a restart: the service has declared it and bound it again.
    let mut client = SeedClient::connect(&world.amqp_url).await;
    assert_eq!(client.call("balance", br#"{"wallet_id":1}"#).await.code, 200);
    // It was the same process all the time.
    assert!(service.get("/readyz").await.starts_with("HTTP/1.1 200"));
    let (status, log) = service.terminate().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

/// No service is there, and the broker is killed: what it had confirmed waits in it all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirmed_requests_survive_a_killed_broker() {
    let mut servers = start_servers();
    let world = World::on(&servers).await;
    // It declares the queues and goes.
    let (status, log) = Service::start(&world, &[]).await.terminate().await;
    assert_eq!(status.code(), Some(0), "{log}");
    settle_queues(&servers);
    let client = SeedClient::connect(&world.amqp_url).await;
    client.channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    for _ in 0..20 {
        let body = br#"{"wallet_id":1,"ticker":"USD","amount":1}"#;
        client.publish("invoice", body, client.properties()).await;
    }
    servers.rabbit.kill();
    servers.rabbit.start().unwrap();
    let _service = Service::start(&world, &[]).await;
    // The queue is in order: this one comes last.
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let balances = client.call("balance", br#"{"wallet_id":1}"#).await.balances().unwrap();
    assert_eq!(balances.actual_balance["USD"].0, "20".parse().unwrap());
}

/// Neither the broker nor the database has to be there first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_may_start_before_its_servers() {
    let mut servers = start_servers();
    let world = World::on(&servers).await;
    servers.rabbit.stop();
    servers.postgres.stop();
    let mut service = Service::spawn(&world, &[]);
    service.line_with("database unavailable, retrying").await;
    servers.postgres.start().unwrap();
    service.line_with("cannot connect to RabbitMQ").await;
    servers.rabbit.start().unwrap();
    service.line_with("consumer started").await;
    let answer = world.client().await.balance(1).await.unwrap();
    assert_eq!(answer.reply.code, 200);
}

/// The service may not publish replies for a while: that says nothing of the requests, and they wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_that_is_missing_is_waited_for() {
    let servers = start_servers();
    let world = World::on(&servers).await;
    let mut service = Service::start(&world, &[]).await;
    let may_write = |what: &str| {
        servers.rabbit.ctl(&["set_permissions", "-p", "/", "florin", ".*", what, ".*"]).unwrap();
    };
    let mut client = SeedClient::connect(&world.amqp_url).await;
    may_write("^(queries|florin.*)$");
    for _ in 0..10 {
        client.publish("balance", br#"{"wallet_id":1}"#, client.properties()).await;
    }
    for _ in 0..4 {
        service.line_with("connection to RabbitMQ lost").await;
    }
    may_write(".*");
    for _ in 0..10 {
        assert_eq!(client.next_reply().await.code, 200);
    }
    service.metric("florin_dead_lettered_total 0").await;
}
