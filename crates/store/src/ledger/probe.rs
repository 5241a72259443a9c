//! Whether the database can execute anything at all.

use std::time::SystemTime;

use deadpool_postgres::Transaction as Session;
use florin_ledger::{Balance, Change, Operation, Posting, Status, Ticker, Transaction, WalletId};
use uuid::Uuid;

use super::plan::{Plan, Precondition};
use super::{commit, reads};
use crate::{Error, Store};

/// No wallet of a client: nothing of it is ever committed.
const NOBODY: WalletId = WalletId::MIN;

impl Store {
    /// Runs what every batch needs: reads wallets and transactions, appends a posting and a hold, and rolls
    /// that back.
    ///
    /// After a permanent error this tells whose it is. If the probe fails too, the database cannot execute
    /// any batch (a missing grant, a dropped column, another schema) and no request is to blame. If it
    /// succeeds, the error is of the request that had it.
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
    reads::wallets(session, &[NOBODY]).await?;
    reads::transactions(session, &[Uuid::nil()]).await?;
    // Without a ticker no posting can be asked for, and the scale of this one does not matter.
    let ticker = tickers.iter().next().cloned();
    let Some(ticker) = ticker else { return Ok(()) };
    // Constraints that are deferred are checked as well.
    session.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await?;
    let changes = vec![opened_hold(ticker)];
    let plan = Plan {
        outcomes: Vec::new(),
        changes,
        replayed: Vec::new(),
        precondition: Precondition::default(),
        wallet_ids: Vec::new(),
    };
    commit::commit(session, &plan).await
}

/// An invoice of one minor unit that is held, by nobody.
fn opened_hold(ticker: Ticker) -> Change {
    let created_at = SystemTime::UNIX_EPOCH;
    let transaction = Transaction {
        id: Uuid::now_v7(),
        operation: Operation::Invoice,
        wallet_id: NOBODY,
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
    let after = Balance { version: 1, actual: 0, frozen: 1, held: true, created_at };
    Change { transaction, first: Posting { wallet_id: NOBODY, leg: 0, after }, second: None }
}
