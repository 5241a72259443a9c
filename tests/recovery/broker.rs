//! RabbitMQ goes away under load, politely and not, and comes back.

use crate::common::{Service, World, start_servers};
use crate::load::Load;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_comes_back_with_the_broker() {
    let mut servers = start_servers();
    let world = World::on(&servers).await;
    let service = Service::start(&world, &[]).await;
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
    // It was the same process all the time.
    assert!(service.get("/readyz").await.starts_with("HTTP/1.1 200"));
    let (status, log) = service.terminate().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

/// Neither the broker nor the database has to be there first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_may_start_before_its_servers() {
    let mut servers = start_servers();
    let world = World::on(&servers).await;
    servers.rabbit.stop();
    servers.postgres.stop();
    let mut service = Service::spawn(&world, &[]);
    service.line_with("the database is tried again").await;
    servers.postgres.start().unwrap();
    service.line_with("no connection to the broker").await;
    servers.rabbit.start().unwrap();
    service.line_with("taking requests").await;
    let answer = world.client().await.balance(1).await.unwrap();
    assert_eq!(answer.reply.code, 200);
}
