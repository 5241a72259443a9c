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
use std::time::{Duration, SystemTime};

use deadpool_postgres::{GenericClient, Object};
use florin_ledger::{
    Applied, Change, Command, Contradiction, End, ErrorCode, Identity, OnExisting, Outcome, State, Status,
    Transaction, Unit, Wallet, WalletId, apply,
};
use lru::LruCache;
use tokio::time::timeout;
use uuid::Uuid;

use super::{Error, Store, history, load, save};

/// Rounds without locks before the wallets are locked.
const FREE_ROUNDS: u32 = 3;
/// Rounds before the batch is given back to be tried later.
const MAX_ROUNDS: u32 = 20;
/// Batches that go on locking after a lock was needed: while the fight lasts, it saves the failed rounds.
const LOCKING_BATCHES: u32 = 50;
/// How long the database may take over one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// What a batch came to.
#[derive(Debug, Default)]
pub struct Executed {
    /// One outcome per command, in their order.
    pub outcomes: Vec<Outcome>,
    /// The changes that it made, and those made earlier that it asked for again.
    pub changes: Vec<Change>,
}

/// Executes batches, one at a time.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    /// Whether the changes are of interest to anybody.
    tell_changes: bool,
    /// Wallets with all their tails, as they were after the last batch that touched them.
    remembered: LruCache<WalletId, Wallet>,
    /// The times that the attempts of the present batch gave their rows, as far as their commit is in doubt: by
    /// these the rows are known.
    in_doubt: HashSet<SystemTime>,
    /// How many of the next batches lock their wallets from the start.
    locking_batches: u32,
    /// How often a key was taken, ever.
    taken_keys: u64,
}

impl Writer {
    /// A writer that remembers the tails of at most `remembered_wallets` wallets. With `tell_changes` also the
    /// changes made earlier are told when they are asked for again.
    #[must_use]
    pub fn new(store: Store, remembered_wallets: NonZeroUsize, tell_changes: bool) -> Self {
        Self {
            store,
            tell_changes,
            remembered: LruCache::new(remembered_wallets),
            in_doubt: HashSet::new(),
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

    /// Executes units in their order, and returns when they are committed.
    ///
    /// An identity that turns out to be taken by a request that only looks the same is replaced in `units`.
    ///
    /// # Errors
    ///
    /// As [`Error`] says; after any but [`Error::Unacceptable`] the same units have to be tried again before
    /// others, for they may have been committed.
    pub async fn execute(&mut self, units: &mut [Unit]) -> Result<Executed, Error> {
        self.execute_by(SystemTime::now, units).await
    }

    /// As [`Writer::execute`], by a clock that is given. Each attempt looks at it when it decides.
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn execute_by(
        &mut self,
        clock: impl Fn() -> SystemTime,
        units: &mut [Unit],
    ) -> Result<Executed, Error> {
        for round in 0..MAX_ROUNDS {
            let look_up = round > 0 || !self.in_doubt.is_empty();
            let lock = round >= FREE_ROUNDS || self.locking_batches > 0;
            match self.attempt(&clock, units, look_up, lock).await {
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
        clock: &impl Fn() -> SystemTime,
        units: &mut [Unit],
        look_up: bool,
        lock: bool,
    ) -> Result<Executed, Error> {
        let mut connection = self.store.connection().await?;
        // The times of the rows that this attempt writes.
        let mut written_at = HashSet::new();
        let work = async {
            if lock {
                let transaction = connection.transaction().await?;
                let wallet_ids = self.wallets_to_lock(&transaction, units).await?;
                save::lock_wallets(&transaction, &wallet_ids).await?;
                let (executed, wallets) =
                    self.run(&transaction, clock, units, look_up, &mut written_at).await?;
                transaction.commit().await?;
                Ok((executed, wallets))
            } else {
                self.run(&connection, clock, units, look_up, &mut written_at).await
            }
        };
        let limit = Err(Error::TimedOut { timeout_secs: ATTEMPT_TIMEOUT.as_secs() });
        let result = timeout(ATTEMPT_TIMEOUT, work).await.unwrap_or(limit);
        if !matches!(result, Ok(_) | Err(Error::KeyTaken | Error::Unacceptable(_))) {
            // Whatever it is still busy with, or was told by the server, the next attempt gets a new one.
            drop(Object::take(connection));
        }
        match result {
            Ok((executed, wallets)) => {
                // Only after the commit.
                for (wallet_id, wallet) in wallets {
                    self.remembered.put(wallet_id, wallet);
                }
                self.in_doubt.clear();
                Ok(executed)
            }
            Err(error) => {
                if error.in_doubt() {
                    self.in_doubt.extend(written_at);
                }
                Err(error)
            }
        }
    }

    /// Gathers, decides and appends. The wallets are to be remembered once it is committed.
    async fn run(
        &mut self,
        client: &impl GenericClient,
        clock: &impl Fn() -> SystemTime,
        units: &mut [Unit],
        look_up: bool,
        written_at: &mut HashSet<SystemTime>,
    ) -> Result<(Executed, HashMap<WalletId, Wallet>), Error> {
        let (mut state, remembered) = self.gather(client, units, look_up).await?;
        self.renew_identities(units, &state.transactions);
        let now = in_micros(clock());
        let Applied { outcomes, mut changes, repeated } =
            apply(&mut state, now, &*units).map_err(|Contradiction| Error::KeyTaken)?;
        if rest_on_memory(units, &outcomes, &state.transactions, &remembered) {
            return Err(Error::KeyTaken);
        }
        let made_earlier = if self.tell_changes && !repeated.is_empty() {
            load::changes(client, &repeated, &state.transactions).await?
        } else {
            Vec::new()
        };
        if !changes.is_empty() {
            written_at.extend(changes.iter().map(|change| change.first.after.created_at));
            save::append(client, &changes).await?;
        }
        changes.extend(made_earlier);
        Ok((Executed { outcomes, changes }, state.wallets))
    }

    /// All that the rules need for these commands. Remembered wallets are moved into it, and come back when
    /// the batch is committed.
    ///
    /// Transactions are read before wallets, and wallets before what lies in the past: what another instance
    /// writes in between is then noticed, at the latest when the rows are appended.
    async fn gather(
        &mut self,
        client: &impl GenericClient,
        units: &[Unit],
        look_up: bool,
    ) -> Result<(State, HashSet<WalletId>), Error> {
        let commands = || units.iter().flat_map(Unit::commands);
        let mut ids: HashSet<Uuid> = commands().filter_map(Command::named_transaction).collect();
        if look_up {
            let movements = commands().filter_map(Command::movement);
            ids.extend(movements.map(|movement| movement.identity.transaction_id));
        }
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let transactions = load::transactions(client, &ids).await?;

        let looked_at = commands().filter_map(only_looked_at);
        let asked: HashSet<WalletId> =
            commands().filter_map(Command::asked_wallet).chain(looked_at).collect();
        let mut wallets: HashMap<WalletId, Wallet> = HashMap::new();
        let mut to_read = Vec::new();
        for wallet_id in touched(units, &transactions) {
            match self.remembered.pop(&wallet_id) {
                Some(wallet) if !asked.contains(&wallet_id) => drop(wallets.insert(wallet_id, wallet)),
                _ => to_read.push(wallet_id),
            }
        }
        let remembered = wallets.keys().copied().collect();
        let read = load::wallets(client, &to_read).await?;
        // Somebody added a ticker: a request names it, or another instance wrote to it.
        let mut tickers = self.store.known_tickers();
        let named = commands().filter_map(Command::ticker).map(|name| tickers.get(name));
        let held = read.values().flat_map(Wallet::keys).map(|ticker_id| tickers.by_id(*ticker_id));
        if named.chain(held).any(|ticker| ticker.is_none()) {
            tickers = self.store.read_tickers(client).await?;
        }
        wallets.extend(read);

        let moments: Vec<_> = commands().filter_map(Command::asked_moment).collect();
        let past = load::past(client, &moments).await?;
        let asked_pages = commands().filter_map(Command::asked_page);
        let pages = history::pages(client, &tickers, asked_pages).await?;
        Ok((State { tickers, wallets, transactions, past, pages }, remembered))
    }

    /// Which wallets a transaction touches never changes, so it can be read before they are locked.
    async fn wallets_to_lock(
        &self,
        client: &impl GenericClient,
        units: &[Unit],
    ) -> Result<Vec<WalletId>, Error> {
        let named = units.iter().flat_map(Unit::commands).filter_map(Command::named_transaction);
        let transactions = load::transactions(client, &named.collect::<Vec<_>>()).await?;
        Ok(touched(units, &transactions))
    }

    /// Gives a fresh identity to every request that only looks like one that has its identity already.
    ///
    /// The other one is this very request in two cases only: its row was written by an attempt of this batch
    /// whose commit was in doubt, or from a redelivery that came after this delivery, to another instance,
    /// when the broker took this one for dead.
    fn renew_identities(&self, units: &mut [Unit], recorded: &HashMap<Uuid, Transaction>) {
        let mut seen = HashSet::new();
        let commands = units.iter_mut().flat_map(Unit::commands_mut);
        for identity in commands.filter_map(Command::identity_mut) {
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
}

/// The precision of times in the database.
fn in_micros(time: SystemTime) -> SystemTime {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let nanos = u64::from(since_epoch.subsec_nanos() % 1000);
    SystemTime::UNIX_EPOCH + (since_epoch - Duration::from_nanos(nanos))
}

/// The wallets that these commands touch, in the order in which they are locked.
fn touched(units: &[Unit], transactions: &HashMap<Uuid, Transaction>) -> Vec<WalletId> {
    let named = units.iter().flat_map(Unit::commands).flat_map(Command::wallet_ids);
    let waiting = transactions.values().filter(|transaction| transaction.status() == Status::Created);
    let of_waiting = waiting
        .flat_map(|transaction| std::iter::once(transaction.wallet_id).chain(transaction.to_wallet_id));
    let wallet_ids: BTreeSet<WalletId> = named.chain(of_waiting).collect();
    wallet_ids.into_iter().collect()
}

/// The payee whose balance decides whether a transfer may wait, and is not changed by it.
fn only_looked_at(command: &Command) -> Option<WalletId> {
    match command {
        Command::Transfer { movement, to_wallet_id } if movement.pending.is_some() => Some(*to_wallet_id),
        _ => None,
    }
}

/// Whether a refusal may be due to what is remembered of a payee: nothing is written to the payee's chain then,
/// so no key tells that somebody else wrote to it.
fn rest_on_memory(
    units: &[Unit],
    outcomes: &[Outcome],
    transactions: &HashMap<Uuid, Transaction>,
    remembered: &HashSet<WalletId>,
) -> bool {
    units.iter().flat_map(Unit::commands).zip(outcomes).any(|(command, outcome)| {
        let payee = match command {
            Command::Transfer { to_wallet_id, .. } => Some(*to_wallet_id),
            Command::End { transaction_id, how: End::Settle { .. }, .. } => {
                transactions.get(transaction_id).and_then(|transaction| transaction.to_wallet_id)
            }
            _ => None,
        };
        matches!(outcome.refusal(), Some(ErrorCode::AmountOutOfRange | ErrorCode::BatchFailed))
            && !outcome.replayed
            && payee.is_some_and(|payee| remembered.contains(&payee))
    })
}
