//! What the console shows beside the queries: the postings of a transaction, and the holds by age.

use florin_ledger::{PendingRow, PendingSummary, PostingRow};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::rows::{decimal, get, ticker};
use crate::{Error, Store};

/// Holds are counted up to this number.
const MAX_COUNTED: i64 = 10_000;

const POSTINGS_OF: &str = "
    SELECT t.ticker_id, t.name AS ticker, t.scale, p.wallet_id, p.version, p.leg, p.status, p.amount::text AS amount,
           p.actual_after::text AS actual_after, p.frozen_after::text AS frozen_after, p.created_at
      FROM postings p
      JOIN tickers t ON t.ticker_id = p.ticker_id
     WHERE p.transaction_id = $1
     ORDER BY p.leg";

/// After the transaction $1, which keeps its place when it is resolved meanwhile.
const PENDING: &str = "
    SELECT t.ticker_id, t.name AS ticker, t.scale, h.transaction_id, p.operation, p.wallet_id, p.counterparty_wallet_id,
           p.amount::text AS amount, h.created_at, h.expires_at
      FROM (SELECT * FROM holds
             WHERE $1::uuid IS NULL OR (created_at, transaction_id) >
                   (SELECT created_at, transaction_id FROM postings WHERE transaction_id = $1 AND leg = 0)
             ORDER BY created_at, transaction_id LIMIT $2) h
      JOIN postings p ON p.transaction_id = h.transaction_id AND p.leg = 0
      JOIN tickers t ON t.ticker_id = p.ticker_id
     ORDER BY h.created_at, h.transaction_id";

const PENDING_SUMMARY: &str = "
    SELECT (SELECT count(*) FROM (SELECT FROM holds LIMIT $1) counted) AS count,
           (SELECT created_at FROM holds ORDER BY created_at, transaction_id LIMIT 1) AS oldest";

impl Store {
    /// The postings of a transaction, in the order in which they were written.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn postings_of(&self, transaction_id: Uuid) -> Result<Vec<PostingRow>, Error> {
        let rows = self
            .with_connection(async |connection| {
                let statement = connection.prepare_cached(POSTINGS_OF).await?;
                Ok(connection.query(&statement, &[&transaction_id]).await?)
            })
            .await?;
        rows.iter().map(posting).collect()
    }

    /// At most `limit` holds, the oldest first, those younger than the transaction `after`.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn pending(&self, after: Option<Uuid>, limit: i64) -> Result<Vec<PendingRow>, Error> {
        let rows = self
            .with_connection(async |connection| {
                let statement = connection.prepare_cached(PENDING).await?;
                Ok(connection.query(&statement, &[&after, &limit]).await?)
            })
            .await?;
        rows.iter().map(pending).collect()
    }

    /// How many holds there are, and since when the oldest is open.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn pending_summary(&self) -> Result<PendingSummary, Error> {
        let row = self
            .with_connection(async |connection| {
                let statement = connection.prepare_cached(PENDING_SUMMARY).await?;
                Ok(connection.query_one(&statement, &[&MAX_COUNTED]).await?)
            })
            .await?;
        Ok(PendingSummary { count: get(&row, "count")?, oldest: get(&row, "oldest")? })
    }
}

fn posting(row: &Row) -> Result<PostingRow, Error> {
    let ticker = ticker(row)?;
    Ok(PostingRow {
        wallet_id: get(row, "wallet_id")?,
        ticker: ticker.name.to_string(),
        scale: ticker.scale,
        version: get(row, "version")?,
        leg: get(row, "leg")?,
        status: get(row, "status")?,
        amount: decimal(row, "amount")?,
        actual: decimal(row, "actual_after")?,
        frozen: decimal(row, "frozen_after")?,
        created_at: get(row, "created_at")?,
    })
}

fn pending(row: &Row) -> Result<PendingRow, Error> {
    let ticker = ticker(row)?;
    Ok(PendingRow {
        transaction_id: get(row, "transaction_id")?,
        operation: get(row, "operation")?,
        wallet_id: get(row, "wallet_id")?,
        counterparty_wallet_id: get(row, "counterparty_wallet_id")?,
        ticker: ticker.name.to_string(),
        scale: ticker.scale,
        amount: decimal(row, "amount")?,
        created_at: get(row, "created_at")?,
        expires_at: get(row, "expires_at")?,
    })
}
