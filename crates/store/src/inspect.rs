//! What the console shows beside the look-ups: the postings of a transaction, and what waits, by age.

use florin_ledger::{PendingRow, PendingSummary, PostingRow};
use uuid::Uuid;

use super::load::{decimal, ticker};
use super::{Error, Store};

/// What waits is counted so far.
const COUNTED: i64 = 10_000;

impl Store {
    /// The postings of a transaction, in the order in which they were written.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn postings_of(&self, transaction_id: Uuid) -> Result<Vec<PostingRow>, Error> {
        let sql =
            "SELECT t.ticker_id, t.name, t.scale, p.wallet_id, p.version, p.leg, p.status, p.amount::text,
                          p.actual_after::text, p.frozen_after::text, p.created_at
                     FROM postings p JOIN tickers t ON t.ticker_id = p.ticker_id
                    WHERE p.transaction_id = $1 ORDER BY p.leg";
        let connection = self.connection().await?;
        let statement = connection.prepare_cached(sql).await?;
        let rows = connection.query(&statement, &[&transaction_id]).await?;
        let posting = |row: &tokio_postgres::Row| {
            let ticker = ticker(row, 0)?;
            Ok(PostingRow {
                wallet_id: row.get(3),
                ticker: ticker.name.to_string(),
                scale: ticker.scale,
                version: row.get(4),
                leg: row.get(5),
                status: row.get(6),
                amount: decimal("amount", row.get(7))?,
                actual: decimal("actual_after", row.get(8))?,
                frozen: decimal("frozen_after", row.get(9))?,
                created_at: row.get(10),
            })
        };
        rows.iter().map(posting).collect()
    }

    /// At most `limit` transactions that wait, the oldest first, those younger than the transaction `after`.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn pending(&self, after: Option<Uuid>, limit: i64) -> Result<Vec<PendingRow>, Error> {
        // One that was named and waits no more still has its place.
        let sql = "SELECT t.ticker_id, t.name, t.scale, h.transaction_id, p.operation, p.wallet_id,
                          p.counterparty_wallet_id, p.amount::text, h.created_at, h.expires_at
                     FROM (SELECT * FROM holds
                            WHERE $1::uuid IS NULL OR (created_at, transaction_id) >
                                  (SELECT created_at, transaction_id FROM postings
                                    WHERE transaction_id = $1 AND leg = 0)
                            ORDER BY created_at, transaction_id LIMIT $2) h
                     JOIN postings p ON p.transaction_id = h.transaction_id AND p.leg = 0
                     JOIN tickers t ON t.ticker_id = p.ticker_id
                    ORDER BY h.created_at, h.transaction_id";
        let connection = self.connection().await?;
        let statement = connection.prepare_cached(sql).await?;
        let rows = connection.query(&statement, &[&after, &limit]).await?;
        let pending = |row: &tokio_postgres::Row| {
            let ticker = ticker(row, 0)?;
            Ok(PendingRow {
                transaction_id: row.get(3),
                operation: row.get(4),
                wallet_id: row.get(5),
                counterparty_wallet_id: row.get(6),
                ticker: ticker.name.to_string(),
                scale: ticker.scale,
                amount: decimal("amount", row.get(7))?,
                created_at: row.get(8),
                expires_at: row.get(9),
            })
        };
        rows.iter().map(pending).collect()
    }

    /// How much waits.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn pending_summary(&self) -> Result<PendingSummary, Error> {
        let sql = "SELECT (SELECT count(*) FROM (SELECT FROM holds LIMIT $1) counted),
                          (SELECT created_at FROM holds ORDER BY created_at, transaction_id LIMIT 1)";
        let connection = self.connection().await?;
        let statement = connection.prepare_cached(sql).await?;
        let row = connection.query_one(&statement, &[&COUNTED]).await?;
        Ok(PendingSummary { count: row.get(0), oldest: row.get(1) })
    }
}
