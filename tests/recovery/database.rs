//! PostgreSQL goes away under load, politely and not, and comes back.

use crate::common::{Service, World, start_servers};
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

/// While it is away nothing is answered, and what waits is bounded by the prefetch.
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
        service.line_with("the batch is tried again").await;
    }
    let answered = load.answered();
    let full = format!("florin_in_flight_requests {PREFETCH}\n");
    while !service.get("/metrics").await.contains(&full) {}
    assert!(service.get("/readyz").await.starts_with("HTTP/1.1 503"));
    assert!(service.get("/healthz").await.starts_with("HTTP/1.1 200"));
    for _ in 0..3 {
        service.line_with("the batch is tried again").await;
    }
    assert!(service.get("/metrics").await.contains(&full), "no more than the prefetch");
    assert_eq!(load.answered(), answered, "nothing is answered without the database");
    servers.postgres.start().unwrap();
    load.answers(500).await;
    load.finish(&world).await;
}
