//! The operations, with the bodies that they have as messages.
//!
//! Each is decoded here as the service would decode it, so that what cannot be meant is refused at once and never
//! reaches the broker. What moves money then goes through the broker, what only reads is looked up.

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use florin_client::{Body, Reply};
use florin_ledger::{Command, Operation};
use florin_wire::{BATCH, Batch, Decoded, Envelope, Refusal, decode};
use uuid::Uuid;

use super::access::Caller;
use super::answer::answer;
use super::broker::Asked;
use super::problem::{Fault, Problem};
use super::text::{JsonText, idempotency_key, malformed};
use super::{App, Shared};

/// Moves money, or ends what waits.
pub(super) async fn change(
    operation: Operation,
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonText(body): JsonText,
) -> Result<Response, Problem> {
    let message_id = message_id(&headers).map_err(|problem| problem.of_operation(operation.as_str()))?;
    let changed = app.change(&caller, operation, message_id, &body).await?;
    Ok(answer(changed.reply, changed.replayed))
}

/// Several operations in one request.
pub(super) async fn batch(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonText(body): JsonText,
) -> Result<Response, Problem> {
    let message_id = message_id(&headers).map_err(|problem| problem.of_operation(BATCH))?;
    let batch = match app.decode(BATCH, &message_id, &body)? {
        Decoded::Batch(batch) => batch,
        Decoded::One(_) => return Err(malformed("this is no batch").of_operation(BATCH)),
    };
    let commands = readable(&batch);
    app.check_wallets(&caller, commands).await.map_err(|problem| problem.of_operation(BATCH))?;
    let asked = Asked { message_id, transaction_id: None, on_behalf_of: caller.on_behalf_of() };
    let response = app.broker.batch(body.into(), asked).await?;
    Ok(answer(response.reply, response.replayed))
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
    app.look_up(&caller, Operation::Balance, &body).await
}

/// The part of a path that names something, and what follows the question mark, as far as they can be read.
type Named = Result<Path<String>, PathRejection>;
type Parameters = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// The parameters of a balance and of a history, beside the wallet.
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

/// A look-up whose body is made of a path and a query: all fields may be strings.
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
    app.look_up(&caller, operation, &body).await
}

/// One of its own for a request that comes without: so the answer can say which transaction to ask for.
fn message_id(headers: &HeaderMap) -> Result<String, Problem> {
    Ok(idempotency_key(headers)?.unwrap_or_else(|| Uuid::now_v7().to_string()))
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
            Decoded::Batch(_) => Err(malformed("a batch is no single operation").of_operation(operation)),
        }
    }

    /// Sends what moves money to the broker, once it is known that the caller may.
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
        let asked = Asked { message_id, transaction_id, on_behalf_of: caller.on_behalf_of() };
        let body = Body::read(body).map_err(|refusal| Problem::of_refusal(&refusal).of_operation(name))?;
        self.broker.call(operation, body, asked).await
    }

    async fn look_up(&self, caller: &Caller, operation: Operation, body: &[u8]) -> Result<Response, Problem> {
        Ok(answer(self.read(caller, operation, body).await?, false))
    }

    /// What the database knows, if the caller may see it: a reply, also one that says no.
    pub(super) async fn read(
        &self,
        caller: &Caller,
        operation: Operation,
        body: &[u8],
    ) -> Result<Reply, Problem> {
        let name = operation.as_str();
        let command = self.command(name, "", body)?;
        self.check_wallets(caller, [&command]).await.map_err(|problem| problem.of_operation(name))?;
        let (command, outcome) =
            self.store.look_up(command).await.map_err(|error| Problem::from(error).of_operation(name))?;
        Ok(Reply::to_command(&command, &outcome))
    }

    /// Whether the caller may see to all wallets of these commands, also those of the transactions that they name.
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
        let wallets = self.store.wallets_of(&named).await?;
        for id in named {
            // One that appears later could be anybody's.
            let unknown = || Problem::of_refusal(&Refusal::unknown_transaction(id));
            let wallets = wallets.get(&id).ok_or_else(unknown)?;
            caller.needs_wallets(wallets.iter().copied())?;
        }
        Ok(())
    }
}

/// Nothing is at this address.
pub(super) async fn not_found() -> Problem {
    Problem::new(Fault::NotFound, "there is nothing at this address: /docs says what there is")
}

/// The address takes other methods.
pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(Fault::MethodNotAllowed, "this address takes other methods: /docs says which")
}
