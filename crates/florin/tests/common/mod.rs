//! What the tests stand on: real servers, real service processes, and clients.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test binary uses its own part")]

mod http;
mod ledger;
mod raw_amqp;
mod seed_client;
mod service;
mod tool;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use devstack::{Options, Stack};
use florin_client::{CallOptions, Client, ClientOptions};
use florin_ledger::Scale;
use florin_store::Store;
use florin_wire::{Reply, Request};

pub use http::{Answer, Http};
pub use ledger::Ledger;
pub use raw_amqp::{RawAmqp, RawProperties, nested_headers, unknown_node};
pub use seed_client::SeedClient;
pub use service::Service;
pub use tool::{Run, spawn_florin};

/// The tickers that exist everywhere, with their decimal places.
const TICKERS: [(&str, u8); 4] = [("USD", 2), ("RUB", 2), ("EUR", 2), ("USDT", 6)];

/// A migrated database with wallets and tickers, and a broker of its own.
#[derive(Debug, Clone)]
pub struct World {
    pub database_url: String,
    pub amqp_url: String,
    pub store: Store,
}

impl World {
    /// A fresh database and a fresh virtual host on the servers that all tests of this binary share.
    pub async fn new() -> Self {
        let (database_url, amqp_url) = empty_world().await;
        Self::at(database_url, amqp_url).await
    }

    /// The first database and virtual host of these servers.
    pub async fn on(servers: &Stack) -> Self {
        Self::at(servers.postgres.url(), servers.rabbit.url()).await
    }

    pub async fn at(database_url: String, amqp_url: String) -> Self {
        let store = Store::new(&database_url, 2).expect("a store");
        store.migrate().await.expect("migrations");
        for (name, scale) in TICKERS {
            store.add_ticker(name, Scale::new(scale).expect("a scale")).await.expect("a ticker");
        }
        store.create_wallets(1..=9).await.expect("wallets");
        Self { database_url, amqp_url, store }
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.amqp_url, ClientOptions::default()).await.expect("a client")
    }

    pub async fn ledger(&self) -> Ledger {
        Ledger::open(&self.database_url).await
    }
}

/// The URLs of a database with nothing in it, and of a virtual host, on the servers that all tests of this binary share.
pub async fn empty_world() -> (String, String) {
    static WORLDS: AtomicU32 = AtomicU32::new(0);
    let make = || {
        let servers = shared_servers();
        let name = format!("world{}", WORLDS.fetch_add(1, Ordering::Relaxed));
        let database = servers.postgres.create_database(&name).expect("a database");
        (database, servers.rabbit.create_vhost(&name).expect("a virtual host"))
    };
    tokio::task::spawn_blocking(make).await.expect("the servers start")
}

/// Sends a request until it is answered.
pub async fn call(client: &Client, request: Request) -> Reply {
    client.call(&request, CallOptions::default()).await.expect("an answer").reply
}

/// The servers that all tests of this binary share.
fn shared_servers() -> &'static Stack {
    static SERVERS: OnceLock<Stack> = OnceLock::new();
    SERVERS.get_or_init(start_servers)
}

/// Runs `rabbitmqctl` against the broker that all tests of this binary share.
pub async fn rabbitmqctl(arguments: &[&str]) {
    let arguments: Vec<String> = arguments.iter().copied().map(String::from).collect();
    let run = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        shared_servers().rabbit.ctl(&arguments).expect("it does as it is told");
    };
    tokio::task::spawn_blocking(run).await.expect("no panic");
}

/// Servers of a test's own, to be stopped and killed.
pub fn start_servers() -> Stack {
    Stack::start(&Options::default()).expect("the servers start")
}
