//! Several hosts in one URL: the one that takes writes is found, and found again after a fail-over.

use std::time::{Duration, Instant};

use devstack::{Options, Postgres, free_ports};
use florin_store::{Class, Store};

use super::pooler::move_money;
use crate::common::World;

fn launch() -> Postgres {
    Postgres::launch(&Options::default()).unwrap()
}

fn url(ports: &[u16]) -> String {
    let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("postgres://florin@{}/florin", hosts.join(","))
}

/// Makes a running server read-only, or not: open sessions too.
fn set_read_only(server: &Postgres, read_only: bool) {
    let set =
        format!("ALTER SYSTEM SET default_transaction_read_only = {}", if read_only { "on" } else { "off" });
    // A read-only session may change that, but not in one statement with the reload.
    server.psql("postgres", &set).unwrap();
    server.psql("postgres", "SELECT pg_reload_conf()").unwrap();
    let shown = if read_only { "on" } else { "off" };
    let started = Instant::now();
    while server.psql("postgres", "SHOW default_transaction_read_only").unwrap().trim() != shown {
        assert!(started.elapsed() < Duration::from_secs(30), "the server never read its settings");
    }
}

#[tokio::test]
async fn a_service_finds_the_live_host() {
    let world = World::new().await;
    let (server, name) = world.database_url.rsplit_once('/').unwrap();
    let (_, live) = server.rsplit_once(':').unwrap();
    let [dead] = free_ports().unwrap();
    let database_url = format!("postgres://florin@127.0.0.1:{dead},127.0.0.1:{live}/{name}");
    move_money(&World { database_url, ..world.clone() }).await;
    world.ledger().await.assert_sound().await;
}

#[tokio::test]
async fn the_host_that_takes_writes_is_found_again_after_a_fail_over() {
    let [dead] = free_ports().unwrap();
    let (first, second) = tokio::task::spawn_blocking(|| (launch(), launch())).await.unwrap();
    for server in [&first, &second] {
        Store::new(&server.url(), 1).unwrap().migrate().await.unwrap();
    }
    set_read_only(&first, true);
    let url = url(&[dead, first.port(), second.port()]);
    let store = Store::new(&url, 3).unwrap();
    assert_eq!(store.create_wallets(1..=1).await.unwrap(), 1);
    // A reader takes whoever is there.
    assert!(Store::reader(&url, 1).unwrap().status().await.unwrap().read_only);

    let open = tokio::join!(store.list_tickers(), store.list_tickers(), store.list_tickers());
    assert!(open.0.is_ok() && open.1.is_ok() && open.2.is_ok());
    set_read_only(&second, true);
    set_read_only(&first, false);
    let error = store.create_wallets(2..=2).await.unwrap_err();
    assert!(error.class() == Class::Transient && error.to_string().contains("read-only"), "{error}");
    // One failure was enough for all sessions of the pool.
    for wallet_id in 2..=4 {
        assert_eq!(store.create_wallets(wallet_id..=wallet_id).await.unwrap(), 1);
    }
    assert!(!first.psql("florin", "SELECT wallet_id FROM wallets WHERE wallet_id = 4").unwrap().is_empty());

    // With no host that takes writes, the reason is named.
    set_read_only(&first, true);
    let nowhere = Store::new(&url, 1).unwrap().ping().await.unwrap_err();
    assert!(nowhere.class() == Class::Transient && nowhere.to_string().contains("read-only"), "{nowhere}");
}

/// A frozen host takes connections and says nothing: it must not use up the time of the others.
#[tokio::test]
async fn a_frozen_host_is_passed_over() {
    let (mut frozen, live) = tokio::task::spawn_blocking(|| (launch(), launch())).await.unwrap();
    frozen.suspend().unwrap();
    let store = Store::new(&url(&[frozen.port(), live.port()]), 1).unwrap();
    store.ping().await.unwrap();
    // The good one is tried first from then on.
    let started = Instant::now();
    Store::clone(&store).check_requirements().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    frozen.resume();
}
