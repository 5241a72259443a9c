//! The wallets, one wallet with its postings, and the search for wallets and transactions.

use std::collections::{HashMap, HashSet};

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use florin_client::Reply;
use florin_ledger::{Operation, Scale, WalletId, WalletRow};
use florin_wire::{BalanceBody, HistoryBody, JsonDecimal, PostingBody};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::layout::{Failure, Section, empty, page, pages, status, table, transaction_link, wallet_link};
use super::{chart, text};
use crate::App;
use crate::auth::Caller;
use crate::database::DatabaseRequest;
use crate::problem::Problem;
use crate::text::malformed;

const WALLETS_PER_PAGE: u16 = 50;
const POSTINGS_PER_PAGE: u16 = 50;
const CHARTED_POSTINGS: u16 = 200;

#[derive(Debug, Deserialize)]
pub(super) struct From {
    /// The first number, as typed.
    #[serde(default)]
    from: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    #[serde(default)]
    ticker: String,
    before: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    q: String,
}

/// The decimal places of each ticker.
type Scales = HashMap<String, Scale>;

/// `GET /console/search`.
pub(super) async fn search(Query(Search { q }): Query<Search>) -> Result<Response, Failure> {
    let q = q.trim();
    if let Ok(transaction_id) = q.parse::<Uuid>() {
        return Ok(Redirect::to(&format!("/console/transactions/{transaction_id}")).into_response());
    }
    let wallet_id: WalletId =
        q.parse().map_err(|_| malformed("enter a transaction id (a UUID) or a wallet number"))?;
    Ok(Redirect::to(&format!("/console/wallets/{wallet_id}")).into_response())
}

/// `GET /console/wallets`.
pub(super) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(From { from }): Query<From>,
) -> Result<Response, Failure> {
    let from = from.trim();
    let first: Option<WalletId> = match from {
        "" => None,
        from => Some(from.parse().map_err(|_| malformed("a wallet number is a whole number"))?),
    };
    let after = first.map(|first| first.saturating_sub(1));
    let (wallets, more) = app.wallets(&caller, after, WALLETS_PER_PAGE).await?;
    let last = wallets.last().filter(|_| more);
    let next = last.map(|last| format!("/console/wallets?from={}", last.wallet_id.saturating_add(1)));
    let scales = scales(&app).await?;
    let content = html! {
        div.title { h1 { "Wallets" }
            form.filter role="search" aria-label="Wallets" {
                label for="from" { "From number" }
                input #from name="from" value=(from) inputmode="numeric" autocomplete="off" maxlength="20";
                button.plain { "Show" }
            }
        }
        @if wallets.is_empty() {
            (empty("No wallets", "Your key covers no wallet with this number or a higher one. \
                    Operators create wallets with florin wallet create, or over the API."))
        } @else {
            (table("Wallets", &[("Wallet", false), ("Ticker", false), ("Actual", true), ("Frozen", true)],
                   &html! { @for wallet in &wallets { (rows(wallet, &scales)) } }))
            (pages((!from.is_empty()).then_some("/console/wallets"), next.as_deref()))
        }
    };
    Ok(page(&caller, Section::Wallets, "Wallets", &content))
}

/// One line per balance; a wallet without balances has one line, too.
fn rows(wallet: &WalletRow, scales: &Scales) -> Markup {
    let lines = wallet.balances.len().max(1);
    html! {
        @for line in 0..lines {
            tr.same[line > 0] {
                @if line == 0 { th scope="rowgroup" rowspan=(lines) { (wallet_link(wallet.wallet_id)) } }
                @if let Some(balance) = wallet.balances.get(line) {
                    @let scale = scale_of(scales, &balance.ticker);
                    td { (balance.ticker) }
                    td.number { (text::padded(&balance.actual, scale)) }
                    td.number.quiet[is_zero(&balance.frozen)] { (text::padded(&balance.frozen, scale)) }
                } @else {
                    td.quiet colspan="3" { "no balances" }
                }
            }
        }
    }
}

fn is_zero(digits: &str) -> bool {
    digits.bytes().all(|byte| matches!(byte, b'0' | b'.'))
}

/// `GET /console/wallets/{wallet_id}`.
pub(super) async fn wallet(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(wallet_id): Path<String>,
    Query(Shown { ticker, before }): Query<Shown>,
) -> Result<Response, Failure> {
    let ask = async |operation, body: serde_json::Value| {
        done(app.read(&caller, operation, body.to_string().as_bytes()).await?)
    };
    let balances = ask(Operation::Balance, json!({"wallet_id": wallet_id})).await?;
    let balances = balances.balances().unwrap_or_default();
    let mut query = json!({"wallet_id": wallet_id, "limit": POSTINGS_PER_PAGE});
    if !ticker.is_empty() {
        query["ticker"] = ticker.clone().into();
    }
    if let Some(before) = &before {
        query["before"] = before.clone().into();
    }
    let history = ask(Operation::History, query).await?.history().unwrap_or_default();
    let newest = history.postings.first().map_or(String::new(), |posting| posting.ticker.clone());
    let charted = if ticker.is_empty() { newest } else { ticker.clone() };
    let course = match charted.as_str() {
        "" => HistoryBody::default(),
        charted => {
            let query = json!({"wallet_id": wallet_id, "ticker": charted, "limit": CHARTED_POSTINGS});
            ask(Operation::History, query).await?.history().unwrap_or_default()
        }
    };
    let paid = paid_by(&app, wallet_id.parse().ok(), &history.postings).await?;
    let scales = scales(&app).await?;
    let here = format!("/console/wallets/{wallet_id}");
    let with = |before: &str| format!("{here}?ticker={ticker}{before}");
    let next = history.next.as_ref().map(|next| with(&format!("&before={next}")));
    let title = format!("Wallet {wallet_id}");
    let content = html! {
        p.crumb { a href="/console/wallets" { "Wallets" } }
        h1 { (title) }
        (totals(&balances, &scales))
        (chart::balance(&charted, &course.postings))
        div.title { h2 { "History" } (tickers(&here, &ticker, &balances)) }
        @if history.postings.is_empty() {
            (empty("No postings", "None of this wallet and ticker yet."))
        } @else {
            (postings(&history.postings, &scales, &paid))
            (pages(before.map(|_| with("")).as_deref(), next.as_deref()))
        }
    };
    Ok(page(&caller, Section::Wallets, &title, &content))
}

fn totals(balances: &BalanceBody, scales: &Scales) -> Markup {
    if balances.actual_balance.is_empty() {
        return empty("No balances", "This wallet has no postings yet.");
    }
    let frozen = |ticker: &str| balances.frozen_balance.get(ticker).copied();
    let amount = |ticker: &str, JsonDecimal(decimal)| text::amount(decimal, scale_of(scales, ticker));
    html! {
        dl.cards.balances { @for (ticker, actual) in &balances.actual_balance {
            div.card {
                dt { (ticker) }
                dd.big { (amount(ticker, *actual)) }
                @match frozen(ticker) {
                    Some(frozen) => dd { span.badge.waits { "frozen" } " " (amount(ticker, frozen)) },
                    None => dd.quiet { "nothing frozen" },
                }
            }
        } }
    }
}

fn tickers(here: &str, chosen: &str, balances: &BalanceBody) -> Markup {
    let current = |is_current: bool| is_current.then_some("true");
    html! {
        nav.chips aria-label="Ticker" {
            a href=(here) aria-current=[current(chosen.is_empty())] { "All" }
            @for ticker in balances.actual_balance.keys() {
                a href=(format!("{here}?ticker={ticker}")) aria-current=[current(chosen == ticker)] { (ticker) }
            }
        }
    }
}

/// The transfers among these postings that this wallet pays, which a posting itself does not say.
async fn paid_by(
    app: &App,
    wallet_id: Option<WalletId>,
    postings: &[PostingBody],
) -> Result<HashSet<Uuid>, Failure> {
    let transfers = postings.iter().filter(|posting| posting.counterparty_wallet_id.is_some());
    let transfers: Vec<Uuid> = transfers.map(|posting| posting.transaction_id).collect();
    if transfers.is_empty() {
        return Ok(HashSet::new());
    }
    let wallets = app.database.call(DatabaseRequest::WalletsOf, transfers).await?;
    // The payer is the first.
    let paid = wallets.into_iter().filter(|(_, wallets)| wallets.first().copied() == wallet_id);
    Ok(paid.map(|(transaction_id, _)| transaction_id).collect())
}

fn postings(postings: &[PostingBody], scales: &Scales, paid: &HashSet<Uuid>) -> Markup {
    let head = [
        ("Time", false),
        ("Operation", false),
        ("Status", false),
        ("Ticker", false),
        ("Amount", true),
        ("Actual after", true),
        ("Frozen after", true),
        ("Transaction", false),
    ];
    let rows = html! { @for posting in postings {
        @let scale = scale_of(scales, &posting.ticker);
        @let is_payer = paid.contains(&posting.transaction_id);
        @let is_debit = is_payer || posting.operation == Operation::Withdraw.as_str();
        tr {
            td { (text::time(posting.created_at.0)) }
            td {
                (posting.operation)
                @if let Some(other) = posting.counterparty_wallet_id {
                    @if is_payer { " to " } @else { " from " } (wallet_link(other))
                }
            }
            td { (status(&posting.status)) @if let Some(error) = &posting.error { " " span.quiet { (error) } } }
            td { (posting.ticker) }
            td.number { (text::signed(posting.amount.0, scale, &posting.status, is_debit)) }
            td.number { (text::amount(posting.actual_balance.0, scale)) }
            td.number { (text::amount(posting.frozen_balance.0, scale)) }
            td { (transaction_link(posting.transaction_id)) }
        }
    } };
    table("History", &head, &rows)
}

pub(super) async fn scales(app: &App) -> Result<Scales, Failure> {
    let tickers = app.database.call(DatabaseRequest::ListTickers, ()).await?;
    Ok(tickers.into_iter().map(|ticker| (ticker.name, ticker.scale)).collect())
}

/// A ticker added a moment ago may be missing: then amounts are shown with the digits that they have.
pub(super) fn scale_of(scales: &Scales, ticker: &str) -> Scale {
    scales.get(ticker).copied().unwrap_or(Scale::new(0).expect("0 is a scale"))
}

/// A refused query is an error page.
pub(super) fn done(reply: Reply) -> Result<Reply, Failure> {
    if reply.is_done() { Ok(reply) } else { Err(Problem::from_reply(reply, false).into()) }
}
