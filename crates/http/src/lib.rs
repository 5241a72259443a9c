//! The HTTP side: the operations and what people look for around them, documents, metrics and health.
//!
//! HTTP is a client of the broker like any other: what moves money is sent to the work queue and waits for its
//! answer, so that there is one way in; what only reads is looked up in the database. In reading order: `routes`
//! (the one table of addresses), `access` (who may), `operations` and `catalog` (what is done), `broker` (the way to
//! the service), `answer` and `problem` (what comes back), `openapi` (the table as a document), `docs` (the document as a
//! page), `console` (pages for people), `server`.

mod auth;
mod broker;
mod catalog;
mod console;
mod database;
mod docs;
mod health;
mod openapi;
mod operations;
mod problem;
mod response;
mod routes;
mod server;
mod settings;
mod text;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use florin_wire::Limits;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use florin_broker::Link;
use florin_metrics::Metrics;

use database::Database;
pub use database::{Call, DATABASE_REQUESTS, DatabaseError, DatabaseRequest};
pub use openapi::document as openapi_document;
pub use settings::Settings;
pub use tls::Listener;

/// What the HTTP side is made from.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where requests to the database go.
    pub database: mpsc::Sender<DatabaseRequest>,
    /// The description of the AMQP side.
    pub asyncapi: &'static Value,
    /// Whether the service is connected to the broker.
    pub link: Link,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where the broker is.
    pub amqp_url: String,
    /// Where requests are sent.
    pub work_queue: String,
    /// Longer bodies are refused.
    pub limits: Limits,
    /// How many requests a key may send in a second; none when no keys are asked for.
    pub key_requests_per_second: Option<NonZeroU32>,
    /// How many requests are worked on at a time.
    pub max_requests: usize,
    /// How long an answer is waited for.
    pub timeout: Duration,
}

/// What requests share.
type App = Arc<Shared>;

#[derive(Debug)]
struct Shared {
    database: Database,
    asyncapi: &'static Value,
    link: Link,
    metrics: Arc<Metrics>,
    authenticator: auth::Authenticator,
    broker: broker::Broker,
    limits: Limits,
    places: Semaphore,
    amqp_url: String,
    work_queue: String,
    live: console::Live,
    /// Whether the listener speaks TLS itself.
    over_tls: bool,
}

/// Why HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process listens there.
    #[error("port {0} is taken: choose another with SERVER_PORT or --port (florin dev: --http-port)")]
    PortTaken(u16),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] florin_tls::Error),
    /// SIGHUP cannot be watched for.
    #[error("SIGHUP cannot be watched for")]
    Signal(#[source] io::Error),
}

/// Listens where the configuration says.
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

/// Serves until `shutdown`.
pub async fn serve(listener: Listener, parts: Parts, shutdown: CancellationToken) {
    let app = parts.shared(listener.is_tls(), shutdown.clone());
    // Neither goes on without the other: what dies is not missed in silence.
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
            authenticator: auth::Authenticator::new(database.clone(), self.key_requests_per_second),
            broker: broker::Broker::new(
                self.amqp_url.clone(),
                self.work_queue.clone(),
                self.timeout,
                self.max_requests,
            ),
            database,
            asyncapi: self.asyncapi,
            link: self.link,
            metrics: self.metrics,
            limits: self.limits,
            places: Semaphore::new(self.max_requests),
            amqp_url: self.amqp_url,
            work_queue: self.work_queue,
            live: console::Live::new(shutdown),
        })
    }
}

#[cfg(test)]
mod tests;
