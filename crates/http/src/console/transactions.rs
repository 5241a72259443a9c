//! One transaction and its postings; operators settle or cancel it, after a page that asks for confirmation.
//!
//! Both go through the broker like all changes. Sending a form twice does no harm: the answer is repeated.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use florin_ledger::{ErrorCode, Operation, PostingRow, Scale};
use florin_wire::{JsonDecimal, Receipt, TransactionBody};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::layout::{Failure, Section, Tone, notice, page, status, table, wallet_link};
use super::session::Fields;
use super::text;
use super::wallets::{done, scale_of, scales};
use crate::App;
use crate::auth::Caller;
use crate::database::DatabaseRequest;
use crate::operations::no_such_endpoint;
use crate::problem::Problem;
use florin_keys::Role;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    Settle,
    Cancel,
}

impl Action {
    const fn operation(self) -> Operation {
        match self {
            Self::Settle => Operation::Settle,
            Self::Cancel => Operation::Cancel,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Resolution {
    /// The amount to settle; all of it when empty.
    #[serde(default)]
    amount: String,
}

/// `GET /console/transactions/{transaction_id}`.
pub(super) async fn transaction(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    show(&app, &caller, &id, &html! {}).await
}

async fn show(app: &App, caller: &Caller, id: &str, notice: &Markup) -> Result<Response, Failure> {
    let body = read(app, caller, id).await?;
    let postings = app.database.call(DatabaseRequest::PostingsOf, body.transaction_id).await?;
    let may_resolve = body.status == "Created" && caller.needs(Role::Operator).is_ok();
    let fields = fields(app, &body).await?;
    let here = format!("/console/transactions/{}", body.transaction_id);
    let content = html! {
        (notice)
        p.crumb { a href={"/console/wallets/" (body.wallet_id)} { "Wallet " (body.wallet_id) } }
        h1 { "Transaction " (status(&body.status)) }
        p.id { (body.transaction_id) }
        @if may_resolve {
            div.actions {
                a.button href=(format!("{here}/settle")) { "Settle…" }
                a.button.plain href=(format!("{here}/cancel")) { "Cancel…" }
            }
        }
        (fields)
        h2 { "Postings" }
        (list(&postings, &body.operation))
    };
    Ok(page(caller, Section::None, "Transaction", &content))
}

async fn read(app: &App, caller: &Caller, id: &str) -> Result<TransactionBody, Failure> {
    let body = json!({"transaction_id": id}).to_string();
    let reply = done(app.read(caller, Operation::Transaction, body.as_bytes()).await?)?;
    Ok(reply.transaction().expect("the answer to a transaction is a transaction"))
}

fn money(body: &TransactionBody, scale: Scale, amount: JsonDecimal) -> String {
    format!("{} {}", text::amount(amount.0, scale), body.ticker)
}

async fn fields(app: &App, body: &TransactionBody) -> Result<Markup, Failure> {
    let scale = scale_of(&scales(app).await?, &body.ticker);
    let money = |amount| money(body, scale, amount);
    Ok(html! {
        dl.fields {
            dt { "Operation" } dd { (body.operation) }
            dt { "Amount" } dd.digits { (money(body.amount)) }
            @if let Some(settled) = body.settled_amount { dt { "Settled" } dd.digits { (money(settled)) } }
            dt { "Wallet" } dd { (wallet_link(body.wallet_id)) }
            @if let Some(to) = body.to_wallet_id { dt { "To wallet" } dd { (wallet_link(to)) } }
            @if let Some(error) = &body.error {
                dt { "Error" }
                dd { a href=(format!("/docs#{error}")) { (error) }
                     @if let Some(reason) = &body.reason { ": " (reason) } }
            }
            dt { "Created" } dd { (text::time(body.created_at.0)) }
            @if let Some(expires) = body.expires_at { dt { "Expires" } dd { (text::time(expires.0)) } }
            @if let Some(ended) = body.ended_at { dt { "Ended" } dd { (text::time(ended.0)) } }
            @if let Some(name) = &body.requested_by { dt { "Requested by" } dd { (name) } }
            @match (&body.error, &body.ended_by) {
                (Some(error), _) if error == ErrorCode::Expired.as_str() => {
                    dt { "Ended by" } dd { "Expired automatically" }
                }
                (_, Some(name)) => { dt { "Ended by" } dd { (name) } }
                _ => {}
            }
            @if let Some(metadata) = &body.metadata { dt { "Metadata" } dd { pre { (metadata.as_str()) } } }
        }
    })
}

fn list(postings: &[PostingRow], operation: &str) -> Markup {
    let is_debit = |leg| operation != Operation::Invoice.as_str() && matches!(leg, 0 | 2);
    let head = [
        ("Time", false),
        ("Step", false),
        ("Wallet", true),
        ("Version", true),
        ("Amount", true),
        ("Actual after", true),
        ("Frozen after", true),
        ("Ticker", false),
    ];
    let step = |leg| match leg {
        0 => "opened",
        1 => "opened, payee",
        2 => "resolved",
        _ => "resolved, payee",
    };
    let rows = html! { @for posting in postings { tr {
        td { (text::time(posting.created_at)) }
        td { (step(posting.leg)) " " (status(&posting.status)) }
        td.number { (wallet_link(posting.wallet_id)) }
        td.number { (posting.version) }
        td.number { (text::signed(posting.amount, posting.scale, &posting.status, is_debit(posting.leg))) }
        td.number { (text::amount(posting.actual, posting.scale)) }
        td.number { (text::amount(posting.frozen, posting.scale)) }
        td { (posting.ticker) }
    } } };
    table("Postings", &head, &rows)
}

/// `GET /console/transactions/{transaction_id}/{action}`: asks for confirmation.
pub(super) async fn confirm(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((id, action)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let action = parse(&action)?;
    let body = read(&app, &caller, &id).await?;
    let back = format!("/console/transactions/{}", body.transaction_id);
    if body.status != "Created" {
        let late = html! { "Its status is " (body.status) ", which is final." };
        return show(&app, &caller, &id, &notice(Tone::Waits, "No longer pending", &late)).await;
    }
    let (title, effect) = match action {
        Action::Settle => {
            ("Settle", "The amount is settled, and what is not settled is released. This cannot be undone.")
        }
        Action::Cancel => ("Cancel", "All of it is released. This cannot be undone."),
    };
    let target = format!("{back}/{}", action.operation());
    let whole = money(&body, scale_of(&scales(&app).await?, &body.ticker), body.amount);
    let content = html! {
        div.narrow {
            p.crumb { a href=(back) { "Transaction " (body.transaction_id) } }
            h1 { (title) " this transaction?" }
            p { (effect) }
            (fields(&app, &body).await?)
            form.stack method="post" action=(target) {
                div.actions {
                    button { @match action {
                        Action::Settle => { "Settle " (whole) },
                        Action::Cancel => "Cancel the transaction",
                    } }
                    a.button.plain href=(back) { "Back" }
                }
            }
            @if action == Action::Settle { (part(&body, &target)) }
        }
    };
    Ok(page(&caller, Section::None, title, &content))
}

fn part(body: &TransactionBody, target: &str) -> Markup {
    html! {
        h2 { "Settle a part" }
        form.stack method="post" action=(target) {
            label for="amount" { "Amount in " (body.ticker) }
            input #amount name="amount" value=(body.amount.0) inputmode="decimal" autocomplete="off"
                maxlength="60" required aria-describedby="amount-help";
            p.quiet #amount-help { "The rest is released." }
            div.actions { button.plain { "Settle this amount" } }
        }
    }
}

/// `POST /console/transactions/{transaction_id}/{action}`.
pub(super) async fn end(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((id, action)): Path<(String, String)>,
    Fields(Resolution { amount }): Fields<Resolution>,
) -> Result<Response, Failure> {
    let action = parse(&action)?;
    let mut body = json!({"transaction_id": id});
    if action == Action::Settle && !amount.trim().is_empty() {
        body["amount"] = amount.trim().into();
    }
    let message_id = Uuid::now_v7().to_string();
    let answer = app.change(&caller, action.operation(), message_id, body.to_string().as_bytes()).await;
    let (code, told) = match answer {
        Ok(response) if response.reply.is_done() => match response.reply.receipt() {
            Ok(receipt) => (StatusCode::OK, ended(&receipt)),
            Err(error) => {
                tracing::warn!(%error, "unreadable reply of the service");
                let text =
                    html! { "The reply of the service cannot be read. The present state is shown below." };
                (StatusCode::BAD_GATEWAY, notice(Tone::Waits, "Outcome unknown", &text))
            }
        },
        Ok(response) => refused(&Problem::from_reply(response.reply, response.replayed)),
        Err(problem) => refused(&problem),
    };
    let mut response = show(&app, &caller, &id, &told).await?;
    *response.status_mut() = code;
    Ok(response)
}

fn ended(receipt: &Receipt) -> Markup {
    match receipt.settled_amount {
        Some(settled) => notice(Tone::Good, "Settled", &html! { (settled.0) " were settled." }),
        None => notice(Tone::Good, "Cancelled", &html! { "The money was released." }),
    }
}

fn refused(problem: &Problem) -> (StatusCode, Markup) {
    let (error, _, reason) = problem.words();
    let told = match error {
        "outcome_unknown" => notice(
            Tone::Waits,
            "No answer in time",
            &html! { "It may have been done, or may be done a little later. The present state is shown below: reload \
            before you decide. Sending the same again does no harm." },
        ),
        _ => notice(
            Tone::Bad,
            "Nothing was done",
            &html! { (reason) " (" a href=(format!("/docs#{error}")) { (error) } ")" },
        ),
    };
    (problem.status(), told)
}

fn parse(action: &str) -> Result<Action, Failure> {
    match action {
        "settle" => Ok(Action::Settle),
        "cancel" => Ok(Action::Cancel),
        _ => Err(no_such_endpoint().into()),
    }
}
