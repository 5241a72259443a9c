//! Metrics for Prometheus, and health for whatever starts and restarts the service. Open to everybody.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::time::timeout;

use super::App;
use super::database::DatabaseRequest;

/// How long the database may take to give a sign of life.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// `/metrics`: the metrics in the text format.
pub(super) async fn metrics(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], app.metrics.render()).into_response()
}

/// `/healthz`: 200 as long as the process serves at all. Restart it when this fails.
pub(super) async fn healthz() -> Response {
    Json(json!({"status": "alive"})).into_response()
}

/// `/readyz`: 200 when the broker and the database can be reached, 503 otherwise, with a body that says which
/// cannot. Do not restart for this one: the service comes back by itself.
pub(super) async fn readyz(State(app): State<App>) -> Response {
    let (broker, database) = reachable(&app).await;
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

/// Whether the broker and the database can be reached.
pub(super) async fn reachable(app: &App) -> (bool, bool) {
    let database =
        matches!(timeout(PING_TIMEOUT, app.database.call(DatabaseRequest::Ping, ())).await, Ok(Ok(())));
    (app.link.is_connected(), database)
}
