//! Pages of a wallet's history, by the primary key alone.
//!
//! Each chain is read from the newest posting that the query allows downwards. Times never go back along a
//! chain, so the versions that bound a period are found by bisection (`version_at`). The number of postings
//! examined is bounded: a filter that matches few may return a short page, and the next page continues from
//! there.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use deadpool_postgres::GenericClient;
use florin_ledger::{Cursor, Entry, HistoryQuery, Page, Tickers};
use tokio_postgres::Row;

use crate::Error;
use crate::rows::{decimal, error_code, get, operation, status, ticker};

/// About how many postings are examined for one filtered page, shared among the chains.
const SCANNED_POSTINGS: i64 = 10_000;
/// The precision of times in the database.
const MICROSECOND: Duration = Duration::from_micros(1);

const PAGE: &str = include_str!("sql/page.sql");

/// The pages of these queries. A ticker that does not exist has none.
pub(super) async fn pages(
    client: &impl GenericClient,
    tickers: &Tickers,
    queries: impl Iterator<Item = &HistoryQuery>,
) -> Result<HashMap<HistoryQuery, Page>, Error> {
    let mut pages = HashMap::new();
    for query in queries {
        let ticker_id = match query.ticker.as_deref().map(|name| tickers.get(name)) {
            Some(None) => continue,
            Some(Some(ticker)) => Some(ticker.id),
            None => None,
        };
        if !pages.contains_key(query) {
            let chains = if ticker_id.is_some() { 1 } else { tickers.iter().count().max(1) };
            let scanned = SCANNED_POSTINGS / i64::try_from(chains).unwrap_or(i64::MAX);
            pages.insert(query.clone(), page(client, query, ticker_id, scanned).await?);
        }
    }
    Ok(pages)
}

async fn page(
    client: &impl GenericClient,
    query: &HistoryQuery,
    ticker_id: Option<i32>,
    scanned: i64,
) -> Result<Page, Error> {
    let given = i64::from(query.limit) + 1;
    let scanned = if query.status.is_some() { scanned.max(given) } else { given };
    let until = query.until.map(|until| until.checked_sub(MICROSECOND).unwrap_or(SystemTime::UNIX_EPOCH));
    let before = query.before;
    let statement = client.prepare_cached(PAGE).await?;
    let rows = client
        .query(
            &statement,
            &[
                &query.wallet_id,
                &ticker_id,
                &query.status.map(florin_ledger::Status::as_str),
                &query.from,
                &until,
                &before.map(|cursor| cursor.created_at),
                &before.map(|cursor| cursor.ticker_id),
                &before.map(|cursor| cursor.version),
                &scanned,
                &given,
            ],
        )
        .await?;
    let mut entries = rows.iter().map(entry).collect::<Result<Vec<_>, Error>>()?;
    let numbers = rows.iter().map(|row| get(row, "number")).collect::<Result<Vec<i64>, Error>>()?;
    // The page ends where the examination of a chain ended.
    let ends = numbers.iter().zip(&entries).filter(|(number, _)| **number == scanned);
    let next = ends.map(|(_, entry)| entry.cursor).max();
    entries.retain(|entry| {
        query.status.is_none_or(|status| status == entry.status)
            && next.is_none_or(|next| entry.cursor >= next)
    });
    entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.cursor));
    // Without changes to take in, this only cuts the page at its limit.
    Ok(query.extend(Page { entries, next }, &[]))
}

fn entry(row: &Row) -> Result<Entry, Error> {
    let ticker = ticker(row)?;
    Ok(Entry {
        cursor: Cursor {
            created_at: get(row, "created_at")?,
            ticker_id: ticker.id,
            version: get(row, "version")?,
        },
        ticker: ticker.name,
        transaction_id: get(row, "transaction_id")?,
        operation: operation(row)?,
        status: status(row)?,
        error: error_code(row, "error")?,
        amount: decimal(row, "amount")?,
        actual: decimal(row, "actual_after")?,
        frozen: decimal(row, "frozen_after")?,
        counterparty_wallet_id: get(row, "counterparty_wallet_id")?,
    })
}
