//! All endpoints in one table: their handlers, who may use them, and what the documents say of them.

use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Redirect, Response};
use axum::routing::{MethodRouter, get, post};
use florin_ledger::Operation;
use florin_wire::BATCH;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tracing::Instrument;

use Method::{Get, Post};

use super::problem::{Fault, Problem};
use super::{App, auth, catalog, console, docs, health, openapi, operations};
use florin_keys::Role;
use florin_metrics::HTTP;

/// An endpoint.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// The least role that may use it; none if it needs no key.
    pub(super) role: Option<Role>,
    /// Its name in documents and metrics.
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) kind: Kind,
    handler: MethodRouter<App>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

/// What an endpoint takes and returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An operation that changes something, with the body of its AMQP message. It has an identity.
    Change(&'static str),
    /// A query with the body of its AMQP message.
    Query(Operation),
    /// A query made of the path and these parameters.
    Resource(Operation, &'static [&'static str]),
    ListWallets,
    CreateWallets,
    ListTickers,
    AddTicker,
    /// Documents, metrics, health: no part of the API proper. With its content type.
    Page(&'static str),
}

/// An endpoint that requires a key.
fn endpoint(
    (method, path): (Method, &'static str),
    role: Role,
    name: &'static str,
    summary: &'static str,
    kind: Kind,
    handler: MethodRouter<App>,
) -> Route {
    Route { method, path, role: Some(role), name, summary, kind, handler }
}

fn change(path: &'static str, operation: Operation, summary: &'static str) -> Route {
    let name = operation.as_str();
    let handler =
        post(move |state, caller, headers, body| operations::change(operation, state, caller, headers, body));
    endpoint((Post, path), Role::Client, name, summary, Kind::Change(name), handler)
}

fn page(
    path: &'static str,
    summary: &'static str,
    content_type: &'static str,
    handler: MethodRouter<App>,
) -> Route {
    let name = &path[1..];
    Route { method: Get, path, role: None, name, summary, kind: Kind::Page(content_type), handler }
}

/// All endpoints but the pages of the console.
pub(super) fn all() -> Vec<Route> {
    [changes(), queries(), wallets_and_tickers(), pages()].into_iter().flatten().collect()
}

fn changes() -> Vec<Route> {
    vec![
        change("/invoice", Operation::Invoice, "Credits a wallet."),
        change("/withdraw", Operation::Withdraw, "Debits a wallet."),
        change("/transfer", Operation::Transfer, "Debits one wallet and credits another."),
        change("/settle", Operation::Settle, "Settles a pending transaction, in full or in part."),
        change("/cancel", Operation::Cancel, "Cancels a pending transaction: the money is released."),
        endpoint(
            (Post, "/batch"),
            Role::Client,
            BATCH,
            "Up to 1000 operations in one request, each on its own or all or none.",
            Kind::Change(BATCH),
            post(operations::batch),
        ),
    ]
}

fn queries() -> Vec<Route> {
    vec![
        endpoint(
            (Post, "/balance"),
            Role::Reader,
            "balance",
            "Reads the balances of a wallet.",
            Kind::Query(Operation::Balance),
            post(operations::balance),
        ),
        endpoint(
            (Get, "/wallets/{wallet_id}/balance"),
            Role::Reader,
            "wallet_balance",
            "Reads the balances of a wallet, now or at a time in the past.",
            Kind::Resource(Operation::Balance, operations::BALANCE_PARAMETERS),
            get(operations::balance_of),
        ),
        endpoint(
            (Get, "/wallets/{wallet_id}/history"),
            Role::Reader,
            "wallet_history",
            "Reads the postings of a wallet, newest first, page by page.",
            Kind::Resource(Operation::History, operations::HISTORY_PARAMETERS),
            get(operations::history_of),
        ),
        endpoint(
            (Get, "/transactions/{transaction_id}"),
            Role::Reader,
            "transaction",
            "Reads a transaction.",
            Kind::Resource(Operation::Transaction, &[]),
            get(operations::transaction),
        ),
    ]
}

fn wallets_and_tickers() -> Vec<Route> {
    vec![
        endpoint(
            (Get, "/wallets"),
            Role::Reader,
            "list_wallets",
            "Lists wallets and their balances, by number.",
            Kind::ListWallets,
            get(catalog::list_wallets),
        ),
        endpoint(
            (Post, "/wallets"),
            Role::Operator,
            "create_wallets",
            "Creates wallets. Existing ones are unchanged.",
            Kind::CreateWallets,
            post(catalog::create_wallets),
        ),
        endpoint(
            (Get, "/tickers"),
            Role::Reader,
            "list_tickers",
            "Lists all tickers.",
            Kind::ListTickers,
            get(catalog::list_tickers),
        ),
        endpoint(
            (Post, "/tickers"),
            Role::Operator,
            "add_ticker",
            "Adds a ticker.",
            Kind::AddTicker,
            post(catalog::add_ticker),
        ),
    ]
}

fn pages() -> Vec<Route> {
    vec![
        page("/metrics", "Metrics for Prometheus.", "text/plain", get(health::metrics)),
        page("/healthz", "Whether the process is alive.", "application/json", get(health::healthz)),
        page(
            "/readyz",
            "Whether requests can be executed, and if not, why.",
            "application/json",
            get(health::readyz),
        ),
        page("/docs", "The API documentation.", "text/html", get(docs::docs)),
        page("/openapi.json", "This document.", "application/json", get(openapi::openapi)),
        page("/asyncapi.json", "The AMQP API.", "application/json", get(openapi::asyncapi)),
    ]
}

pub(super) fn router(app: &App) -> Router {
    let mut router = Router::new();
    for Route { path, role, name, handler, .. } in all() {
        let handler = match role {
            None => handler,
            Some(role) => handler
                .layer(from_fn_with_state((app.clone(), role), auth::enter))
                .layer(from_fn_with_state(app.clone(), bounded))
                .layer(from_fn_with_state((app.clone(), name), measured)),
        };
        router = router.route(path, handler);
    }
    let always = |name, value| SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value));
    let unless_set =
        |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    router
        .route("/", get(async || Redirect::to("/console")))
        .merge(console::router(app))
        .fallback(operations::not_found)
        .method_not_allowed_fallback(operations::method_not_allowed)
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(always(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(always(header::X_FRAME_OPTIONS, "DENY"))
        .layer(unless_set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"))
        .layer(unless_set(header::REFERRER_POLICY, "no-referrer"))
        .layer(unless_set(header::CACHE_CONTROL, "no-store"))
        .with_state(app.clone())
}

/// Sheds load (503).
async fn bounded(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    let Ok(_place) = app.places.try_acquire() else {
        return Err(Problem::new(Fault::Overloaded, "too many requests in progress"));
    };
    Ok(next.run(request).await)
}

/// Counts the answers of the API, and gives everything that is logged on the way the id of the request.
async fn measured(
    State((app, operation)): State<(App, &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let request_id = request.extensions().get::<RequestId>().map(RequestId::header_value);
    let request_id = request_id.and_then(|id| id.to_str().ok()).unwrap_or_default();
    let span = tracing::info_span!("http_request", operation, request_id);
    let response = next.run(request).instrument(span.clone()).await;
    let duration_secs = started.elapsed().as_secs_f64();
    let status = response.status();
    span.in_scope(|| tracing::debug!(status = status.as_u16(), duration_secs, "request answered"));
    app.metrics.answers.with_label_values(&[operation, status.as_str(), HTTP]).inc();
    app.metrics.request_seconds.with_label_values(&[operation, HTTP]).observe(duration_secs);
    response
}
