//! The operations, with the same bodies as over AMQP.
//!
//! Each is decoded here as the service would decode it, so that a malformed request is refused at once and
//! never reaches the broker. Changes then go through the broker, queries to the database.

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use florin_client::{Body, Reply};
use florin_ledger::{Command, Operation};
use florin_wire::{BATCH, Batch, Decoded, Envelope, Refusal, decode, is_identity};
use uuid::Uuid;

use super::auth::Caller;
use super::broker::Call;
use super::console::error_page;
use super::database::DatabaseRequest;
use super::problem::{Fault, Problem};
use super::text::{JsonText, idempotency_key, malformed};
use super::{App, Shared, response};

/// Moves money, or resolves a hold.
pub(super) async fn change(
    operation: Operation,
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonText(body): JsonText,
) -> Result<Response, Problem> {
    let message_id = message_id(&headers).map_err(|problem| problem.of_operation(operation.as_str()))?;
    let changed = app.change(&caller, operation, message_id, &body).await?;
    Ok(response::of_reply(changed.reply, changed.replayed))
}

pub(super) async fn batch(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonText(body): JsonText,
) -> Result<Response, Problem> {
    let message_id = message_id(&headers).map_err(|problem| problem.of_operation(BATCH))?;
    let batch = match app.decode(BATCH, &message_id, &body)? {
        Decoded::Batch(batch) => batch,
        Decoded::One(_) => return Err(malformed("not a batch").of_operation(BATCH)),
    };
    let commands = readable(&batch);
    app.check_wallets(&caller, commands).await.map_err(|problem| problem.of_operation(BATCH))?;
    let call = Call { message_id, transaction_id: None, on_behalf_of: caller.on_behalf_of() };
    let response = app.broker.batch(body.into(), call).await?;
    Ok(response::of_reply(response.reply, response.replayed))
}

fn readable(batch: &Batch) -> impl Iterator<Item = &Command> {
    batch.items.iter().filter_map(|item| item.command.as_ref().ok())
}

/// `POST /balance`, as clients of the first protocol know it.
pub(super) async fn balance(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    JsonText(body): JsonText,
) -> Result<Response, Problem> {
    app.query(&caller, Operation::Balance, &body).await
}

/// The variable part of a path, and the query parameters.
type Named = Result<Path<String>, PathRejection>;
type Parameters = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// The query parameters of a balance and of a history.
pub(super) const BALANCE_PARAMETERS: &[&str] = &["ticker", "at"];
pub(super) const HISTORY_PARAMETERS: &[&str] = &["ticker", "status", "from", "until", "before", "limit"];

/// `GET /wallets/{wallet_id}/balance`.
pub(super) async fn balance_of(
    state: State<App>,
    caller: Extension<Caller>,
    wallet_id: Named,
    query: Parameters,
) -> Result<Response, Problem> {
    resource(Operation::Balance, ("wallet_id", wallet_id), BALANCE_PARAMETERS, state, caller, query).await
}

/// `GET /wallets/{wallet_id}/history`.
pub(super) async fn history_of(
    state: State<App>,
    caller: Extension<Caller>,
    wallet_id: Named,
    query: Parameters,
) -> Result<Response, Problem> {
    resource(Operation::History, ("wallet_id", wallet_id), HISTORY_PARAMETERS, state, caller, query).await
}

/// `GET /transactions/{transaction_id}`.
pub(super) async fn transaction(
    state: State<App>,
    caller: Extension<Caller>,
    transaction_id: Named,
    query: Parameters,
) -> Result<Response, Problem> {
    resource(Operation::Transaction, ("transaction_id", transaction_id), &[], state, caller, query).await
}

/// A query whose body is made of the path and the query parameters: every field may be a string.
async fn resource(
    operation: Operation,
    (named, value): (&str, Named),
    parameters: &[&str],
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    query: Parameters,
) -> Result<Response, Problem> {
    let unreadable = |reason| malformed(reason).of_operation(operation.as_str());
    let Path(value) = value.map_err(|rejection| unreadable(rejection.body_text()))?;
    let Query(query) = query.map_err(|rejection| unreadable(rejection.body_text()))?;
    let mut fields = serde_json::Map::from_iter([(named.to_owned(), value.into())]);
    for (name, value) in query {
        if !parameters.contains(&name.as_str()) {
            let refusal = Refusal::unknown_name("parameter", &name, parameters);
            return Err(Problem::of_refusal(&refusal).of_operation(operation.as_str()));
        }
        if fields.insert(name.clone(), value.into()).is_some() {
            return Err(malformed(format!("{name} is given twice")).of_operation(operation.as_str()));
        }
    }
    let body = serde_json::to_vec(&fields).expect("texts are JSON");
    app.query(&caller, operation, &body).await
}

/// A request without a key gets one of ours, so that even a 504 names the transaction to read.
fn message_id(headers: &HeaderMap) -> Result<String, Problem> {
    let given = idempotency_key(headers)?.filter(|id| is_identity(id));
    Ok(given.unwrap_or_else(|| Uuid::now_v7().to_string()))
}

impl Shared {
    fn decode(&self, operation: &str, message_id: &str, body: &[u8]) -> Result<Decoded, Problem> {
        let envelope = Envelope { operation, message_id: Some(message_id), ..Envelope::default() };
        decode(&envelope, body, &self.limits)
            .map_err(|refusal| Problem::of_refusal(&refusal).of_operation(operation))
    }

    fn command(&self, operation: &str, message_id: &str, body: &[u8]) -> Result<Command, Problem> {
        match self.decode(operation, message_id, body)? {
            Decoded::One(command) => Ok(command),
            Decoded::Batch(_) => Err(malformed("not a single operation").of_operation(operation)),
        }
    }

    /// Sends the request to the broker, if the caller may see to its wallets.
    pub(super) async fn change(
        &self,
        caller: &Caller,
        operation: Operation,
        message_id: String,
        body: &[u8],
    ) -> Result<florin_client::Response, Problem> {
        let name = operation.as_str();
        let command = self.command(name, &message_id, body)?;
        self.check_wallets(caller, [&command]).await.map_err(|problem| problem.of_operation(name))?;
        let movement = command.movement().map(|movement| movement.identity.transaction_id);
        let transaction_id = movement.or(command.named_transaction());
        let call = Call { message_id, transaction_id, on_behalf_of: caller.on_behalf_of() };
        let body = Body::read(body).map_err(|refusal| Problem::of_refusal(&refusal).of_operation(name))?;
        self.broker.call(operation, body, call).await
    }

    async fn query(&self, caller: &Caller, operation: Operation, body: &[u8]) -> Result<Response, Problem> {
        Ok(response::of_reply(self.read(caller, operation, body).await?, false))
    }

    /// The reply to a query, also one that refuses, if the caller may see to its wallets.
    pub(super) async fn read(
        &self,
        caller: &Caller,
        operation: Operation,
        body: &[u8],
    ) -> Result<Reply, Problem> {
        let name = operation.as_str();
        let command = self.command(name, "", body)?;
        self.check_wallets(caller, [&command]).await.map_err(|problem| problem.of_operation(name))?;
        let found = self.database.call(DatabaseRequest::Query, command).await;
        let (command, outcome) = found.map_err(|error| Problem::from(error).of_operation(name))?;
        Ok(Reply::to_command(&command, &outcome))
    }

    /// Refuses commands on wallets that the caller's key does not cover, also by naming a transaction: those of
    /// others are answered as if they did not exist, so that a key does not find out which do.
    async fn check_wallets(
        &self,
        caller: &Caller,
        commands: impl IntoIterator<Item = &Command>,
    ) -> Result<(), Problem> {
        if caller.wallets().is_none() {
            return Ok(());
        }
        let mut named = Vec::new();
        for command in commands {
            caller.needs_wallets(command.wallet_ids())?;
            named.extend(command.named_transaction());
        }
        let wallets = self.database.call(DatabaseRequest::WalletsOf, named.clone()).await?;
        for id in named {
            // One that appears later could be anybody's.
            let is_own =
                wallets.get(&id).is_some_and(|wallets| caller.needs_wallets(wallets.iter().copied()).is_ok());
            if !is_own {
                return Err(Problem::of_refusal(&Refusal::unknown_transaction(id)));
            }
        }
        Ok(())
    }
}

/// People type a slash at the end: they are sent to the page without it. And browsers get pages.
pub(super) async fn not_found(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    match uri.path().strip_suffix('/') {
        // Never to `//host` or `/\host`, which browsers take for another site.
        Some(path)
            if method == Method::GET
                && path.starts_with('/')
                && !path.contains("//")
                && !path.contains('\\') =>
        {
            Redirect::permanent(path).into_response()
        }
        _ if method == Method::GET && wants_page(&headers) => error_page(no_such_endpoint()),
        _ => no_such_endpoint().into_response(),
    }
}

/// No program asks for HTML, and every browser does.
fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

pub(super) fn no_such_endpoint() -> Problem {
    Problem::new(Fault::NotFound, "No such endpoint. See /docs.")
}

pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(Fault::MethodNotAllowed, "This endpoint takes other methods. See /docs.")
}
