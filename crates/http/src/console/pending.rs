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

const PAGE: i64 = 50;
/// Scanned for one page of a key that covers some wallets only: then a page may be short.
const SCANNED: i64 = 1000;

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
    let size = if caller.wallets().is_some() { SCANNED } else { PAGE };
    let mut rows = app.database.call(DatabaseRequest::ListPending, (after, size + 1)).await?;
    let size = usize::try_from(size).expect("a page is short");
    let more = rows.len() > size;
    rows.truncate(size);
    let next =
        rows.last().filter(|_| more).map(|last| format!("/console/pending?after={}", last.transaction_id));
    rows.retain(|row| {
        caller.needs_wallets(std::iter::once(row.wallet_id).chain(row.counterparty_wallet_id)).is_ok()
    });
    let content = html! {
        h1 { "Pending" }
        p.lead { "Transactions in status Created, the oldest first, until they are settled, cancelled or expire." }
        @if rows.is_empty() {
            (empty("Nothing pending", "No transaction of your wallets is in status Created."))
        } @else {
            (list(&rows))
        }
        (pages(after.map(|_| "/console/pending"), next.as_deref()))
    };
    Ok(page(&caller, Section::Pending, "Pending", &content))
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
