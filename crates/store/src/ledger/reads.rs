//! What the rules need to know, read by index: tickers, wallets with their balances, transactions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use deadpool_postgres::GenericClient;
use florin_ledger::{
    Balance, Change, Posting, Repeated, Resolution, Scale, Tickers, Transaction, Wallet, WalletId,
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::Error;
use crate::rows::{error_code, get, minor_units, operation, scale, status, ticker};

pub(super) const TICKERS: &str = "SELECT ticker_id, name AS ticker, scale FROM tickers";
pub(super) const WALLETS: &str = include_str!("sql/wallets.sql");
const WALLETS_AT: &str = include_str!("sql/wallets_at.sql");
pub(super) const TRANSACTIONS: &str = include_str!("sql/transactions.sql");
const POSTINGS_OF: &str = include_str!("sql/postings_of.sql");

pub(crate) async fn tickers(client: &impl GenericClient) -> Result<Tickers, Error> {
    let statement = client.prepare_cached(TICKERS).await?;
    client.query(&statement, &[]).await?.iter().map(ticker).collect()
}

/// The wallets that exist among these, each with all its balances.
pub(super) async fn wallets(
    client: &impl GenericClient,
    wallet_ids: &[WalletId],
) -> Result<HashMap<WalletId, Wallet>, Error> {
    let mut wallets: HashMap<WalletId, Wallet> = HashMap::with_capacity(wallet_ids.len());
    if wallet_ids.is_empty() {
        return Ok(wallets);
    }
    let statement = client.prepare_cached(WALLETS).await?;
    for row in client.query(&statement, &[&wallet_ids]).await? {
        let wallet = wallets.entry(get(&row, "wallet_id")?).or_default();
        // A wallet without postings is one row without a ticker.
        if let Some(ticker_id) = get(&row, "ticker_id")? {
            wallet.insert(ticker_id, balance(&row, scale(&row)?)?);
        }
    }
    Ok(wallets)
}

/// Wallets as they were at a time, without tickers that they had no posting in by then.
pub(super) async fn wallets_at(
    client: &impl GenericClient,
    wanted: &[(WalletId, SystemTime)],
) -> Result<HashMap<(WalletId, SystemTime), Wallet>, Error> {
    let mut past: HashMap<_, Wallet> = HashMap::with_capacity(wanted.len());
    if wanted.is_empty() {
        return Ok(past);
    }
    let (wallet_ids, moments): (Vec<WalletId>, Vec<SystemTime>) = wanted.iter().copied().unzip();
    let statement = client.prepare_cached(WALLETS_AT).await?;
    for row in client.query(&statement, &[&wallet_ids, &moments]).await? {
        let wallet = past.entry((get(&row, "wallet_id")?, get(&row, "moment")?)).or_default();
        wallet.insert(get(&row, "ticker_id")?, balance(&row, scale(&row)?)?);
    }
    Ok(past)
}

fn balance(row: &Row, scale: Scale) -> Result<Balance, Error> {
    Ok(Balance {
        version: get(row, "version")?,
        actual: minor_units(row, "actual_after", scale)?,
        frozen: minor_units(row, "frozen_after", scale)?,
        held: get(row, "held")?,
        created_at: get(row, "created_at")?,
    })
}

/// The transactions that exist among these.
pub(super) async fn transactions(
    client: &impl GenericClient,
    transaction_ids: &[Uuid],
) -> Result<HashMap<Uuid, Transaction>, Error> {
    if transaction_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let statement = client.prepare_cached(TRANSACTIONS).await?;
    let rows = client.query(&statement, &[&transaction_ids]).await?;
    rows.iter().map(|row| transaction(row).map(|transaction| (transaction.id, transaction))).collect()
}

fn transaction(row: &Row) -> Result<Transaction, Error> {
    let ticker = ticker(row)?;
    let scale = ticker.scale;
    let request_hash: &[u8] = get(row, "request_hash")?;
    Ok(Transaction {
        id: get(row, "transaction_id")?,
        operation: operation(row)?,
        wallet_id: get(row, "wallet_id")?,
        to_wallet_id: get(row, "counterparty_wallet_id")?,
        ticker,
        amount: minor_units(row, "amount", scale)?,
        opened: status(row)?,
        refusal: error_code(row, "error")?,
        created_at: get(row, "created_at")?,
        expires_at: get(row, "expires_at")?,
        metadata: text(row, "metadata")?,
        requested_by: text(row, "requested_by")?,
        request_hash: request_hash
            .try_into()
            .map_err(|_| Error::unknown_value("request_hash", format!("{request_hash:?}")))?,
        redelivered: get(row, "redelivered")?,
        resolution: resolution(row, scale)?,
    })
}

/// How a hold was resolved; none while it is open, and of a transaction that never was a hold.
fn resolution(row: &Row, scale: Scale) -> Result<Option<Resolution>, Error> {
    let Some(at) = get(row, "resolved_at")? else { return Ok(None) };
    Ok(Some(Resolution {
        error: error_code(row, "resolved_error")?,
        amount: minor_units(row, "resolved_amount", scale)?,
        at,
        requested_by: text(row, "resolved_by")?,
    }))
}

fn text(row: &Row, column: &'static str) -> Result<Option<Arc<str>>, Error> {
    Ok(get::<Option<&str>>(row, column)?.map(Arc::from))
}

/// Steps that were committed earlier, of these known transactions. One that is not in the tables yet is
/// left out: it belongs to the batch being planned.
pub(super) async fn changes(
    client: &impl GenericClient,
    repeated: &[Repeated],
    known: &HashMap<Uuid, Transaction>,
) -> Result<Vec<Change>, Error> {
    let ids: Vec<Uuid> = repeated.iter().map(|change| change.transaction_id).collect();
    let statement = client.prepare_cached(POSTINGS_OF).await?;
    let mut postings: HashMap<(Uuid, i16), Posting> = HashMap::new();
    for row in client.query(&statement, &[&ids]).await? {
        let (leg, wallet_id) = (get(&row, "leg")?, get(&row, "wallet_id")?);
        let after = balance(&row, scale(&row)?)?;
        postings.insert((get(&row, "transaction_id")?, leg), Posting { wallet_id, leg, after });
    }
    let change = |Repeated { transaction_id, resolved }: &Repeated| {
        let leg = if *resolved { 2 } else { 0 };
        let first = postings.remove(&(*transaction_id, leg))?;
        let second = postings.remove(&(*transaction_id, leg + 1));
        let transaction = known.get(transaction_id)?;
        let transaction = if *resolved { transaction.clone() } else { transaction.as_opened() };
        Some(Change { transaction, first, second })
    };
    Ok(repeated.iter().filter_map(change).collect())
}
