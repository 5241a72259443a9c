//! Metrics for Prometheus, and health for whatever starts and restarts the service. Open: no key needed.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;

use super::App;
use super::database::{DatabaseError, DatabaseRequest};

const PING_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn metrics(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], app.metrics.render()).into_response()
}

/// `/healthz`: 200 while the process answers at all. Restart it when this fails.
pub(super) async fn healthz() -> Response {
    Json(json!({"status": "alive"})).into_response()
}

/// `/readyz`: 200 when requests can be executed, 503 otherwise, with the reasons. Do not restart for this
/// one: the service recovers by itself.
pub(super) async fn readyz(State(app): State<App>) -> Response {
    let readiness = Readiness::of(&app).await;
    let ready = readiness.reasons.is_empty();
    let word = |reachable| if reachable { "ok" } else { "unreachable" };
    let body = json!({
        "status": if ready { "ready" } else { "not ready" },
        "broker": word(readiness.broker),
        "database": word(readiness.database),
        "reasons": readiness.reasons,
    });
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

/// Whether requests can be executed, and if not, why.
#[derive(Debug)]
pub(super) struct Readiness {
    /// Whether the broker is connected.
    pub(super) broker: bool,
    /// Whether the database answers. It may answer and still not be able to execute requests.
    pub(super) database: bool,
    pub(super) reasons: Vec<Reason>,
}

#[derive(Debug, Serialize)]
pub(super) struct Reason {
    part: &'static str,
    pub(super) reason: String,
}

impl Readiness {
    pub(super) async fn of(app: &App) -> Self {
        let ping = timeout(PING_TIMEOUT, app.database.call(DatabaseRequest::Ping, ())).await;
        let ping = ping.unwrap_or(Err(DatabaseError::TimedOut(PING_TIMEOUT)));
        Self::new(app.link.is_connected(), ping, app.health.fault())
    }

    fn new(broker: bool, ping: Result<(), DatabaseError>, fault: Option<String>) -> Self {
        let disconnected = (!broker).then(|| ("broker", "not connected to RabbitMQ".to_owned()));
        let database = ping.is_ok();
        let unreachable = ping.err().map(|error| ("database", error.to_string()));
        let reasons = [disconnected, unreachable, fault.map(|reason| ("database", reason))];
        let reasons = reasons.into_iter().flatten().map(|(part, reason)| Reason { part, reason });
        Self { broker, database, reasons: reasons.collect() }
    }
}
