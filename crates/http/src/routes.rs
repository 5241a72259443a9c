//! The one table of addresses: what serves them, who may use them, and what the documents say of them.

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use axum::{Router, http::HeaderValue, http::header};
use florin_ledger::Operation;
use florin_wire::BATCH;

use super::problem::{Fault, Problem};
use super::{App, auth, catalog, console, docs, health, openapi, operations};
use florin_keys::Role;
use florin_metrics::HTTP;

/// An address.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// Who may use it; none when everybody may.
    pub(super) role: Option<Role>,
    /// Its name in documents and metrics.
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) summary: &'static str,
    /// What it takes and gives.
    pub(super) kind: Kind,
    handler: MethodRouter<App>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

/// What an address takes and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An operation with the body of its message. It changes something, so it has an identity.
    Change(&'static str),
    /// An operation with the body of its message that only reads.
    Read(Operation),
    /// A look-up made of the path and these parameters.
    LookUp(Operation, &'static [&'static str]),
    ListWallets,
    CreateWallets,
    ListTickers,
    AddTicker,
    /// Something that is no part of the API proper.
    Page(&'static str),
}

fn change(operation: Operation, summary: &'static str) -> Route {
    Route {
        method: Method::Post,
        path: match operation {
            Operation::Invoice => "/invoice",
            Operation::Withdraw => "/withdraw",
            Operation::Transfer => "/transfer",
            Operation::Settle => "/settle",
            _ => "/cancel",
        },
        role: Some(Role::Client),
        name: operation.as_str(),
        summary,
        kind: Kind::Change(operation.as_str()),
        handler: post(move |state, caller, headers, body| {
            operations::change(operation, state, caller, headers, body)
        }),
    }
}

fn read(
    path: &'static str,
    name: &'static str,
    summary: &'static str,
    kind: Kind,
    handler: MethodRouter<App>,
) -> Route {
    Route { method: Method::Get, path, role: Some(Role::Reader), name, summary, kind, handler }
}

fn page(
    path: &'static str,
    summary: &'static str,
    content_type: &'static str,
    handler: MethodRouter<App>,
) -> Route {
    let name = &path[1..];
    Route { method: Method::Get, path, role: None, name, summary, kind: Kind::Page(content_type), handler }
}

/// All addresses, without the pages of the console.
pub(super) fn all() -> Vec<Route> {
    [changes(), look_ups(), wallets_and_tickers(), pages()].into_iter().flatten().collect()
}

fn changes() -> Vec<Route> {
    vec![
        change(Operation::Invoice, "Credits a wallet."),
        change(Operation::Withdraw, "Debits a wallet."),
        change(Operation::Transfer, "Debits one wallet and credits another."),
        change(Operation::Settle, "Ends a transaction that waits: it is done, all of it or a part."),
        change(Operation::Cancel, "Ends a transaction that waits: it is not done."),
        Route {
            method: Method::Post,
            path: "/batch",
            role: Some(Role::Client),
            name: BATCH,
            summary: "Up to 1000 operations at once, each for itself or all or none.",
            kind: Kind::Change(BATCH),
            handler: post(operations::batch),
        },
    ]
}

fn look_ups() -> Vec<Route> {
    vec![
        Route {
            method: Method::Post,
            ..read(
                "/balance",
                "balance",
                "Reads the balances of a wallet.",
                Kind::Read(Operation::Balance),
                post(operations::balance),
            )
        },
        read(
            "/wallets/{wallet_id}/balance",
            "wallet_balance",
            "Reads the balances of a wallet, now or as they were.",
            Kind::LookUp(Operation::Balance, operations::BALANCE_PARAMETERS),
            get(operations::balance_of),
        ),
        read(
            "/wallets/{wallet_id}/history",
            "wallet_history",
            "Reads the postings of a wallet, newest first, a page at a time.",
            Kind::LookUp(Operation::History, operations::HISTORY_PARAMETERS),
            get(operations::history_of),
        ),
        read(
            "/transactions/{transaction_id}",
            "transaction",
            "Reads a transaction.",
            Kind::LookUp(Operation::Transaction, &[]),
            get(operations::transaction),
        ),
    ]
}

fn wallets_and_tickers() -> Vec<Route> {
    let operator = |route: Route| Route { method: Method::Post, role: Some(Role::Operator), ..route };
    vec![
        read(
            "/wallets",
            "list_wallets",
            "Lists wallets and their balances, by number.",
            Kind::ListWallets,
            get(catalog::list_wallets),
        ),
        operator(read(
            "/wallets",
            "create_wallets",
            "Makes wallets. Those that there are stay as they are.",
            Kind::CreateWallets,
            post(catalog::create_wallets),
        )),
        read("/tickers", "list_tickers", "Lists all tickers.", Kind::ListTickers, get(catalog::list_tickers)),
        operator(read(
            "/tickers",
            "add_ticker",
            "Adds a ticker.",
            Kind::AddTicker,
            post(catalog::add_ticker),
        )),
    ]
}

fn pages() -> Vec<Route> {
    vec![
        page("/metrics", "What is counted, for Prometheus.", "text/plain", get(health::metrics)),
        page("/healthz", "Whether the process serves at all.", "application/json", get(health::healthz)),
        page(
            "/readyz",
            "Whether the broker and the database can be reached.",
            "application/json",
            get(health::readyz),
        ),
        page("/docs", "How to use all this, for people.", "text/html", get(docs::docs)),
        page("/openapi.json", "This document.", "application/json", get(openapi::openapi)),
        page("/asyncapi.json", "The AMQP side.", "application/json", get(openapi::asyncapi)),
    ]
}

/// Serves all of them.
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
    let console = console::router(app).layer(from_fn_with_state((app.clone(), "console"), measured));
    router
        .merge(console)
        .fallback(operations::not_found)
        .method_not_allowed_fallback(operations::method_not_allowed)
        .layer(from_fn(secured))
        .with_state(app.clone())
}

/// Turns away what is too much.
async fn bounded(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    let Ok(_place) = app.places.try_acquire() else {
        return Err(Problem::new(Fault::Overloaded, "too many requests are worked on"));
    };
    Ok(next.run(request).await)
}

/// Counts the answer.
async fn measured(
    State((app, operation)): State<(App, &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    let started = std::time::Instant::now();
    let response = next.run(request).await;
    let duration_secs = started.elapsed().as_secs_f64();
    app.metrics.answers.with_label_values(&[operation, response.status().as_str(), HTTP]).inc();
    app.metrics.request_seconds.with_label_values(&[operation, HTTP]).observe(duration_secs);
    response
}

/// What every answer says to browsers.
async fn secured(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [(header::X_CONTENT_TYPE_OPTIONS, "nosniff"), (header::X_FRAME_OPTIONS, "DENY")] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
