//! Metrics for Prometheus, and health for whatever starts and restarts the service. Open: no key needed.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use florin_metrics::Condition::{
    self, BrokerBlocked, BrokerUnreachable, DatabaseFrozen, DatabaseUnreachable, Stopping,
};
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;

use super::App;
use super::database::{DatabaseError, DatabaseRequest};

/// What is answered however many connections there are.
pub(super) const PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

const PING_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn metrics(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], app.metrics.render()).into_response()
}

/// `/healthz`: 200 while the process answers at all. Restart it when this fails.
pub(super) async fn healthz() -> Response {
    Json(json!({"status": "alive"})).into_response()
}

/// `/readyz`: 200 when requests can be executed, 503 otherwise, with the reasons. Notes say what operators should know
/// all the same. Do not restart for this one: the service recovers by itself.
pub(super) async fn readyz(State(app): State<App>) -> Response {
    let Readiness { broker, database, reasons, notes } = Readiness::of(&app).await;
    let ready = reasons.is_empty();
    let word = |reachable| if reachable { "ok" } else { "unreachable" };
    let body = json!({
        "status": if ready { "ready" } else { "not ready" },
        "broker": word(broker),
        "database": word(database),
        "reasons": reasons,
        "notes": notes,
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
    /// What does not keep requests from being executed.
    pub(super) notes: Vec<Reason>,
}

#[derive(Debug, Serialize)]
pub(super) struct Reason {
    code: &'static str,
    part: &'static str,
    pub(super) reason: String,
}

impl Readiness {
    pub(super) async fn of(app: &App) -> Self {
        let ping = timeout(PING_TIMEOUT, app.database.call(DatabaseRequest::Ping, ())).await;
        let ping = ping.unwrap_or(Err(DatabaseError::TimedOut(PING_TIMEOUT)));
        let broker = app.link.is_connected();
        let disconnected = (!broker).then(|| (BrokerUnreachable, "not connected to RabbitMQ".to_owned()));
        let blocked = app.link.is_blocked().then(|| {
            (BrokerBlocked, "RabbitMQ takes no messages: an alarm for memory or disk is on".to_owned())
        });
        let (database, found) = match ping {
            Ok(found) => (true, found),
            Err(error @ DatabaseError::TimedOut(_)) => (false, vec![(DatabaseFrozen, error.to_string())]),
            Err(error) => (false, vec![(DatabaseUnreachable, error.to_string())]),
        };
        let stopping = app.stopping.is_cancelled().then(|| (Stopping, "the service is stopping".to_owned()));
        let conditions = stopping
            .into_iter()
            .chain(disconnected)
            .chain(blocked)
            .chain(found)
            .chain(app.health.conditions());
        let (notes, reasons) = conditions.partition::<Vec<_>, _>(|(condition, _)| condition.is_harmless());
        let told = |conditions: Vec<_>| conditions.into_iter().map(Reason::new).collect();
        Self { broker, database, reasons: told(reasons), notes: told(notes) }
    }
}

impl Reason {
    fn new((condition, reason): (Condition, String)) -> Self {
        Self { code: condition.code(), part: condition.part(), reason }
    }
}
