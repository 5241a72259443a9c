//! Executes batches of commands: exactly once each, in one database transaction with one writing statement.
//!
//! The phases of an attempt, and its round trips:
//!
//! 1. What the rules need is gathered: balances are remembered from the batches before, or read (one
//!    statement).
//! 2. The rules decide (`florin_ledger::apply`), in memory.
//! 3. The postings are appended (one statement, which is the transaction); where there are none, balances that were
//!    told from memory are proven (one statement). While that is under way, the rules decide on the batch that follows,
//!    if it is there and nothing has to be read for it (`decide_ahead`).
//!
//! Nothing rests on what is remembered, nor on being alone: whoever writes the next version of a chain, or a
//! transaction, first wins by the table's keys, and the statement appends nothing if a wallet whose balance was told from
//! memory has other postings by then. The other one's statement fails as a whole; it forgets what it
//! remembered, looks up the identities of its commands and runs again, and reads what is asked for. After a few such
//! rounds the wallets are locked first, so that instances that fight over hot wallets take turns.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use deadpool_postgres::{GenericClient, Object};
use florin_ledger::{Command, Group, Wallet, WalletId};
use futures_util::future::join;
use lru::LruCache;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::batch::{Batch, Decision, Executed, Following};
use super::decide::touched;
use super::{Error, Store, load, save};

/// Rounds without locks before the wallets are locked.
const FREE_ROUNDS: u32 = 3;
/// Rounds before the batch is given back to be tried later.
const MAX_ROUNDS: u32 = 20;
/// Batches that go on locking after a lock was needed: while the fight lasts, it saves the failed rounds.
const LOCKING_BATCHES: u32 = 50;
/// How long the database may take over one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// What an attempt does to what is remembered and to the tables.
#[derive(Debug, Default)]
struct UnderWay {
    /// The wallets that are remembered as they will be after it.
    touched: Vec<WalletId>,
    /// The times of the rows that it writes.
    written_at: HashSet<SystemTime>,
}

/// Executes batches, one at a time.
#[derive(Debug)]
pub struct Writer {
    pub(super) store: Store,
    /// Whether the changes are of interest to anybody.
    tell_changes: bool,
    /// Wallets with all their balances, as they are after the last batch that touched them; as far as that is not
    /// committed yet, as they will be.
    pub(super) remembered: LruCache<WalletId, Wallet>,
    /// The times that the attempts of the present batch gave their rows, as far as their commit is in doubt: by
    /// these the rows are known.
    pub(super) in_doubt: HashSet<SystemTime>,
    /// How many of the next batches lock their wallets from the start.
    locking_batches: u32,
    /// How often a key was taken, ever.
    conflicts: u64,
}

impl Writer {
    /// A writer that remembers the balances of at most `cached_wallets` wallets. With `tell_changes` also the
    /// changes made earlier are told when they are asked for again.
    #[must_use]
    pub fn new(store: Store, cached_wallets: NonZeroUsize, tell_changes: bool) -> Self {
        Self {
            store,
            tell_changes,
            remembered: LruCache::new(cached_wallets),
            in_doubt: HashSet::new(),
            locking_batches: 0,
            conflicts: 0,
        }
    }

    /// How many wallets are remembered now.
    #[must_use]
    pub fn cached_wallets(&self) -> usize {
        self.remembered.len()
    }

    /// How often another writer was first, ever.
    #[must_use]
    pub const fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// Executes the groups of a batch in their order, and returns when they are committed. While they commit, the
    /// batch that follows is decided.
    ///
    /// An identity that turns out to be taken by a request that only looks the same is replaced in `batch`.
    ///
    /// # Errors
    ///
    /// As [`Error`] says; after any but [`Error::Unacceptable`] the same groups have to be tried again before
    /// others, for they may have been committed.
    pub async fn execute(
        &mut self,
        batch: &mut Batch,
        following: &mut Following<'_>,
    ) -> Result<Executed, Error> {
        self.execute_by(SystemTime::now, batch, following).await
    }

    /// As [`Writer::execute`], by a clock that is given. It is looked at whenever the rules decide.
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn execute_by(
        &mut self,
        clock: impl Fn() -> SystemTime,
        batch: &mut Batch,
        following: &mut Following<'_>,
    ) -> Result<Executed, Error> {
        for round in 0..MAX_ROUNDS {
            let look_up = round > 0 || !self.in_doubt.is_empty();
            let lock = round >= FREE_ROUNDS || self.locking_batches > 0;
            match self.attempt(&clock, batch, following, look_up, lock).await {
                Err(Error::Conflict) => self.conflicts += 1,
                result => {
                    self.locking_batches = match round {
                        FREE_ROUNDS.. => LOCKING_BATCHES,
                        _ => self.locking_batches.saturating_sub(1),
                    };
                    return result;
                }
            }
        }
        Err(Error::Contended)
    }

    async fn attempt(
        &mut self,
        clock: &impl Fn() -> SystemTime,
        batch: &mut Batch,
        following: &mut Following<'_>,
        look_up: bool,
        lock: bool,
    ) -> Result<Executed, Error> {
        let mut under_way = UnderWay::default();
        let result = match self.store.connection().await {
            Ok(mut connection) => {
                let work = async {
                    if lock {
                        let transaction = connection.transaction().await?;
                        let wallet_ids = self.wallets_to_lock(&transaction, batch.groups()).await?;
                        save::lock_wallets(&transaction, &wallet_ids).await?;
                        let nothing = &mut Following::default();
                        let executed =
                            self.run(&transaction, clock, batch, nothing, look_up, &mut under_way).await?;
                        transaction.commit().await?;
                        Ok(executed)
                    } else {
                        self.run(&connection, clock, batch, following, look_up, &mut under_way).await
                    }
                };
                let limit = Err(Error::TimedOut { timeout_secs: ATTEMPT_TIMEOUT.as_secs() });
                let result = timeout(ATTEMPT_TIMEOUT, work).await.unwrap_or(limit);
                if !matches!(result, Ok(_) | Err(Error::Conflict | Error::Unacceptable(_))) {
                    // Whatever it is still busy with, or was told by the server, the next attempt gets a new one.
                    drop(Object::take(connection));
                }
                result
            }
            Err(error) => Err(error),
        };
        match &result {
            Ok(_) => self.in_doubt.clear(),
            Err(error) => {
                if error.in_doubt() {
                    self.in_doubt.extend(under_way.written_at);
                }
                self.forget(&under_way.touched);
                // What was decided on it is void as well.
                for decision in [batch.decision.take(), following.take_decision()].into_iter().flatten() {
                    self.forget(&decision.touched);
                }
            }
        }
        result
    }

    /// Has the batch decided, unless it is already, and appends what was decided.
    async fn run(
        &mut self,
        client: &impl GenericClient,
        clock: &impl Fn() -> SystemTime,
        batch: &mut Batch,
        following: &mut Following<'_>,
        look_up: bool,
        under_way: &mut UnderWay,
    ) -> Result<Executed, Error> {
        let decision = match batch.decision.take() {
            Some(decision) => decision,
            None => {
                let gathered = self.gather(client, &batch.groups, look_up).await?;
                self.decide(clock, &mut batch.groups, gathered)?
            }
        };
        let Decision { outcomes, mut changes, repeated, transactions, touched, assumption } = decision;
        under_way.touched = touched;
        let made_earlier = if self.tell_changes && !repeated.is_empty() {
            load::changes(client, &repeated, &transactions).await?
        } else {
            Vec::new()
        };
        under_way.written_at.extend(changes.iter().map(|change| change.first.after.created_at));
        let meanwhile = async {
            // The task of the connection sends the statement first.
            yield_now().await;
            self.decide_ahead(clock, following);
        };
        let (committed, ()) = join(save::commit(client, &changes, &assumption), meanwhile).await;
        committed?;
        changes.extend(made_earlier);
        Ok(Executed { outcomes, changes })
    }

    /// Which wallets a transaction touches never changes, so it can be read before they are locked.
    async fn wallets_to_lock(
        &self,
        client: &impl GenericClient,
        groups: &[Group],
    ) -> Result<Vec<WalletId>, Error> {
        let named = groups.iter().flat_map(Group::commands).filter_map(Command::named_transaction);
        let transactions = load::transactions(client, &named.collect::<Vec<_>>()).await?;
        Ok(touched(groups, &transactions))
    }
}
