//! The rows of `postings`: those in the tables, and those that the rules in memory would write.

use std::time::SystemTime;

use florin_ledger::{Change, Decimal, Posting, Scale, TickerId, Tickers, WalletId};
use uuid::Uuid;

use super::lists::Memory;
use crate::common::Ledger;

/// A row of `postings`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    chain: (WalletId, TickerId, i64),
    transaction_id: Uuid,
    leg: i16,
    operation: String,
    status: String,
    error: Option<String>,
    amount: i128,
    /// Actual and frozen.
    after: (i128, i128),
    held: bool,
    counterparty_wallet_id: Option<WalletId>,
    request_hash: Option<Vec<u8>>,
    redelivered: bool,
    metadata: Option<String>,
    created_at: SystemTime,
    expires_at: Option<SystemTime>,
}

/// The rows of the tables, in the order of their chains.
pub(super) async fn read(ledger: &Ledger, tickers: &Tickers, wallets: &[WalletId]) -> Vec<Row> {
    let sql =
        "SELECT wallet_id, ticker_id, version, transaction_id, leg, operation, status, error, amount::text,
                      actual_after::text, frozen_after::text, held, counterparty_wallet_id, request_hash,
                      redelivered, metadata::text, created_at, expires_at
                 FROM postings WHERE wallet_id = ANY($1) ORDER BY wallet_id, ticker_id, version";
    let rows = ledger.sql.query(sql, &[&wallets]).await.unwrap();
    let row = |row: &tokio_postgres::Row| {
        let scale = tickers.by_id(row.get(1)).unwrap().scale;
        Row {
            chain: (row.get(0), row.get(1), row.get(2)),
            transaction_id: row.get(3),
            leg: row.get(4),
            operation: row.get(5),
            status: row.get(6),
            error: row.get(7),
            amount: minor_units(row.get(8), scale),
            after: (minor_units(row.get(9), scale), minor_units(row.get(10), scale)),
            held: row.get(11),
            counterparty_wallet_id: row.get(12),
            request_hash: row.get(13),
            redelivered: row.get(14),
            metadata: row.get(15),
            created_at: row.get(16),
            expires_at: row.get(17),
        }
    };
    rows.iter().map(row).collect()
}

/// The rows that there are to be.
pub(super) fn expected(memory: &Memory) -> Vec<Row> {
    let row = |(change, ticker_id, posting): (&Change, TickerId, &Posting)| {
        let (transaction, after) = (&change.transaction, posting.after);
        let opening = Some(transaction).filter(|_| posting.leg == 0);
        Row {
            chain: (posting.wallet_id, ticker_id, after.version),
            transaction_id: transaction.id,
            leg: posting.leg,
            operation: transaction.operation.to_string(),
            status: transaction.status().to_string(),
            error: transaction.error().map(|code| code.to_string()),
            amount: transaction.moved(),
            after: (after.actual, after.frozen),
            held: after.held,
            counterparty_wallet_id: transaction.counterparty_of(posting.wallet_id),
            request_hash: opening.map(|transaction| transaction.request_hash.to_vec()),
            redelivered: opening.is_some_and(|transaction| transaction.redelivered),
            metadata: opening.and_then(|transaction| transaction.metadata.as_deref()).map(str::to_owned),
            created_at: after.created_at,
            expires_at: opening.and_then(|transaction| transaction.expires_at),
        }
    };
    let mut rows: Vec<Row> = memory.postings().map(row).collect();
    rows.sort_unstable_by_key(|row| row.chain);
    rows
}

pub(super) fn minor_units(text: &str, scale: Scale) -> i128 {
    text.parse::<Decimal>().unwrap().to_minor(scale).unwrap()
}
