//! The HTTP side: metrics for Prometheus, and health for whatever starts and restarts the service.
//!
//! - `/metrics`: the metrics in the text format.
//! - `/healthz`: 200 as long as the process serves at all. Restart it when this fails.
//! - `/readyz`: 200 when the broker and the database can be reached, 503 otherwise, with a body that says
//!   which cannot. Do not restart for this one: the service comes back by itself.

mod tls;

use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::amqp::Link;
use crate::config::Http;
use crate::metrics::Metrics;
use crate::store::Store;

pub use tls::Listener;

/// How long the database may take to give a sign of life.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// How long requests may go on after the shutdown began. A client that keeps its connection open must not
/// keep the service from stopping.
const GRACE: Duration = Duration::from_secs(2);

/// What the pages are made from.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The broker.
    pub link: Link,
    /// What is counted.
    pub metrics: Arc<Metrics>,
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
    /// The listener broke.
    #[error("HTTP cannot be served any more")]
    Serve(#[source] io::Error),
}

/// Listens where the configuration says.
///
/// # Errors
///
/// When the port is taken, the address is not ours, or the certificates cannot be used.
pub async fn listen(config: &Http) -> Result<Listener, Error> {
    let address = SocketAddr::new(config.host, config.port);
    let tcp = TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Error::PortTaken(config.port),
        _ => Error::Listen(address, error),
    })?;
    Listener::new(tcp, config)
}

/// Serves until `shutdown`.
///
/// # Errors
///
/// When the listener breaks.
pub async fn serve(listener: Listener, parts: Parts, shutdown: CancellationToken) -> Result<(), Error> {
    let server =
        axum::serve(listener, router(parts)).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let over = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = server.into_future() => served.map_err(Error::Serve),
        () = over => Ok(()),
    }
}

fn router(parts: Parts) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(not_found)
        .with_state(parts)
}

async fn metrics(State(parts): State<Parts>) -> Response {
    let pool = parts.store.pool_status();
    let in_use = pool.size.saturating_sub(pool.available);
    for (state, connections) in [("idle", pool.available), ("in_use", in_use), ("max", pool.max_size)] {
        let gauge = parts.metrics.database_pool_connections.with_label_values(&[state]);
        gauge.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], parts.metrics.render()).into_response()
}

async fn healthz() -> Response {
    Json(json!({"status": "alive"})).into_response()
}

async fn readyz(State(parts): State<Parts>) -> Response {
    let broker = parts.link.is_connected();
    let database = matches!(timeout(PING_TIMEOUT, parts.store.ping()).await, Ok(Ok(())));
    let ready = broker && database;
    let word = |reachable| if reachable { "ok" } else { "unreachable" };
    let body = json!({
        "status": if ready { "ready" } else { "not ready" },
        "broker": word(broker),
        "database": word(database),
    });
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

async fn not_found() -> Response {
    let body = json!({"error": "not_found", "reason": "there are /metrics, /healthz and /readyz"});
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

#[cfg(test)]
mod tests;
