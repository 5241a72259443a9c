//! Pages of a wallet's history, by the primary key alone.
//!
//! Each chain is read from its newest posting that the query allows downwards. Times never go back along a chain,
//! so the versions that bound a span of time are found by halving (`version_at`). How many postings are looked at
//! is bounded: a filter that matches few may give a short page, and the next page goes on from there.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use deadpool_postgres::GenericClient;
use florin_ledger::{Cursor, Entry, HistoryQuery, Page, Tickers};
use tokio_postgres::Row;

use super::Error;
use super::load::{decimal, error_code, status, ticker};

/// About so many postings are looked at for one page that is filtered, shared among the chains.
const SCANNED_POSTINGS: i64 = 10_000;
/// The precision of times in the database.
const MICROSECOND: Duration = Duration::from_micros(1);

/// `$2`: the ticker's key; `$3`: the status; `$4`: the first and `$5` the last moment of the span; `$6` to `$8`: the
/// cursor, whose ticker and version decide whether a posting of the same time comes before or after it; `$9`: how many
/// postings of each chain are looked at; `$10`: how many are given back. `OFFSET` keeps the planner from looking for
/// the bounds of the span once per posting.
const PAGE: &str = "
    SELECT t.ticker_id, t.name, t.scale, p.version, p.created_at, p.transaction_id, p.operation, p.status, p.error,
           p.amount::text, p.actual_after::text, p.frozen_after::text, p.counterparty_wallet_id, p.number
      FROM tickers t
     CROSS JOIN LATERAL (
           SELECT CASE WHEN $5::timestamptz IS NULL THEN 9223372036854775807
                       ELSE version_at($1, t.ticker_id, $5) END AS until_version,
                  CASE WHEN $6::timestamptz IS NULL THEN 9223372036854775807
                       WHEN t.ticker_id = $7::int4
                       THEN greatest(version_at($1, t.ticker_id, $6 - interval '1 microsecond'),
                                     least(version_at($1, t.ticker_id, $6), $8::int8 - 1))
                       WHEN t.ticker_id < $7 THEN version_at($1, t.ticker_id, $6)
                       ELSE version_at($1, t.ticker_id, $6 - interval '1 microsecond') END AS before_version,
                  CASE WHEN $4::timestamptz IS NULL THEN 1
                       ELSE version_at($1, t.ticker_id, $4 - interval '1 microsecond') + 1 END AS from_version
           OFFSET 0) span
     CROSS JOIN LATERAL (
           SELECT * FROM (
                  SELECT p.*, row_number() OVER (ORDER BY p.version DESC) AS number
                    FROM postings p
                   WHERE p.wallet_id = $1 AND p.ticker_id = t.ticker_id
                     AND p.version >= span.from_version
                     AND p.version <= least(span.until_version, span.before_version)
                   ORDER BY p.version DESC LIMIT $9) scanned
            WHERE $3::text IS NULL OR scanned.status = $3 OR scanned.number = $9
            LIMIT $10) p
     WHERE $2::int4 IS NULL OR t.ticker_id = $2";

/// The pages that are asked for. There is none of a ticker that does not exist.
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
    // Where the scan of a chain stopped, the page stops.
    let stops = rows.iter().zip(&entries).filter(|(row, _)| row.get::<_, i64>(13) == scanned);
    let next = stops.map(|(_, entry)| entry.cursor).max();
    entries.retain(|entry| {
        query.status.is_none_or(|status| status == entry.status)
            && next.is_none_or(|next| entry.cursor >= next)
    });
    entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.cursor));
    // Takes no changes in, but ends the page at its limit.
    Ok(query.extend(Page { entries, next }, &[]))
}

fn entry(row: &Row) -> Result<Entry, Error> {
    let ticker = ticker(row, 0)?;
    let operation: &str = row.get(6);
    Ok(Entry {
        cursor: Cursor { created_at: row.get(4), ticker_id: ticker.id, version: row.get(3) },
        ticker: ticker.name,
        transaction_id: row.get(5),
        operation: operation.parse().map_err(|_| Error::unknown_value("operation", operation))?,
        status: status(row.get(7))?,
        error: error_code(row.get(8))?,
        amount: decimal("amount", row.get(9))?,
        actual: decimal("actual_after", row.get(10))?,
        frozen: decimal("frozen_after", row.get(11))?,
        counterparty_wallet_id: row.get(12),
    })
}
