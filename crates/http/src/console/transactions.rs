//! One transaction and its postings; for an operator the two ways to end it, each with a page that asks once more.
//!
//! Resolution goes through the broker, as everywhere. Asked twice it is answered twice the same, so a form that is sent
//! again does no harm.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use florin_ledger::{Operation, PostingRow};
use florin_wire::{Receipt, TransactionBody};
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
use crate::operations::not_found;
use crate::problem::Problem;
use florin_keys::Role;

/// The two ways to end what waits.
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

/// The form that ends it.
#[derive(Debug, Deserialize)]
pub(super) struct Resolution {
    /// How much to settle; all when it is empty.
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
    let may_end = body.status == "Created" && caller.needs(Role::Operator).is_ok();
    let fields = fields(app, &body).await?;
    let here = format!("/console/transactions/{}", body.transaction_id);
    let content = html! {
        (notice)
        p.crumb { a href={"/console/wallets/" (body.wallet_id)} { "Wallet " (body.wallet_id) } }
        h1 { "Transaction " (status(&body.status)) }
        p.id { (body.transaction_id) }
        @if may_end {
            div.actions {
                a.button href=(format!("{here}/settle")) { "Settle…" }
                a.button.plain href=(format!("{here}/cancel")) { "Cancel…" }
            }
        }
        (fields)
        h2 { "Postings" }
        (list(&postings))
    };
    Ok(page(caller, Section::None, "Transaction", &content))
}

async fn read(app: &App, caller: &Caller, id: &str) -> Result<TransactionBody, Failure> {
    let body = json!({"transaction_id": id}).to_string();
    let reply = done(app.read(caller, Operation::Transaction, body.as_bytes()).await?)?;
    Ok(reply.transaction().expect("the answer to a transaction is a transaction"))
}

async fn fields(app: &App, body: &TransactionBody) -> Result<Markup, Failure> {
    let scale = scale_of(&scales(app).await?, &body.ticker);
    let money =
        |amount: florin_wire::JsonDecimal| format!("{} {}", text::amount(amount.0, scale), body.ticker);
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
            @if let Some(name) = &body.requested_by { dt { "Asked for by" } dd { (name) } }
            @if let Some(name) = &body.ended_by { dt { "Ended by" } dd { (name) } }
            @if let Some(metadata) = &body.metadata { dt { "Metadata" } dd { pre { (metadata.as_str()) } } }
        }
    })
}

fn list(postings: &[PostingRow]) -> Markup {
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
        2 => "ended",
        _ => "ended, payee",
    };
    let rows = html! { @for posting in postings { tr {
        td { (text::time(posting.created_at)) }
        td { (step(posting.leg)) " " (status(&posting.status)) }
        td.number { (wallet_link(posting.wallet_id)) }
        td.number { (posting.version) }
        td.number { (text::amount(posting.amount, posting.scale)) }
        td.number { (text::amount(posting.actual, posting.scale)) }
        td.number { (text::amount(posting.frozen, posting.scale)) }
        td { (posting.ticker) }
    } } };
    table("Postings", &head, &rows)
}

/// `GET /console/transactions/{transaction_id}/{action}`: asks once more.
pub(super) async fn confirm(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((id, action)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let action = known(&action).await?;
    let body = read(&app, &caller, &id).await?;
    let back = format!("/console/transactions/{}", body.transaction_id);
    if body.status != "Created" {
        let late = html! { "It is in status " (body.status) ", which is final." };
        return show(&app, &caller, &id, &notice(Tone::Waits, "The transaction waits no more", &late)).await;
    }
    let name = match action {
        Action::Settle => "Settle",
        Action::Cancel => "Cancel",
    };
    let content = html! {
        div.narrow {
            p.crumb { a href=(back) { "Transaction " (body.transaction_id) } }
            h1 { (name) " this transaction?" }
            p { @match action {
                Action::Settle => "The money moves to where it was meant to go. What is not settled goes back. \
                                   This cannot be undone.",
                Action::Cancel => "The money goes back to where it was. This cannot be undone.",
            } }
            (fields(&app, &body).await?)
            form.stack method="post" action=(format!("{back}/{}", action.operation())) {
                @if action == Action::Settle {
                    label for="amount" { "Amount in " (body.ticker) }
                    input #amount name="amount" value=(body.amount.0) inputmode="decimal" autocomplete="off"
                        maxlength="60" aria-describedby="amount-help";
                    p.quiet #amount-help { "All of it, or a part." }
                }
                div.actions {
                    button { (name) " it" }
                    a.button.plain href=(back) { "Leave it" }
                }
            }
        }
    };
    Ok(page(&caller, Section::None, name, &content))
}

/// `POST /console/transactions/{transaction_id}/{action}`.
pub(super) async fn end(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((id, action)): Path<(String, String)>,
    Fields(Resolution { amount }): Fields<Resolution>,
) -> Result<Response, Failure> {
    let action = known(&action).await?;
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
                tracing::warn!(%error, "the service gave an answer that cannot be read");
                let text =
                    html! { "The answer of the service cannot be read. What is known of it stands below." };
                (StatusCode::BAD_GATEWAY, notice(Tone::Waits, "It may have been done", &text))
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
        None => notice(Tone::Good, "Cancelled", &html! { "The money is back where it was." }),
    }
}

fn refused(problem: &Problem) -> (StatusCode, Markup) {
    let (error, _, reason) = problem.words();
    let told = match error {
        "outcome_unknown" => notice(
            Tone::Waits,
            "No answer came in time",
            &html! { "It may have been done, now or a little later. What is known of it stands below: look again \
            before you decide. Asking for the same once more does no harm." },
        ),
        _ => notice(
            Tone::Bad,
            "Nothing was done",
            &html! { (reason) " (" a href=(format!("/docs#{error}")) { (error) } ")" },
        ),
    };
    (problem.status(), told)
}

async fn known(action: &str) -> Result<Action, Failure> {
    match action {
        "settle" => Ok(Action::Settle),
        "cancel" => Ok(Action::Cancel),
        _ => Err(not_found().await.into()),
    }
}
