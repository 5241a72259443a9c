//! What the console shows beside the queries: the postings of a transaction, and the holds by age.

use std::time::SystemTime;

use florin_ledger::{Decimal, Scale, WalletId};
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

/// One change of one balance by a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostingRow {
    pub wallet_id: WalletId,
    /// The ticker's name.
    pub ticker: String,
    pub scale: Scale,
    /// The posting's number in its chain.
    pub version: i64,
    /// 0 opens the transaction, 2 resolves the hold; 1 and 3 are the payee's side of these.
    pub leg: i16,
    /// The status that the posting brought the transaction into.
    pub status: String,
    /// What was requested, captured or released.
    pub amount: Decimal,
    /// The actual balance after the posting.
    pub actual: Decimal,
    /// The frozen balance after the posting.
    pub frozen: Decimal,
    /// When the rules decided.
    pub created_at: SystemTime,
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRow {
    pub transaction_id: Uuid,
    /// The operation that opened it.
    pub operation: String,
    pub wallet_id: WalletId,
    /// The other wallet of a transfer.
    pub counterparty_wallet_id: Option<WalletId>,
    /// The ticker's name.
    pub ticker: String,
    pub scale: Scale,
    /// What it freezes.
    pub amount: Decimal,
    pub created_at: SystemTime,
    pub expires_at: Option<SystemTime>,
}

/// How many holds there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingSummary {
    /// 10,000 stands for that many or more.
    pub count: i64,
    /// When the oldest of them was opened.
    pub oldest: Option<SystemTime>,
}

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
