//! Executes batches of commands: exactly once each, in one database transaction with one writing statement.
//!
//! The phases of an attempt, and its round trips:
//!
//! 1. What the rules need is gathered: tails are remembered from the batches before, or read (one
//!    statement). A wallet whose balance is asked for is always read, so that the answer holds whoever else
//!    writes.
//! 2. The rules decide (`florin_ledger::apply`), in memory.
//! 3. The postings are appended (one statement, which is the transaction).
//!
//! Nothing rests on what is remembered, nor on being alone: whoever writes the next version of a chain, or a
//! transaction, first wins by the table's keys. The other one's statement fails as a whole; it forgets what it
//! remembered, looks up the identities of its commands and runs again. After a few such rounds the wallets
//! are locked first, so that instances that fight over hot wallets take turns.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use deadpool_postgres::GenericClient;
use florin_ledger::{
    Applied, Command, Identity, OnExisting, Outcome, Recorded, State, Tickers, Wallet, WalletId, apply,
};
use lru::LruCache;
use tokio::time::timeout;
use uuid::Uuid;

use super::{Error, Store, load, save};

/// Rounds without locks before the wallets are locked.
const FREE_ROUNDS: u32 = 3;
/// Rounds before the batch is given back to be tried later.
const MAX_ROUNDS: u32 = 20;
/// Batches that go on locking after a lock was needed: while the fight lasts, it saves the failed rounds.
const LOCKING_BATCHES: u32 = 50;
/// How long the database may take over one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// Executes batches, one at a time.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    tickers: Arc<Tickers>,
    /// Wallets with all their tails, as they were after the last batch that touched them.
    remembered: LruCache<WalletId, Wallet>,
    /// How many of the next batches lock their wallets from the start.
    locking_batches: u32,
    /// How often a key was taken, ever.
    taken_keys: u64,
}

impl Writer {
    /// A writer that remembers the tails of at most `remembered_wallets` wallets.
    #[must_use]
    pub fn new(store: Store, remembered_wallets: NonZeroUsize) -> Self {
        Self {
            store,
            tickers: Arc::default(),
            remembered: LruCache::new(remembered_wallets),
            locking_batches: 0,
            taken_keys: 0,
        }
    }

    /// How many wallets are remembered now.
    #[must_use]
    pub fn remembered_wallets(&self) -> usize {
        self.remembered.len()
    }

    /// How often another writer was first, ever.
    #[must_use]
    pub const fn taken_keys(&self) -> u64 {
        self.taken_keys
    }

    /// Executes commands in their order and returns one outcome for each, after they are committed.
    ///
    /// `in_doubt` says that these commands were tried before and may have been committed. An identity that
    /// turns out to be taken by a request that only looks the same is replaced in `commands`.
    ///
    /// # Errors
    ///
    /// As [`Error`] says; after an error that is [`Error::in_doubt`] the same commands must be tried again with
    /// `in_doubt`.
    pub async fn execute(&mut self, commands: &mut [Command], in_doubt: bool) -> Result<Vec<Outcome>, Error> {
        if in_doubt {
            for identity in commands.iter_mut().filter_map(Command::identity_mut) {
                identity.on_existing = OnExisting::Replay;
            }
        }
        for round in 0..MAX_ROUNDS {
            let look_up = in_doubt || round > 0;
            let lock = round >= FREE_ROUNDS || self.locking_batches > 0;
            match self.attempt(commands, look_up, lock).await {
                Err(Error::KeyTaken) => self.taken_keys += 1,
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
        commands: &mut [Command],
        look_up: bool,
        lock: bool,
    ) -> Result<Vec<Outcome>, Error> {
        let mut connection = self.store.connection().await?;
        let work = async {
            if lock {
                let transaction = connection.transaction().await?;
                save::lock_wallets(&transaction, &touched(commands)).await?;
                let outcomes = self.run(&transaction, commands, look_up).await?;
                transaction.commit().await?;
                Ok(outcomes)
            } else {
                self.run(&connection, commands, look_up).await
            }
        };
        let limit = Err(Error::TimedOut { timeout_secs: ATTEMPT_TIMEOUT.as_secs() });
        let result = timeout(ATTEMPT_TIMEOUT, work).await.unwrap_or(limit);
        if result.is_err() {
            self.forget(commands);
        }
        if result.as_ref().is_err_and(Error::in_doubt) {
            // Whatever it is still busy with, nobody else gets to wait for it.
            drop(deadpool_postgres::Object::take(connection));
        }
        result
    }

    async fn run(
        &mut self,
        client: &impl GenericClient,
        commands: &mut [Command],
        look_up: bool,
    ) -> Result<Vec<Outcome>, Error> {
        let mut state = self.gather(client, commands, look_up).await?;
        renew_identities(commands, &state.transactions);
        let Applied { outcomes, mut postings } = apply(&mut state, SystemTime::now(), &*commands);
        if !postings.is_empty() {
            save::append(client, &mut postings).await?;
        }
        for (wallet_id, wallet) in state.wallets {
            self.remembered.put(wallet_id, wallet);
        }
        Ok(outcomes)
    }

    /// All that the rules need for these commands. Remembered wallets are moved into it, and come back when
    /// the batch is committed.
    async fn gather(
        &mut self,
        client: &impl GenericClient,
        commands: &[Command],
        look_up: bool,
    ) -> Result<State, Error> {
        let asked = commands.iter().filter(|command| command.movement().is_none());
        let asked: HashSet<WalletId> = asked.map(Command::wallet_id).collect();
        let mut wallets: HashMap<WalletId, Wallet> = HashMap::new();
        let mut to_read = Vec::new();
        for wallet_id in touched(commands) {
            match self.remembered.pop(&wallet_id) {
                Some(wallet) if !asked.contains(&wallet_id) => drop(wallets.insert(wallet_id, wallet)),
                _ => to_read.push(wallet_id),
            }
        }
        let mut movements = commands.iter().filter_map(Command::movement);
        if movements.clone().any(|movement| self.tickers.get(&movement.ticker).is_none())
            || self.tickers.iter().next().is_none()
        {
            self.tickers = Arc::new(load::tickers(client).await?);
        }
        let identities: Vec<Uuid> = match look_up {
            true => movements.by_ref().map(|movement| movement.identity.transaction_id).collect(),
            false => Vec::new(),
        };
        let (read, transactions) =
            tokio::try_join!(load::wallets(client, &to_read), load::transactions(client, &identities))?;
        wallets.extend(read);
        Ok(State { tickers: self.tickers.clone(), wallets, transactions })
    }

    fn forget(&mut self, commands: &[Command]) {
        for command in commands {
            self.remembered.pop(&command.wallet_id());
        }
    }
}

/// The wallets that these commands touch, in the order in which they are locked.
fn touched(commands: &[Command]) -> Vec<WalletId> {
    let wallet_ids: BTreeSet<WalletId> = commands.iter().map(Command::wallet_id).collect();
    wallet_ids.into_iter().collect()
}

/// Gives a fresh identity to every request that only looks like an earlier one, in the tables or in the same
/// batch.
fn renew_identities(commands: &mut [Command], recorded: &HashMap<Uuid, Recorded>) {
    let mut seen = HashSet::with_capacity(commands.len());
    for identity in commands.iter_mut().filter_map(Command::identity_mut) {
        let taken = recorded.contains_key(&identity.transaction_id) || !seen.insert(identity.transaction_id);
        if taken && identity.on_existing == OnExisting::Renew {
            *identity = Identity {
                transaction_id: Uuid::now_v7(),
                // From here on it is an identity like any other.
                on_existing: OnExisting::Replay,
                ..*identity
            };
        }
    }
}
