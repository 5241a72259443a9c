//! The service is killed, or asked to stop, under load.

use nix::sys::signal::Signal;

use crate::common::{Service, World, start_servers};
use crate::load::Load;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_five_times_it_loses_and_doubles_nothing() {
    let servers = start_servers();
    let world = World::on(&servers).await;
    let mut service = Service::start(&world, &[]).await;
    let mut load = Load::start(&world, 200, 9).await;
    for _ in 0..5 {
        load.answers(500).await;
        service.kill();
        service = Service::start(&world, &[]).await;
    }
    load.answers(500).await;
    let tally = load.finish(&world).await;
    assert!(tally.answers >= 3000, "{tally:?}");
    drop(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_stop_it_finishes_what_it_has_and_exits_with_zero() {
    let servers = start_servers();
    let world = World::on(&servers).await;
    let service = Service::start(&world, &[]).await;
    let mut load = Load::start(&world, 200, 9).await;
    load.answers(1000).await;
    let (status, log) = service.terminate().await;
    assert_eq!(status.code(), Some(0), "{log}");
    // What it did not get to is served by the next one.
    let next = Service::start(&world, &[]).await;
    load.answers(1000).await;
    load.finish(&world).await;
    let (status, log) = next.terminate().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

/// The database is away, so the first signal cannot finish: the second one ends the service at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_twice_it_exits_at_once() {
    let mut servers = start_servers();
    let world = World::on(&servers).await;
    let mut service = Service::start(&world, &[]).await;
    servers.postgres.suspend().unwrap();
    let client = world.client().await;
    let call = tokio::spawn(async move { client.balance(1).await });
    while !service.get("/metrics").await.contains("florin_in_flight_requests 1\n") {}
    service.signal(Signal::SIGTERM);
    service.line_with("stopping").await;
    service.signal(Signal::SIGTERM);
    let (status, log) = service.exit().await;
    assert_eq!(status.code(), Some(130), "{log}");
    call.abort();
    servers.postgres.resume();
}
