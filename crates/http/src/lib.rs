//! HTTP: the API, the operator console, the documents, metrics and health.
//!
//! HTTP is a client of the broker like any other: changes are sent to the work queue and wait for their
//! reply, so that there is one way in; queries are answered from the database.
//!
//! In reading order:
//! - `routes`: all endpoints in one table; `auth`: who may use them;
//! - `operations`: the operations, `catalog`: wallets and tickers; `text`: what a request consists of;
//! - `broker` and `database`: where requests go; `response` and `problem`: what comes back;
//! - `openapi`: the table as a document, `docs`: the document as a page, `health`;
//! - `server`, `tls`, `connections`: connections and their limits;
//! - `sites`: who is kept out where requests need no key;
//! - `console`: the pages for people, which rest on all of the above.

#![allow(missing_docs, reason = "part of the program, not a library: comments say why, names say what")]

mod auth;
mod broker;
mod catalog;
mod connections;
mod console;
mod database;
mod docs;
mod health;
mod openapi;
mod operations;
mod problem;
mod response;
mod routes;
mod seldom;
mod server;
mod settings;
mod sites;
mod text;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use florin_wire::{Limits, ProofKey};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use florin_broker::Link;
use florin_metrics::{Health, Metrics};

use database::Database;
pub use database::{Call, DATABASE_REQUESTS, DatabaseError, DatabaseRequest};
pub use openapi::document as openapi_document;
pub use settings::Settings;
pub use tls::Listener;

/// What HTTP needs from the service.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Takes the requests to the database.
    pub database: mpsc::Sender<DatabaseRequest>,
    /// The AsyncAPI document.
    pub asyncapi: &'static Value,
    /// Whether the service is connected to the broker.
    pub link: Link,
    /// Why requests cannot be executed, while that is so.
    pub health: Health,
    pub metrics: Arc<Metrics>,
    pub amqp_url: String,
    pub work_queue: String,
    pub limits: Limits,
    /// Limits the requests of each key; none when requests need no key.
    pub key_limits: Option<KeyLimits>,
    /// Host names under which HTTP is reached when requests need no key, besides this machine's and IP addresses.
    pub allowed_hosts: Vec<String>,
    /// Requests in progress at a time.
    pub max_requests: usize,
    /// The key that proves to the service for whom HTTP sends a change; none before the database was reached.
    pub proof_key: Arc<OnceLock<ProofKey>>,
    /// How long to wait for an answer of the broker or the database.
    pub timeout: Duration,
}

/// The limits of each API key.
#[derive(Debug, Clone, Copy)]
pub struct KeyLimits {
    pub requests_per_second: NonZeroU32,
    /// Requests in progress at a time.
    pub max_in_flight: usize,
}

type App = Arc<Shared>;

#[derive(Debug)]
struct Shared {
    database: Database,
    asyncapi: &'static Value,
    link: Link,
    health: Health,
    metrics: Arc<Metrics>,
    authenticator: auth::Authenticator,
    broker: broker::Broker,
    limits: Limits,
    places: Semaphore,
    amqp_url: String,
    work_queue: String,
    live: console::Live,
    sites: sites::Sites,
    stopping: CancellationToken,
    /// Whether the listener speaks TLS itself.
    over_tls: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("port {0} is taken: choose another with SERVER_PORT or --port (florin dev: --http-port)")]
    PortTaken(u16),
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    #[error(transparent)]
    Tls(#[from] florin_tls::Error),
    #[error("SIGHUP cannot be watched for")]
    Signal(#[source] io::Error),
}

/// Binds the configured address.
///
/// # Errors
///
/// When the port is taken, the address is not ours, or the certificates cannot be used.
pub async fn listen(config: &Settings) -> Result<Listener, Error> {
    let address = SocketAddr::new(config.host, config.port);
    let tcp = TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Error::PortTaken(config.port),
        _ => Error::Listen(address, error),
    })?;
    Listener::new(tcp, config)
}

/// Serves until `shutdown`, and then until the requests in progress are answered: what answers them has to outlive this.
pub async fn serve(listener: Listener, parts: Parts, shutdown: CancellationToken) {
    let app = parts.shared(listener.is_tls(), shutdown.clone());
    // Whichever ends first ends HTTP, which the service notices.
    tokio::select! {
        () = server::serve(listener, routes::router(&app), shutdown) => {}
        () = console::sample(app.clone()) => {}
    }
}

impl Parts {
    fn shared(self, over_tls: bool, shutdown: CancellationToken) -> App {
        let database = Database::new(self.database, self.timeout);
        Arc::new(Shared {
            over_tls,
            authenticator: auth::Authenticator::new(database.clone(), self.key_limits),
            broker: broker::Broker::new(
                self.amqp_url.clone(),
                self.work_queue.clone(),
                self.timeout,
                self.max_requests,
                self.proof_key,
            ),
            database,
            asyncapi: self.asyncapi,
            link: self.link,
            health: self.health,
            metrics: self.metrics,
            limits: self.limits,
            places: Semaphore::new(self.max_requests),
            amqp_url: self.amqp_url,
            work_queue: self.work_queue,
            live: console::Live::new(shutdown.clone()),
            sites: sites::Sites::new(self.allowed_hosts),
            stopping: shutdown,
        })
    }
}

#[cfg(test)]
mod tests;
