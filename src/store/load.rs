//! What the rules need to know, read by index: tickers, wallets with their tails, recorded transactions.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;
use florin_ledger::{Decimal, Recorded, Scale, Tail, Ticker, Tickers, Wallet, WalletId};
use tokio_postgres::Row;
use uuid::Uuid;

use super::Error;

/// All tickers. There are few, and they never change once they are there.
pub(super) async fn tickers(client: &impl GenericClient) -> Result<Tickers, Error> {
    let statement = client.prepare_cached("SELECT name, ticker_id, scale FROM tickers").await?;
    let rows = client.query(&statement, &[]).await?;
    let ticker = |row: &Row| Ok((row.get(0), Ticker { id: row.get(1), scale: scale(row.get(2))? }));
    rows.iter().map(ticker).collect()
}

/// The wallets that exist among these, each with all its tails: one index look-up per wallet and ticker.
pub(super) async fn wallets(
    client: &impl GenericClient,
    wallet_ids: &[WalletId],
) -> Result<HashMap<WalletId, Wallet>, Error> {
    let sql = "SELECT w.wallet_id, p.ticker_id, p.scale, p.version, p.actual_after::text,
                      p.frozen_after::text, p.held
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
            wallet.insert(ticker_id, tail(&row)?);
        }
    }
    Ok(wallets)
}

fn tail(row: &Row) -> Result<Tail, Error> {
    let scale = scale(row.get(2))?;
    let actual = minor_units("actual_after", row.get(4), scale)?;
    let frozen = minor_units("frozen_after", row.get(5), scale)?;
    Ok(Tail { version: row.get(3), actual, frozen, held: row.get(6) })
}

fn scale(places: i16) -> Result<Scale, Error> {
    Scale::try_from(i64::from(places)).map_err(|_| Error::unknown_value("scale", places.to_string()))
}

fn minor_units(column: &'static str, text: &str, scale: Scale) -> Result<i128, Error> {
    let units = text.parse::<Decimal>().ok().and_then(|decimal| decimal.to_minor(scale).ok());
    units.ok_or_else(|| Error::unknown_value(column, text))
}

/// The transactions recorded under these ids.
pub(super) async fn transactions(
    client: &impl GenericClient,
    transaction_ids: &[Uuid],
) -> Result<HashMap<Uuid, Recorded>, Error> {
    if transaction_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "SELECT transaction_id, request_hash, status, error, created_at, redelivered FROM postings
                WHERE transaction_id = ANY($1) AND part = 0";
    let statement = client.prepare_cached(sql).await?;
    let rows = client.query(&statement, &[&transaction_ids]).await?;
    rows.iter().map(|row| Ok((row.get(0), recorded(row)?))).collect()
}

fn recorded(row: &Row) -> Result<Recorded, Error> {
    let hash: &[u8] = row.get(1);
    let request_hash =
        hash.try_into().map_err(|_| Error::unknown_value("request_hash", format!("{hash:?}")))?;
    let status: &str = row.get(2);
    let status = status.parse().map_err(|_| Error::unknown_value("status", status))?;
    let error = row
        .get::<_, Option<&str>>(3)
        .map(|code| code.parse().map_err(|_| Error::unknown_value("error", code)))
        .transpose()?;
    Ok(Recorded { request_hash, status, error, created_at: row.get(4), redelivered: row.get(5) })
}
