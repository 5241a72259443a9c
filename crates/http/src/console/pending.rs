//! Pending transactions, the oldest first.

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

use super::layout::{
    Failure, Section, Tone, badge, empty, page, pages, table, transaction_link, transaction_path, wallet_link,
};
use super::text;
use crate::App;
use crate::auth::Caller;
use crate::database::DatabaseRequest;
use florin_ledger::PendingRow;

const PAGE: usize = 50;
/// Read at a time, and how often, for a page of a key that covers some wallets only.
const SCANNED: usize = 1000;
const SCANS: usize = 10;

#[derive(Debug, Deserialize)]
pub(super) struct After {
    after: Option<Uuid>,
}

/// `GET /console/pending`.
pub(super) async fn pending(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(After { after }): Query<After>,
) -> Result<Response, Failure> {
    let Found { rows, more, cut } = find(&app, &caller, after).await?;
    let last = rows.last().filter(|_| more);
    let next = last.map(|last| format!("/console/pending?after={}", last.transaction_id));
    let content = html! {
        h1 { "Pending" }
        p.lead { "Transactions in status Created, the oldest first, until they are settled, cancelled or expire." }
        @if rows.is_empty() {
            (empty("Nothing pending", "No transaction of your wallets is in status Created."))
        } @else {
            (list(&rows))
        }
        @if cut { p.quiet { "Only the oldest " (SCANS * SCANNED) " transactions of all wallets were looked through." } }
        (pages(after.map(|_| "/console/pending"), next.as_deref()))
    };
    Ok(page(&caller, Section::Pending, "Pending", &content))
}

struct Found {
    rows: Vec<PendingRow>,
    more: bool,
    /// Whether it was given up before the end.
    cut: bool,
}

/// A page of what the caller's key covers. Other transactions leave no trace, not even in the address of the next page.
async fn find(app: &App, caller: &Caller, after: Option<Uuid>) -> Result<Found, Failure> {
    let covers = |row: &PendingRow| {
        caller.needs_wallets(std::iter::once(row.wallet_id).chain(row.counterparty_wallet_id)).is_ok()
    };
    let mut found = Found { rows: Vec::new(), more: false, cut: false };
    if !is_own(app, caller, after).await? {
        return Ok(found);
    }
    let scanned = if caller.wallets().is_some() { SCANNED } else { PAGE + 1 };
    let limit = i64::try_from(scanned).expect("it is small");
    let mut from = after;
    for _ in 0..SCANS {
        let holds = app.database.call(DatabaseRequest::ListPending, (from, limit)).await?;
        let is_end = holds.len() < scanned;
        from = holds.last().map(|row| row.transaction_id);
        found.rows.extend(holds.into_iter().filter(covers));
        found.more = found.rows.len() > PAGE;
        found.rows.truncate(PAGE);
        if is_end || found.more {
            return Ok(found);
        }
    }
    found.cut = true;
    Ok(found)
}

/// A transaction of others is as good as none.
async fn is_own(app: &App, caller: &Caller, transaction_id: Option<Uuid>) -> Result<bool, Failure> {
    let (Some(id), Some(_)) = (transaction_id, caller.wallets()) else { return Ok(true) };
    let wallets = app.database.call(DatabaseRequest::WalletsOf, vec![id]).await?;
    Ok(wallets.get(&id).is_some_and(|wallets| caller.needs_wallets(wallets.iter().copied()).is_ok()))
}

fn list(rows: &[PendingRow]) -> Markup {
    let head = [
        ("Pending for", true),
        ("Amount", true),
        ("Ticker", false),
        ("Wallet", false),
        ("Operation", false),
        ("Opened", false),
        ("Expires", false),
        ("Transaction", false),
    ];
    let rows = html! { @for row in rows { tr {
        td.number { a href=(transaction_path(row.transaction_id)) { (text::age(row.created_at)) } }
        td.number { (text::amount(row.amount, row.scale)) }
        td { (row.ticker) }
        td {
            (wallet_link(row.wallet_id))
            @if let Some(to) = row.counterparty_wallet_id { " to " (wallet_link(to)) }
        }
        td { (row.operation) }
        td { (text::time(row.created_at)) }
        td { @match row.expires_at {
            None => span.quiet { "never" },
            Some(at) if at.elapsed().is_ok() => (badge(Tone::Bad, "overdue")),
            Some(at) => (text::time(at)),
        } }
        td { (transaction_link(row.transaction_id)) }
    } } };
    table("Pending transactions", &head, &rows)
}
