//! The service is killed, or asked to stop, under load.

use florin_keys::Role;
use florin_store::NewKey;
use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinSet;

use crate::common::{SeedClient, Service, World, start_servers};
use crate::load::Load;

const ONE_USD: &[u8] = br#"{"wallet_id":1,"ticker":"USD","amount":1}"#;

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

/// Requests in flight at SIGTERM are executed and answered: there is no other instance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_stop_it_answers_what_it_has_taken() {
    let servers = start_servers();
    let world = World::on(&servers).await;
    let mut service = Service::start(&world, &[]).await;
    let ledger = world.ledger().await;
    ledger.hold_commits().await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    for _ in 0..10 {
        client.publish("invoice", ONE_USD, client.properties()).await;
    }
    service.metric("florin_in_flight_requests 10").await;
    service.signal(Signal::SIGTERM);
    service.line_with("stopping").await;
    ledger.release_commits().await;
    let (status, log) = service.exit().await;
    assert_eq!(status.code(), Some(0), "{log}");
    for _ in 0..10 {
        assert_eq!(client.next_reply().await.code, 200);
    }
}

/// Clients that go on asking on their connections at SIGTERM lose no answer: the last one says that it is the last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_stop_it_answers_every_request_on_busy_connections() {
    let servers = start_servers();
    let world = World::on(&servers).await;
    let service = Service::start(&world, &[]).await;
    let key = NewKey { name: "shop".into(), role: Role::Client, wallets: None, expires_at: None };
    let key = world.store.create_key(&key).await.unwrap().reveal();
    let (answered, mut answers) = mpsc::unbounded_channel();
    let mut clients = JoinSet::new();
    for _ in 0..12 {
        clients.spawn(invoices_until_closed(service.http_address.clone(), key.clone(), answered.clone()));
    }
    drop(answered);
    let mut count: i64 = 0;
    while count < 200 {
        answers.recv().await.unwrap();
        count += 1;
    }
    let (status, log) = service.terminate().await;
    assert_eq!(status.code(), Some(0), "{log}");
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    while answers.recv().await.is_some() {
        count += 1;
    }
    assert_eq!(world.ledger().await.number("SELECT count(*) FROM postings").await, count);
}

/// Sends one request after the other on one connection, until an answer says that it is the last.
async fn invoices_until_closed(address: String, key: String, answered: UnboundedSender<()>) {
    let body = std::str::from_utf8(ONE_USD).unwrap();
    let length = body.len();
    let request = format!(
        "POST /invoice HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let mut stream = BufReader::new(TcpStream::connect(&address).await.unwrap());
    loop {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).await.unwrap(), 0, "no answer: {head:?}");
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        answered.send(()).unwrap();
        if head.contains("\r\nconnection: close\r\n") {
            return;
        }
    }
}

/// It is killed when its commit is done and the broker blocks publishing. The request is still in the queue,
/// and the next service knows it for the same by the broker's flag alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_commit_and_answer_it_leaves_the_answer_to_the_next() {
    let servers = start_servers();
    let world = World::on(&servers).await;
    let mut service = Service::start(&world, &[]).await;
    let ledger = world.ledger().await;
    ledger.hold_commits().await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    client.publish("invoice", ONE_USD, client.properties()).await;
    service.metric("florin_in_flight_requests 1").await;
    servers.rabbit.ctl(&["set_vm_memory_high_watermark", "0"]).unwrap();
    ledger.release_commits().await;
    service.line_with("blocks publishing").await;
    service.readyz(503, r#""code":"broker_blocked""#).await;
    service.kill();
    servers.rabbit.ctl(&["set_vm_memory_high_watermark", "0.4"]).unwrap();

    let _next = Service::start(&world, &[]).await;
    let last = client.properties();
    client.publish("balance", br#"{"wallet_id":1}"#, last.clone()).await;
    // The broker may still find the first answer in what it had not read of the killed service's connection.
    let mut replayed = 0;
    loop {
        let delivery = client.next_delivery().await;
        if delivery.properties.correlation_id() == last.correlation_id() {
            break;
        }
        replayed += usize::from(delivery.properties.headers().is_some());
    }
    assert_eq!(replayed, 1, "it was acknowledged before its answer, or taken for another one");
    assert_eq!(ledger.number("SELECT count(*) FROM postings").await, 1);
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
    service.metric("florin_in_flight_requests 1").await;
    service.readyz(503, r#""code":"database_frozen""#).await;
    service.signal(Signal::SIGTERM);
    service.line_with("stopping").await;
    service.signal(Signal::SIGTERM);
    let (status, log) = service.exit().await;
    assert_eq!(status.code(), Some(130), "{log}");
    call.abort();
    servers.postgres.resume();
}
