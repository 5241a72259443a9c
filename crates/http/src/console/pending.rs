//! What waits to be settled or cancelled, the oldest first.

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

use super::layout::{
    Failure, Section, Tone, badge, empty, page, pages, table, transaction_link, wallet_link,
};
use super::text;
use crate::App;
use crate::auth::Caller;
use crate::database::DatabaseRequest;
use florin_ledger::PendingRow;

/// Transactions on a page.
const PAGE: i64 = 50;
/// So many are looked through for one page of a key that sees few wallets: then a page may be short.
const SCANNED: i64 = 1000;

/// Which page.
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
        p.lead { "Transactions in status Created, the oldest first. Each waits to be settled, cancelled or expired." }
        @if rows.is_empty() {
            (empty("Nothing waits", "No transaction that you may see is in status Created here."))
        } @else {
            (list(&rows))
        }
        (pages(after.map(|_| "/console/pending"), next.as_deref()))
    };
    Ok(page(&caller, Section::Pending, "Pending", &content))
}

fn list(rows: &[PendingRow]) -> Markup {
    let head = [
        ("Waits for", true),
        ("Since", false),
        ("Expires", false),
        ("Operation", false),
        ("Wallet", false),
        ("Amount", true),
        ("Ticker", false),
        ("Transaction", false),
    ];
    let rows = html! { @for row in rows { tr {
        td.number { (text::age(row.created_at)) }
        td { (text::time(row.created_at)) }
        td { @match row.expires_at {
            None => span.quiet { "never" },
            Some(at) if at.elapsed().is_ok() => (badge(Tone::Bad, "due")),
            Some(at) => (text::time(at)),
        } }
        td { (row.operation) }
        td {
            (wallet_link(row.wallet_id))
            @if let Some(to) = row.counterparty_wallet_id { " to " (wallet_link(to)) }
        }
        td.number { (text::amount(row.amount, row.scale)) }
        td { (row.ticker) }
        td { (transaction_link(row.transaction_id)) }
    } } };
    table("Pending transactions", &head, &rows)
}
