//! Races for the end of a transaction, and transfers in a ring, at two instances that both work.

use std::collections::BTreeMap;
use std::time::Duration;

use florin_client::Client;
use florin_wire::{MovementBody, Reply, Request, SettleBody};
use futures_util::future::join3;
use futures_util::{StreamExt, stream};
use uuid::Uuid;

use crate::common::{Service, World, call, start_servers};

const RACES: usize = 1000;
const IN_FLIGHT: usize = 100;
/// Both instances take requests, a few at a time, so that both get of every race.
const BOTH_WORK: [(&str, &str); 2] =
    [("FLORIN_BROKER_SINGLE_ACTIVE_CONSUMER", "false"), ("FLORIN_BROKER_PREFETCH", "50")];

fn usd(wallet_id: i64, amount: &str) -> MovementBody {
    MovementBody::new(wallet_id, "USD", amount.parse().unwrap())
}

/// Sends a request for each id, many at a time, and returns the replies in the order of the ids.
async fn for_each(client: &Client, ids: &[Uuid], request: impl Fn(Uuid) -> Request) -> Vec<Reply> {
    let calls = ids.iter().map(|id| call(client, request(*id)));
    stream::iter(calls).buffered(IN_FLIGHT).collect().await
}

/// Settle, cancel and expiry of the same transactions, from three clients and the expiry worker: one of them wins, and
/// the others are told so. Half of the transactions have a second to live, the others an hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_ends_once() {
    let servers = start_servers();
    let world = World::on(&servers).await;
    let ledger = world.ledger().await;
    let _one = Service::start(&world, &BOTH_WORK).await;
    let _other = Service::start(&world, &BOTH_WORK).await;
    let clients = [world.client().await, world.client().await, world.client().await];
    call(&clients[0], Request::Invoice(usd(1, "1000000"))).await;
    let opened = stream::iter(0..RACES).map(|n| {
        let timeout = Duration::from_secs(if n % 2 == 0 { 1 } else { 3600 });
        call(&clients[n % 3], Request::Withdraw(usd(1, "10").pending(Some(timeout))))
    });
    let opened: Vec<Reply> = opened.buffered(IN_FLIGHT).collect().await;
    let ids: Vec<Uuid> = opened.iter().map(|reply| reply.receipt().unwrap().transaction_id).collect();
    // The race is on when the first of them expire.
    let first =
        "SELECT pg_sleep(greatest(0, extract(epoch FROM min(expires_at) - clock_timestamp()))) FROM holds";
    ledger.sql.execute(first, &[]).await.unwrap();
    let backwards: Vec<Uuid> = ids.iter().rev().copied().collect();
    let (settled, mut cancelled, expired) = join3(
        for_each(&clients[0], &ids, |id| Request::Settle(SettleBody::new(id).amount("4".parse().unwrap()))),
        for_each(&clients[1], &backwards, |transaction_id| Request::Cancel { transaction_id }),
        for_each(&clients[2], &ids, |transaction_id| Request::Expire { transaction_id }),
    )
    .await;
    cancelled.reverse();
    let mut wins = BTreeMap::new();
    for (n, id) in ids.iter().enumerate() {
        let sql = "SELECT status, error FROM transactions WHERE transaction_id = $1";
        let row = ledger.sql.query_one(sql, &[id]).await.unwrap();
        let (status, error): (&str, Option<&str>) = (row.get(0), row.get(1));
        let end = error.unwrap_or(status);
        *wins.entry(end.to_owned()).or_insert(0) += 1;
        let answers = [("Success", &settled[n]), ("cancelled", &cancelled[n]), ("expired", &expired[n])];
        for (own, reply) in answers {
            let refusal = if own == "expired" && n % 2 == 1 {
                ["not_expired", "already_final"]
            } else {
                ["already_final"; 2]
            };
            let told = reply.error.as_deref();
            // An expiry requested too early is refused for that, whoever wins later, even the expiry worker.
            let early = own == "expired" && told == Some("not_expired");
            assert_eq!(reply.code == 200, own == end && !early, "{id} ended as {end}, but {reply:?}");
            assert!(reply.code == 200 || early || refusal.contains(&told.unwrap()), "{reply:?}");
        }
    }
    println!("{RACES} races were won by {wins:?}");
    assert!(wins.len() >= 2, "there was no race: {wins:?}");
    assert_eq!(ledger.number("SELECT count(*) FROM holds").await, 0);
    ledger.assert_sound().await;
}

/// Wallets pay each other in rings, in both directions, at once: nobody hears of a deadlock, and no money is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transfers_in_a_ring_stay_exact() {
    const TRANSFERS: usize = 6000;
    let servers = start_servers();
    let world = World::on(&servers).await;
    let _one = Service::start(&world, &BOTH_WORK).await;
    let _other = Service::start(&world, &BOTH_WORK).await;
    let client = world.client().await;
    for wallet_id in 1..=3 {
        call(&client, Request::Invoice(usd(wallet_id, "100"))).await;
    }
    let calls = (0..TRANSFERS).map(|n| {
        let from = 1 + i64::try_from(n % 3).unwrap();
        let to = 1 + (from - 1 + if n % 2 == 0 { 1 } else { 2 }) % 3;
        call(&client, Request::Transfer(usd(from, ["0.01", "70", "33.3"][n / 7 % 3]).to_wallet(to)))
    });
    let replies: Vec<Reply> = stream::iter(calls).buffer_unordered(300).collect().await;
    let refused = replies.iter().filter(|reply| reply.code != 200);
    assert!(refused.clone().all(|reply| reply.error.as_deref() == Some("insufficient_funds")));
    println!("{TRANSFERS} transfers, {} refused", refused.count());
    let ledger = world.ledger().await;
    let total = ledger.sql.query_one("SELECT sum(actual)::text FROM balances", &[]).await.unwrap();
    assert_eq!(total.get::<_, &str>(0), "300.00");
    ledger.assert_sound().await;
}
