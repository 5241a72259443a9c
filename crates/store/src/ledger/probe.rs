//! Whether the database can execute anything at all.

use std::time::SystemTime;

use deadpool_postgres::Transaction as Session;
use florin_ledger::{Balance, Change, Operation, Posting, Status, Ticker, Transaction, WalletId};
use uuid::Uuid;

use super::plan::{Plan, Precondition};
use super::{commit, reads};
use crate::rows::get;
use crate::{Error, Store};

const ANY_WALLET: &str = "SELECT wallet_id FROM wallets ORDER BY wallet_id LIMIT 1";
/// No chain gets that long, so the posting collides with none.
const VERSION: i64 = i64::MAX;

impl Store {
    /// Runs what every batch needs: reads wallets and transactions, appends a posting and a hold, and rolls
    /// that back.
    ///
    /// After a permanent error this tells what causes it. If the probe fails too, the database cannot execute
    /// any batch (a missing grant, a dropped column, another schema) and no request is to blame. If it
    /// succeeds, the request that had the error causes it.
    ///
    /// # Errors
    ///
    /// What keeps the database from executing batches.
    pub async fn probe(&self) -> Result<(), Error> {
        self.with_connection(async |connection| {
            let transaction = connection.transaction().await?;
            let probed = probe(&transaction).await;
            transaction.rollback().await?;
            probed
        })
        .await
    }
}

async fn probe(session: &Session<'_>) -> Result<(), Error> {
    let tickers = reads::tickers(session).await?;
    let ticker = tickers.iter().next().cloned();
    let wallet_id = session.query_opt(ANY_WALLET, &[]).await?;
    let wallet_id = wallet_id.map(|row| get(&row, "wallet_id")).transpose()?;
    reads::transactions(session, &[Uuid::nil()]).await?;
    // Without a ticker or a wallet no request gets as far as a posting.
    let (Some(ticker), Some(wallet_id)) = (ticker, wallet_id) else { return Ok(()) };
    reads::wallets(session, &[wallet_id]).await?;
    // Deferred constraints are checked, too.
    session.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await?;
    let changes = vec![hold(wallet_id, ticker)];
    let plan = Plan {
        outcomes: Vec::new(),
        changes,
        replayed: Vec::new(),
        precondition: Precondition::default(),
        wallet_ids: Vec::new(),
    };
    commit::commit(session, &plan).await
}

/// A pending invoice of one minor unit.
fn hold(wallet_id: WalletId, ticker: Ticker) -> Change {
    let created_at = SystemTime::UNIX_EPOCH;
    let transaction = Transaction {
        id: Uuid::now_v7(),
        operation: Operation::Invoice,
        wallet_id,
        to_wallet_id: None,
        ticker,
        amount: 1,
        opened: Status::Created,
        refusal: None,
        created_at,
        expires_at: None,
        metadata: None,
        requested_by: None,
        request_hash: [0; 16],
        redelivered: false,
        resolution: None,
    };
    let after = Balance { version: VERSION, actual: 0, frozen: 1, held: true, created_at };
    Change { transaction, first: Posting { wallet_id, leg: 0, after }, second: None }
}
