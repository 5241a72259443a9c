//! A listener's queue is full and refuses events: requests go on, and no event is lost, whoever is killed.

use std::collections::BTreeMap;
use std::time::Duration;

use florin_wire::names::{EVENTS_EXCHANGE, PARKED_EVENTS};
use florin_wire::{Events, Reply};
use lapin::options::{BasicGetOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};

use crate::common::{Run, SeedClient, Service, World, start_servers};

/// Takes a few events and refuses the others.
const FULL: &str = "listener.full";
const HEALTHY: &str = "listener.healthy";
const WALLETS: i64 = 3;
const PATIENCE: Duration = Duration::from_secs(60);
/// Events are parked after a second.
const SOON: [(&str, &str); 1] = [("FLORIN_EVENTS_PARK_AFTER_SECS", "1")];

/// The versions of each wallet that a queue was told of.
type Versions = BTreeMap<i64, Vec<i64>>;

/// Two queues that get every event, one of which is bounded.
async fn listen(world: &World) -> (Connection, Channel) {
    let connection = Connection::connect(&world.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let events = || EVENTS_EXCHANGE.into();
    channel.exchange_declare(events(), ExchangeKind::Topic, durable, FieldTable::default()).await.unwrap();
    for (queue, max_length) in [(FULL, Some(3)), (HEALTHY, None)] {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        if let Some(max_length) = max_length {
            arguments.insert("x-max-length".into(), AMQPValue::LongUInt(max_length));
            arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        }
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(queue.into(), durable, arguments).await.unwrap();
        let bind = QueueBindOptions::default();
        channel.queue_bind(queue.into(), events(), "#".into(), bind, FieldTable::default()).await.unwrap();
    }
    (connection, channel)
}

/// Takes what a queue has.
async fn take(channel: &Channel, queue: &str, told: &mut Versions) {
    while let Some(message) = channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap()
    {
        let events = Events::from_json(&message.delivery.data).unwrap().events;
        assert!(events.iter().all(|event| event.routing_key() == message.delivery.routing_key.as_str()));
        for balance in events.iter().flat_map(|event| &event.balances) {
            told.entry(balance.wallet_id).or_default().push(balance.version);
        }
    }
}

/// Takes events until there is every version of each wallet.
async fn take_all(channel: &Channel, queue: &str, per_wallet: i64) -> Versions {
    let mut told = Versions::new();
    let complete = |told: &Versions| {
        let all: Vec<i64> = (1..=per_wallet).collect();
        let complete = |versions: &Vec<i64>| {
            let mut versions = versions.clone();
            versions.sort_unstable();
            versions.dedup();
            versions == all
        };
        told.len() == usize::try_from(WALLETS).unwrap() && told.values().all(complete)
    };
    let taking = async {
        while !complete(&told) {
            take(channel, queue, &mut told).await;
        }
    };
    let taken = tokio::time::timeout(PATIENCE, taking).await;
    assert!(taken.is_ok(), "{queue} misses events: {told:?}");
    told
}

/// One request after the other, so that each has events of its own. A reply may come again after the service was killed.
async fn invoices(client: &mut SeedClient, per_wallet: i64) {
    for _ in 0..per_wallet {
        for wallet_id in 1..=WALLETS {
            let body = format!(r#"{{"wallet_id":{wallet_id},"ticker":"USD","amount":1}}"#);
            let properties = client.properties();
            client.publish("invoice", body.as_bytes(), properties.clone()).await;
            let reply = loop {
                let delivery = client.next_delivery().await;
                if delivery.properties.correlation_id() == properties.correlation_id() {
                    break Reply::from_json(&delivery.data).unwrap();
                }
            };
            assert_eq!(reply.code, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_listener_stops_nobody_and_misses_nothing() {
    let servers = start_servers();
    let world = World::on(&servers).await;
    let (_connection, channel) = listen(&world).await;
    let mut service = Service::start(&world, &SOON).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    invoices(&mut client, 10).await;
    service.line_with("replies wait, then events are parked").await;
    service.line_with("events are parked until it takes them, and requests go on").await;
    service.readyz(200, r#""code":"events_refused""#).await;
    assert_eq!(service.log().matches("refuses events").count(), 2, "told once, not for every event");
    let metrics = service.get("/metrics").await;
    assert!(!metrics.contains("florin_events_parked_total 0\n"), "{metrics}");
    assert!(!metrics.contains("florin_dead_lettered_total 1\n"), "{metrics}");
    // The healthy listener has been told of everything, and in time.
    let mut told = Versions::new();
    take(&channel, HEALTHY, &mut told).await;
    assert!(told.values().all(|versions| versions.contains(&10)), "{told:?}");

    let status = ["status", "--json", "--database-url", world.database_url.as_str()];
    let status = Run::florin(&world.amqp_url, &status).await.json();
    assert_eq!(status["ok"], true, "{status}");
    assert!(status["parked_events"]["ready"].as_u64() > Some(0), "{status}");
    assert!(status["notes"][0].as_str().unwrap().contains(PARKED_EVENTS), "{status}");

    let names = servers.rabbit.ctl(&["list_connections", "client_properties"]).unwrap();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for role in ["consumer", "publisher", "events", "expiry"] {
        assert!(names.contains(&format!("florin {role} {}-", host.trim())), "{role}: {names}");
    }

    take_all(&channel, FULL, 10).await;
    service.line_with("the queue of parked events is empty").await;
    service.readyz(200, r#""notes":[]"#).await;
    service.metric("florin_events_parked_messages 0").await;
}

/// The listener comes back after the service was killed twice: with what it had before, it has every version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parked_events_survive_a_killed_service() {
    let servers = start_servers();
    let world = World::on(&servers).await;
    let (_connection, channel) = listen(&world).await;
    let mut service = Service::start(&world, &SOON).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    for _ in 0..2 {
        invoices(&mut client, 5).await;
        service.kill();
        service = Service::start(&world, &SOON).await;
    }
    invoices(&mut client, 5).await;
    // It is killed once more while it publishes parked events.
    let killing = async {
        service.kill();
        Service::start(&world, &SOON).await
    };
    let (full, service) = tokio::join!(take_all(&channel, FULL, 15), killing);
    let healthy = take_all(&channel, HEALTHY, 15).await;
    println!("full listener: {full:?}, healthy listener: {healthy:?}");
    service.metric("florin_events_parked_messages 0").await;
    service.readyz(200, r#""notes":[]"#).await;
    let ledger = world.ledger().await;
    assert_eq!(ledger.number("SELECT count(*) FROM postings").await, 15 * WALLETS);
    ledger.assert_sound().await;
}
