//! Events: whatever happens to the service, who listens can tell every balance.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use florin_client::{Client, ClientOptions};
use florin_wire::names::EVENTS_EXCHANGE;
use florin_wire::{Event, EventBalance, Events, MovementBody, Request, SettleBody};
use lapin::options::{BasicGetOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::common::{Service, World, call, start_servers};

const QUEUE: &str = "listener";
const KILLS: u64 = 10;
const WALLETS: u64 = 5;

/// A queue that gets every event, and outlives everybody.
async fn listen(world: &World) -> (Connection, Channel) {
    let connection = Connection::connect(&world.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let none = FieldTable::default;
    channel.exchange_declare(EVENTS_EXCHANGE.into(), ExchangeKind::Topic, durable, none()).await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(QUEUE.into(), durable, none()).await.unwrap();
    let bind = QueueBindOptions::default();
    channel.queue_bind(QUEUE.into(), EVENTS_EXCHANGE.into(), "#".into(), bind, none()).await.unwrap();
    (connection, channel)
}

/// All events in the queue, those of each message under the routing key that belongs to it.
async fn events(channel: &Channel) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(message) = channel.basic_get(QUEUE.into(), BasicGetOptions { no_ack: true }).await.unwrap()
    {
        let told = Events::from_json(&message.delivery.data).unwrap().events;
        assert!(!told.is_empty());
        for event in &told {
            assert_eq!(message.delivery.routing_key.as_str(), event.routing_key());
        }
        assert_eq!(message.delivery.properties.delivery_mode(), &Some(2));
        events.extend(told);
    }
    events
}

/// One caller: each turn another operation, each sent until it is answered.
async fn run(
    client: Client,
    turns: Arc<AtomicU64>,
    count: Arc<watch::Sender<u64>>,
    stop: watch::Receiver<bool>,
) {
    while !*stop.borrow() {
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        let wallet_id = i64::try_from(1 + turn % WALLETS).unwrap();
        let body = MovementBody::new(wallet_id, "USD", (1 + turn % 50).to_string().parse().unwrap());
        match turn % 8 {
            0..3 => drop(call(&client, Request::Invoice(body)).await),
            3 | 4 => drop(call(&client, Request::Withdraw(body)).await),
            5 => drop(call(&client, Request::Transfer(body.to_wallet(1 + wallet_id % 5))).await),
            end => {
                let opened =
                    call(&client, Request::Transfer(body.pending(None).to_wallet(1 + wallet_id % 5))).await;
                if let Ok(receipt) = opened.receipt() {
                    let transaction_id = receipt.transaction_id;
                    let settle =
                        Request::Settle(SettleBody::new(transaction_id).amount("1".parse().unwrap()));
                    call(&client, if end == 6 { settle } else { Request::Cancel { transaction_id } }).await;
                }
            }
        }
        count.send_modify(|answered| *answered += 1);
    }
}

/// The service is killed ten times under load. After repetitions are dropped by balance and version, the events have
/// no gap, and the last of each balance is the balance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_tell_every_balance_whoever_is_killed() {
    let servers = start_servers();
    let world = World::on(&servers).await;
    let (_connection, channel) = listen(&world).await;
    let mut service = Service::start(&world, &[]).await;
    let options = ClientOptions {
        timeout: Duration::from_secs(120),
        attempt_timeout: Duration::from_secs(3),
        ..ClientOptions::default()
    };
    let client = Client::connect(&world.amqp_url, options).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let (count, mut answered) = watch::channel(0);
    let (count, turns) = (Arc::new(count), Arc::new(AtomicU64::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        callers.spawn(run(client.clone(), Arc::clone(&turns), Arc::clone(&count), stopped.clone()));
    }
    for kill in 1..=KILLS {
        let reached = answered.wait_for(|answered| *answered >= 200 * kill);
        tokio::time::timeout(Duration::from_secs(60), reached).await.expect("answers in time").unwrap();
        service.kill();
        service = Service::start(&world, &[]).await;
    }
    stop.send_replace(true);
    callers.join_all().await;
    // What is answered was told; what the last kill left is told by the redelivery.
    let (status, log) = service.terminate().await;
    assert!(status.success(), "{log}");

    let all = events(&channel).await;
    let mut chains: BTreeMap<(i64, String), BTreeMap<i64, EventBalance>> = BTreeMap::new();
    let mut repeated = 0;
    for balance in all.iter().flat_map(|event| &event.balances) {
        let chain = chains.entry((balance.wallet_id, balance.ticker.clone())).or_default();
        if let Some(same) = chain.insert(balance.version, balance.clone()) {
            assert_eq!(same, *balance, "told twice, in different ways");
            repeated += 1;
        }
    }
    println!("{} events, {repeated} postings told again, after {KILLS} kills", all.len());
    let ledger = world.ledger().await;
    let sql = "SELECT ticker, version, trim_scale(actual)::text, trim_scale(frozen)::text
                 FROM balances WHERE wallet_id = $1";
    for ((wallet_id, ticker), chain) in &chains {
        let versions: Vec<i64> = chain.keys().copied().collect();
        assert_eq!(
            versions,
            (1..=i64::try_from(chain.len()).unwrap()).collect::<Vec<_>>(),
            "wallet {wallet_id}"
        );
        let row = ledger.sql.query_one(sql, &[wallet_id]).await.unwrap();
        let last = &chain[&row.get::<_, i64>(1)];
        assert_eq!(
            (row.get::<_, &str>(0), chain.len()),
            (ticker.as_str(), usize::try_from(last.version).unwrap())
        );
        let told = (last.actual_balance.0.to_string(), last.frozen_balance.0.to_string());
        assert_eq!(told, (row.get(2), row.get(3)), "wallet {wallet_id}");
    }
    assert_eq!(chains.len(), usize::try_from(WALLETS).unwrap());
    let postings: usize = chains.values().map(BTreeMap::len).sum();
    assert_eq!(ledger.number("SELECT count(*) FROM postings").await, i64::try_from(postings).unwrap());
    ledger.assert_sound().await;
}
