//! Accepts connections and serves them, until it is told to stop: one task per connection.
//!
//! A client that is slow with its head, or that opens connections without end, is cut off: everything is bounded.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How long the head of a request may take to arrive, and an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the head of a request may be.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// How many headers a request may have.
const MAX_HEADERS: usize = 64;
/// So many connections are served at a time; others wait to be accepted.
const MAX_CONNECTIONS: usize = 8192;
/// How long requests may go on after the shutdown began. A client that keeps its connection open must not
/// keep the service from stopping.
const GRACE: Duration = Duration::from_secs(2);

/// Serves until `shutdown`.
pub(super) async fn serve<L>(mut listener: L, router: Router, shutdown: CancellationToken)
where
    L: Listener,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    http.max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await.0)
        };
        let (place, stream) = tokio::select! {
            accepted = accepted => accepted,
            () = shutdown.cancelled() => break,
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection over HTTP ended");
            }
            drop(place);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}
