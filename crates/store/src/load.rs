//! What the rules need to know, read by index: tickers, wallets with their balances, transactions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use deadpool_postgres::GenericClient;
use florin_ledger::{
    Balance, Change, Decimal, ErrorCode, Posting, Repeated, Resolution, Scale, Status, Ticker, Tickers,
    Transaction, Wallet, WalletId,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::Error;

/// All tickers. There are few, and they never change once they are there.
pub(super) async fn tickers(client: &impl GenericClient) -> Result<Tickers, Error> {
    let statement = client.prepare_cached("SELECT ticker_id, name, scale FROM tickers").await?;
    client.query(&statement, &[]).await?.iter().map(|row| ticker(row, 0)).collect()
}

/// A ticker from three columns: its key, its name, its decimal places.
pub(super) fn ticker(row: &Row, first: usize) -> Result<Ticker, Error> {
    let name: &str = row.get(first + 1);
    Ok(Ticker { id: row.get(first), name: name.into(), scale: scale(row.get(first + 2))? })
}

/// The wallets that exist among these, each with all its balances: one index look-up per wallet and ticker.
pub(super) async fn wallets(
    client: &impl GenericClient,
    wallet_ids: &[WalletId],
) -> Result<HashMap<WalletId, Wallet>, Error> {
    let sql = "SELECT w.wallet_id, p.ticker_id, p.scale, p.version, p.actual_after::text,
                      p.frozen_after::text, p.held, p.created_at
                 FROM wallets w
                 LEFT JOIN LATERAL (
                      SELECT t.scale, last.*
                        FROM tickers t
                       CROSS JOIN LATERAL (
                             SELECT * FROM postings p
                              WHERE p.wallet_id = w.wallet_id AND p.ticker_id = t.ticker_id
                              ORDER BY p.version DESC LIMIT 1) last
                      ) p ON true
                WHERE w.wallet_id = ANY($1)";
    let mut wallets: HashMap<WalletId, Wallet> = HashMap::with_capacity(wallet_ids.len());
    if wallet_ids.is_empty() {
        return Ok(wallets);
    }
    let statement = client.prepare_cached(sql).await?;
    for row in client.query(&statement, &[&wallet_ids]).await? {
        let wallet = wallets.entry(row.get(0)).or_default();
        if let Some(ticker_id) = row.get::<_, Option<i32>>(1) {
            wallet.insert(ticker_id, balance(&row, scale(row.get(2))?, 3)?);
        }
    }
    Ok(wallets)
}

/// Wallets as they were at a time. Tickers that they held nothing of then are left out. `OFFSET` and `LIMIT` keep
/// the planner from looking for the version once per posting.
pub(super) async fn past(
    client: &impl GenericClient,
    asked: &[(WalletId, SystemTime)],
) -> Result<HashMap<(WalletId, SystemTime), Wallet>, Error> {
    let mut past: HashMap<_, Wallet> = HashMap::with_capacity(asked.len());
    if asked.is_empty() {
        return Ok(past);
    }
    let sql = "SELECT asked.wallet_id, asked.moment, t.ticker_id, t.scale, p.version, p.actual_after::text,
                      p.frozen_after::text, p.held, p.created_at
                 FROM unnest($1::int8[], $2::timestamptz[]) AS asked (wallet_id, moment)
                CROSS JOIN tickers t
                CROSS JOIN LATERAL (
                      SELECT version_at(asked.wallet_id, t.ticker_id, asked.moment) OFFSET 0) last (version)
                CROSS JOIN LATERAL (
                      SELECT * FROM postings p
                       WHERE p.wallet_id = asked.wallet_id AND p.ticker_id = t.ticker_id
                         AND p.version = last.version LIMIT 1) p";
    let (wallet_ids, moments): (Vec<WalletId>, Vec<SystemTime>) = asked.iter().copied().unzip();
    let statement = client.prepare_cached(sql).await?;
    for row in client.query(&statement, &[&wallet_ids, &moments]).await? {
        let wallet = past.entry((row.get(0), row.get(1))).or_default();
        wallet.insert(row.get(2), balance(&row, scale(row.get(3))?, 4)?);
    }
    Ok(past)
}

/// A balance from five columns: the version, both balances, whether it was ever held, its time.
fn balance(row: &Row, scale: Scale, first: usize) -> Result<Balance, Error> {
    Ok(Balance {
        version: row.get(first),
        actual: minor_units("actual_after", row.get(first + 1), scale)?,
        frozen: minor_units("frozen_after", row.get(first + 2), scale)?,
        held: row.get(first + 3),
        created_at: row.get(first + 4),
    })
}

fn scale(places: i16) -> Result<Scale, Error> {
    Scale::try_from(i64::from(places)).map_err(|_| Error::unknown_value("scale", places.to_string()))
}

fn minor_units(column: &'static str, text: &str, scale: Scale) -> Result<i128, Error> {
    let units = decimal(column, text)?.to_minor(scale);
    units.map_err(|_| Error::unknown_value(column, text))
}

pub(super) fn decimal(column: &'static str, text: &str) -> Result<Decimal, Error> {
    text.parse().map_err(|_| Error::unknown_value(column, text))
}

pub(super) fn status(text: &str) -> Result<Status, Error> {
    text.parse().map_err(|_| Error::unknown_value("status", text))
}

pub(super) fn error_code(text: Option<&str>) -> Result<Option<ErrorCode>, Error> {
    text.map(|code| code.parse().map_err(|_| Error::unknown_value("error", code))).transpose()
}

/// The transactions with these ids.
pub(super) async fn transactions(
    client: &impl GenericClient,
    transaction_ids: &[Uuid],
) -> Result<HashMap<Uuid, Transaction>, Error> {
    if transaction_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let sql =
        "SELECT opened.transaction_id, t.ticker_id, t.name, t.scale, opened.operation, opened.wallet_id,
                      opened.counterparty_wallet_id, opened.amount::text, opened.status, opened.error,
                      opened.created_at, opened.expires_at, opened.metadata::text, opened.request_hash,
                      opened.redelivered, ended.error, ended.amount::text, ended.created_at,
                      opened.requested_by, ended.requested_by
                 FROM postings opened
                 JOIN tickers t ON t.ticker_id = opened.ticker_id
                 LEFT JOIN postings ended ON opened.status = 'Created'
                      AND ended.transaction_id = opened.transaction_id AND ended.leg = 2
                WHERE opened.transaction_id = ANY($1) AND opened.leg = 0";
    let statement = client.prepare_cached(sql).await?;
    let rows = client.query(&statement, &[&transaction_ids]).await?;
    rows.iter().map(|row| Ok((row.get(0), transaction(row)?))).collect()
}

fn transaction(row: &Row) -> Result<Transaction, Error> {
    let ticker = ticker(row, 1)?;
    let operation: &str = row.get(4);
    let hash: &[u8] = row.get(13);
    let ended_at: Option<SystemTime> = row.get(17);
    let resolution = match ended_at {
        Some(at) => Some(Resolution {
            error: error_code(row.get(15))?,
            amount: minor_units("amount", row.get(16), ticker.scale)?,
            at,
            requested_by: row.get::<_, Option<&str>>(19).map(Arc::from),
        }),
        None => None,
    };
    Ok(Transaction {
        id: row.get(0),
        operation: operation.parse().map_err(|_| Error::unknown_value("operation", operation))?,
        wallet_id: row.get(5),
        to_wallet_id: row.get(6),
        amount: minor_units("amount", row.get(7), ticker.scale)?,
        ticker,
        opened: status(row.get(8))?,
        refusal: error_code(row.get(9))?,
        created_at: row.get(10),
        expires_at: row.get(11),
        metadata: row.get::<_, Option<&str>>(12).map(Arc::from),
        requested_by: row.get::<_, Option<&str>>(18).map(Arc::from),
        request_hash: hash
            .try_into()
            .map_err(|_| Error::unknown_value("request_hash", format!("{hash:?}")))?,
        redelivered: row.get(14),
        resolution,
    })
}

/// Changes that were made earlier, of transactions that are known here. One that is not in the tables yet is
/// left out.
pub(super) async fn changes(
    client: &impl GenericClient,
    repeated: &[Repeated],
    known: &HashMap<Uuid, Transaction>,
) -> Result<Vec<Change>, Error> {
    let ids: Vec<Uuid> = repeated.iter().map(|change| change.transaction_id).collect();
    let sql = "SELECT p.transaction_id, p.leg, p.wallet_id, t.scale, p.version, p.actual_after::text,
                      p.frozen_after::text, p.held, p.created_at
                 FROM postings p JOIN tickers t ON t.ticker_id = p.ticker_id
                WHERE p.transaction_id = ANY($1)";
    let statement = client.prepare_cached(sql).await?;
    let mut postings: HashMap<(Uuid, i16), Posting> = HashMap::new();
    for row in client.query(&statement, &[&ids]).await? {
        let (leg, wallet_id) = (row.get(1), row.get(2));
        let after = balance(&row, scale(row.get(3))?, 4)?;
        postings.insert((row.get(0), leg), Posting { wallet_id, leg, after });
    }
    let change = |Repeated { transaction_id, ended }: &Repeated| {
        let leg = if *ended { 2 } else { 0 };
        let first = postings.remove(&(*transaction_id, leg))?;
        let second = postings.remove(&(*transaction_id, leg + 1));
        let transaction = known.get(transaction_id)?;
        let transaction = if *ended { transaction.clone() } else { transaction.as_opened() };
        Some(Change { transaction, first, second })
    };
    Ok(repeated.iter().filter_map(change).collect())
}
