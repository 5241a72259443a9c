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

/// More than the largest prefetch.
const WRITTEN_TRANSACTIONS: NonZeroUsize = NonZeroUsize::new(1 << 17).expect("not zero");

/// The precision of times in the database: what is read back may be earlier by less than this.
const DATABASE_TICK: Duration = Duration::from_micros(1);

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
    /// The transactions written last: more than requests can wait between their delivery and their turn.
    written: LruCache<Uuid, ()>,
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
            written: LruCache::new(WRITTEN_TRANSACTIONS),
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
                let executed = self.run(&transaction, commands, look_up).await?;
                transaction.commit().await?;
                Ok(executed)
            } else {
                self.run(&connection, commands, look_up).await
            }
        };
        let limit = Err(Error::TimedOut { timeout_secs: ATTEMPT_TIMEOUT.as_secs() });
        let result = timeout(ATTEMPT_TIMEOUT, work).await.unwrap_or(limit);
        if !matches!(result, Ok(_) | Err(Error::KeyTaken | Error::Unacceptable(_))) {
            // Whatever it is still busy with, or was told by the server, the next attempt gets a new one.
            drop(Object::take(connection));
        }
        match result {
            Ok(executed) => Ok(self.remember(executed)),
            Err(error) => {
                self.forget(commands);
                Err(error)
            }
        }
    }

    async fn run(
        &mut self,
        client: &impl GenericClient,
        commands: &mut [Command],
        look_up: bool,
    ) -> Result<Executed, Error> {
        let mut state = self.gather(client, commands, look_up).await?;
        self.renew_identities(commands, &state.transactions);
        let mut applied = apply(&mut state, decided_at(commands), &*commands);
        if !applied.postings.is_empty() {
            save::append(client, &mut applied.postings).await?;
        }
        Ok(Executed { applied, wallets: state.wallets })
    }

    /// Only after the commit.
    fn remember(&mut self, executed: Executed) -> Vec<Outcome> {
        for posting in executed.applied.postings {
            self.written.put(posting.transaction_id, ());
        }
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

    /// Gives a fresh identity to every request that only looks like an earlier one.
    ///
    /// An earlier one stands before it in the batch, or was written by this writer (successfully: what is in
    /// doubt may be this very request), or was written before this request was delivered. What was written
    /// later and elsewhere is this very request: the broker took this instance for dead and delivered it to
    /// another.
    fn renew_identities(&self, commands: &mut [Command], recorded: &HashMap<Uuid, Recorded>) {
        let mut seen = HashSet::with_capacity(commands.len());
        for identity in commands.iter_mut().filter_map(Command::identity_mut) {
            let id = identity.transaction_id;
            let before_it = !seen.insert(id);
            let OnExisting::Renew { received_at } = identity.on_existing else { continue };
            let written_before = recorded.get(&id).is_some_and(|earlier| {
                earlier.created_at + DATABASE_TICK <= received_at || self.written.contains(&id)
            });
            if before_it || written_before {
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

/// Now, but not before any of these commands was delivered, even if the clock was set back since.
fn decided_at(commands: &[Command]) -> SystemTime {
    let identities = commands.iter().filter_map(Command::movement).map(|movement| movement.identity);
    let received = identities.filter_map(|identity| match identity.on_existing {
        OnExisting::Renew { received_at } => Some(received_at),
        OnExisting::Replay => None,
    });
    received.fold(SystemTime::now(), SystemTime::max)
}

/// The wallets that these commands touch, in the order in which they are locked.
fn touched(commands: &[Command]) -> Vec<WalletId> {
    let wallet_ids: BTreeSet<WalletId> = commands.iter().map(Command::wallet_id).collect();
    wallet_ids.into_iter().collect()
}
