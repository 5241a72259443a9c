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

use deadpool_postgres::{GenericClient, Object};
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

/// What an attempt did, to be remembered once it is committed.
#[derive(Debug)]
struct Executed {
    applied: Applied,
    wallets: HashMap<WalletId, Wallet>,
}

/// Executes batches, one at a time.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    tickers: Arc<Tickers>,
    /// Wallets with all their tails, as they were after the last batch that touched them.
    remembered: LruCache<WalletId, Wallet>,
    /// When the attempts of the present batch were decided whose commit is in doubt: by that their rows are
    /// known.
    in_doubt: Vec<SystemTime>,
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
            in_doubt: Vec::new(),
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
    /// An identity that turns out to be taken by a request that only looks the same is replaced in `commands`.
    ///
    /// # Errors
    ///
    /// As [`Error`] says; after any but [`Error::Unacceptable`] the same commands have to be tried again before
    /// others, for they may have been committed.
    pub async fn execute(&mut self, commands: &mut [Command]) -> Result<Vec<Outcome>, Error> {
        for round in 0..MAX_ROUNDS {
            let look_up = round > 0 || !self.in_doubt.is_empty();
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
        let decided_at = in_micros(SystemTime::now());
        let work = async {
            if lock {
                let transaction = connection.transaction().await?;
                save::lock_wallets(&transaction, &touched(commands)).await?;
                let executed = self.run(&transaction, commands, decided_at, look_up).await?;
                transaction.commit().await?;
                Ok(executed)
            } else {
                self.run(&connection, commands, decided_at, look_up).await
            }
        };
        let limit = Err(Error::TimedOut { timeout_secs: ATTEMPT_TIMEOUT.as_secs() });
        let result = timeout(ATTEMPT_TIMEOUT, work).await.unwrap_or(limit);
        if !matches!(result, Ok(_) | Err(Error::KeyTaken | Error::Unacceptable(_))) {
            // Whatever it is still busy with, or was told by the server, the next attempt gets a new one.
            drop(Object::take(connection));
        }
        match result {
            Ok(executed) => {
                self.in_doubt.clear();
                Ok(self.remember(executed))
            }
            Err(error) => {
                if error.in_doubt() {
                    self.in_doubt.push(decided_at);
                }
                self.forget(commands);
                Err(error)
            }
        }
    }

    async fn run(
        &mut self,
        client: &impl GenericClient,
        commands: &mut [Command],
        decided_at: SystemTime,
        look_up: bool,
    ) -> Result<Executed, Error> {
        let mut state = self.gather(client, commands, look_up).await?;
        self.renew_identities(commands, &state.transactions);
        let mut applied = apply(&mut state, decided_at, &*commands);
        if !applied.postings.is_empty() {
            save::append(client, &mut applied.postings).await?;
        }
        Ok(Executed { applied, wallets: state.wallets })
    }

    /// Only after the commit.
    fn remember(&mut self, executed: Executed) -> Vec<Outcome> {
        for (wallet_id, wallet) in executed.wallets {
            self.remembered.put(wallet_id, wallet);
        }
        executed.applied.outcomes
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
        let movements = commands.iter().filter_map(Command::movement);
        let identities: Vec<Uuid> = match look_up {
            true => movements.clone().map(|movement| movement.identity.transaction_id).collect(),
            false => Vec::new(),
        };
        let (read, transactions) =
            tokio::try_join!(load::wallets(client, &to_read), load::transactions(client, &identities))?;
        // Somebody added a ticker: a request names it, or another instance wrote to it.
        let named = movements.map(|movement| self.tickers.get(&movement.ticker));
        let held = read.values().flat_map(Wallet::keys).map(|ticker_id| self.tickers.by_id(*ticker_id));
        if named.chain(held).any(|ticker| ticker.is_none()) {
            self.tickers = Arc::new(load::tickers(client).await?);
        }
        wallets.extend(read);
        Ok(State { tickers: self.tickers.clone(), wallets, transactions })
    }

    /// Gives a fresh identity to every request that only looks like one that has its identity already.
    ///
    /// The other one is this very request in two cases only: its row was written by an attempt of this batch
    /// whose commit was in doubt, or from a redelivery that came after this delivery, to another instance,
    /// when the broker took this one for dead.
    fn renew_identities(&self, commands: &mut [Command], recorded: &HashMap<Uuid, Recorded>) {
        let mut seen = HashSet::with_capacity(commands.len());
        for identity in commands.iter_mut().filter_map(Command::identity_mut) {
            let taken_in_batch = !seen.insert(identity.transaction_id);
            let OnExisting::Renew { received_at } = identity.on_existing else { continue };
            let taken_by_another = recorded.get(&identity.transaction_id).is_some_and(|row| {
                let ours = self.in_doubt.contains(&row.created_at);
                let redelivered_since = row.redelivered && row.created_at >= in_micros(received_at);
                !ours && !redelivered_since
            });
            if taken_in_batch || taken_by_another {
                *identity = Identity {
                    transaction_id: Uuid::now_v7(),
                    // From here on it is an identity like any other.
                    on_existing: OnExisting::Replay,
                    ..*identity
                };
            }
        }
    }

    fn forget(&mut self, commands: &[Command]) {
        for command in commands {
            self.remembered.pop(&command.wallet_id());
        }
    }
}

/// The precision of times in the database.
fn in_micros(time: SystemTime) -> SystemTime {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let nanos = u64::from(since_epoch.subsec_nanos() % 1000);
    SystemTime::UNIX_EPOCH + (since_epoch - Duration::from_nanos(nanos))
}

/// The wallets that these commands touch, in the order in which they are locked.
fn touched(commands: &[Command]) -> Vec<WalletId> {
    let wallet_ids: BTreeSet<WalletId> = commands.iter().map(Command::wallet_id).collect();
    wallet_ids.into_iter().collect()
}
