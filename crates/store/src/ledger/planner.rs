//! From commands to a plan: takes what the rules need from the cache or reads it, and applies the rules.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use deadpool_postgres::GenericClient;
use florin_ledger::{
    Applied, Change, Command, Conflict, ErrorCode, Group, Identity, OnExisting, Outcome, Resolve, State,
    Status, Tickers, Transaction, Wallet, WalletId, apply,
};
use uuid::Uuid;

use super::cache::Cache;
use super::contention::Contention;
use super::plan::{Executed, Plan, Precondition, select};
use super::{history, reads};
use crate::{Error, Store};

/// Plans batches, one after the other, and caches the balances that each leaves behind.
pub struct Planner {
    pub(super) store: Store,
    pub(super) contention: Contention,
    cache: Cache,
    /// The times of the rows of those plans of the present batch whose commit is in doubt.
    in_doubt: HashSet<SystemTime>,
    /// Whether replayed changes are returned, for events.
    with_replayed: bool,
    clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
}

/// What the rules need for a batch.
struct Inputs {
    state: State,
    /// The wallets whose balances come from the cache.
    from_cache: HashSet<WalletId>,
    precondition: Precondition,
}

impl Planner {
    /// A planner that caches the balances of at most `cached_wallets` wallets. `with_replayed` also returns
    /// the changes that were committed earlier and are requested again.
    #[must_use]
    pub fn new(store: Store, cached_wallets: NonZeroUsize, with_replayed: bool) -> Self {
        Self {
            store,
            contention: Contention::default(),
            cache: Cache::new(cached_wallets),
            in_doubt: HashSet::new(),
            with_replayed,
            clock: Box::new(SystemTime::now),
        }
    }

    /// Uses another clock. It is read when the rules decide.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// How many wallets are cached now.
    #[must_use]
    pub fn cached_wallets(&self) -> usize {
        self.cache.len()
    }

    /// How often another writer was first, in all.
    #[must_use]
    pub const fn conflicts(&self) -> u64 {
        self.contention.conflicts()
    }

    /// Plans a batch, from the cache and from what is read.
    ///
    /// A request without an identity of its own gets a fresh one, in `groups`, if the derived one is taken.
    ///
    /// # Errors
    ///
    /// When something has to be read and the database fails; [`Error::Conflict`] when what was read
    /// contradicts what is cached.
    pub async fn plan(&mut self, groups: &mut [Group]) -> Result<Plan, Error> {
        if !self.must_look_up()
            && let Some(plan) = self.plan_from_cache(groups)
        {
            return Ok(plan);
        }
        let store = self.store.clone();
        let planned =
            store.with_connection(async |connection| self.plan_with(&*connection, groups).await).await;
        if let Err(error) = &planned {
            self.note(error);
        }
        planned
    }

    /// Plans a batch from the cache alone, so it may be called while the plan before is being committed.
    /// None if something has to be read, or the cached balances contradict each other: call
    /// [`Planner::plan`] after that commit.
    pub fn plan_from_cache(&mut self, groups: &mut [Group]) -> Option<Plan> {
        let inputs = self.inputs_from_cache(groups)?;
        let (state, applied, precondition) = self.apply(groups, inputs).ok()?;
        // A replay has to be read. The wallets that were taken from the cache are not put back.
        applied.repeated.is_empty().then(|| self.finish(state, applied, Vec::new(), precondition))
    }

    /// As [`Planner::plan`], on this connection.
    pub(super) async fn plan_with(
        &mut self,
        client: &impl GenericClient,
        groups: &mut [Group],
    ) -> Result<Plan, Error> {
        let inputs = self.read_inputs(client, groups).await?;
        let (state, applied, precondition) = self.apply(groups, inputs)?;
        let replayed = match &applied.repeated[..] {
            [] => Vec::new(),
            _ if !self.with_replayed => Vec::new(),
            repeated => reads::changes(client, repeated, &state.transactions).await?,
        };
        Ok(self.finish(state, applied, replayed, precondition))
    }

    fn apply(&self, groups: &mut [Group], inputs: Inputs) -> Result<(State, Applied, Precondition), Error> {
        let Inputs { mut state, from_cache, precondition } = inputs;
        self.renew_identities(groups, &state.transactions);
        let now = in_micros((self.clock)());
        let applied = apply(&mut state, now, &*groups).map_err(|Conflict| Error::Conflict)?;
        if refuses_for_cached_payee(groups, &applied.outcomes, &state.transactions, &from_cache) {
            return Err(Error::Conflict);
        }
        Ok((state, applied, precondition))
    }

    /// Makes the plan, and caches the balances it leaves behind as if it were committed already, so that
    /// the next batch can be planned on them. [`Planner::void`] takes that back.
    fn finish(
        &mut self,
        state: State,
        applied: Applied,
        replayed: Vec<Change>,
        precondition: Precondition,
    ) -> Plan {
        let wallet_ids = state.wallets.keys().copied().collect();
        for (wallet_id, wallet) in state.wallets {
            self.cache.put(wallet_id, wallet);
        }
        let Applied { outcomes, changes, repeated: _ } = applied;
        Plan { outcomes, changes, replayed, precondition, wallet_ids }
    }

    /// To be called when this plan is committed.
    pub fn committed(&mut self, plan: Plan) -> Executed {
        self.contention.end_batch();
        plan.into_executed()
    }

    /// To be called when this plan was not committed, because of `error`: drops what it left in the cache.
    /// If the commit is in doubt, the rows that it may have written are recognised when the same batch is
    /// planned again.
    pub fn void(&mut self, plan: &Plan, error: &Error) {
        self.cache.void(&plan.wallet_ids);
        if error.in_doubt() {
            self.in_doubt.extend(plan.times());
        }
        self.note(error);
    }

    /// To be called for a plan that was planned ahead on a plan that is void. It was never sent.
    pub fn void_ahead(&mut self, plan: &Plan) {
        self.cache.void(&plan.wallet_ids);
    }

    /// To be called when the batch is executed as far as it can be: nothing of it is in doubt any more.
    /// Before that, its groups have to be retried before others, together or one by one.
    pub fn end_batch(&mut self) {
        self.in_doubt.clear();
        self.contention.end_batch();
    }

    pub(super) const fn note(&mut self, error: &Error) {
        if matches!(error, Error::Conflict) {
            self.contention.conflict();
        }
    }

    /// Whether identities have to be looked up: another writer may have recorded them, or a commit in doubt
    /// of this one.
    fn must_look_up(&self) -> bool {
        self.contention.needs_turn() || !self.in_doubt.is_empty()
    }

    /// All that the rules need for these commands; none if any of it has to be read.
    fn inputs_from_cache(&mut self, groups: &[Group]) -> Option<Inputs> {
        let tickers = self.store.cached_tickers();
        let commands = || groups.iter().flat_map(Group::commands);
        let knows_ticker = |name: &str| tickers.get(name).is_some();
        let reads_nothing = |command: &Command| {
            let is_simple = is_present_balance(command) || command.movement().is_some();
            is_simple && command.ticker().is_none_or(knows_ticker) && payee_of_hold(command).is_none()
        };
        let wallet_ids = touched(groups, &HashMap::new());
        let all_cached = wallet_ids.iter().all(|wallet_id| self.cache.contains(*wallet_id));
        if !all_cached || !commands().all(reads_nothing) {
            return None;
        }
        let taken = wallet_ids.iter().filter_map(|id| Some((*id, self.cache.take(*id)?)));
        let wallets: HashMap<WalletId, Wallet> = taken.collect();
        let precondition = precondition(groups, &wallets, &tickers);
        let from_cache = wallet_ids.into_iter().collect();
        Some(Inputs { state: State { tickers, wallets, ..State::default() }, from_cache, precondition })
    }

    /// All that the rules need for these commands.
    ///
    /// Transactions are read before wallets, and wallets before past balances and pages: what another
    /// instance writes in between is then noticed, at the latest when the rows are appended.
    async fn read_inputs(&mut self, client: &impl GenericClient, groups: &[Group]) -> Result<Inputs, Error> {
        let look_up = self.must_look_up();
        let commands = || groups.iter().flat_map(Group::commands);
        let mut ids: HashSet<Uuid> = commands().filter_map(Command::named_transaction).collect();
        if look_up {
            let movements = commands().filter_map(Command::movement);
            ids.extend(movements.map(|movement| movement.identity.transaction_id));
        }
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let transactions = reads::transactions(client, &ids).await?;

        let must_read = self.wallets_to_read(groups);
        let touched = touched(groups, &transactions);
        let mut wallets: HashMap<WalletId, Wallet> = HashMap::with_capacity(touched.len());
        let mut to_read = Vec::new();
        for wallet_id in touched {
            match self.cache.take(wallet_id) {
                Some(wallet) if !must_read.contains(&wallet_id) => drop(wallets.insert(wallet_id, wallet)),
                _ => to_read.push(wallet_id),
            }
        }
        let from_cache: HashSet<WalletId> = wallets.keys().copied().collect();
        let read = reads::wallets(client, &to_read).await?;
        // Read the tickers again if one was added: a request names it, or another instance posted in it.
        let mut tickers = self.store.cached_tickers();
        let named = commands().filter_map(Command::ticker).map(|name| tickers.get(name));
        let held = read.values().flat_map(Wallet::keys).map(|ticker_id| tickers.by_id(*ticker_id));
        if look_up || named.chain(held).any(|ticker| ticker.is_none()) {
            tickers = self.store.cache_tickers(reads::tickers(client).await?);
        }
        let precondition = precondition(groups, &wallets, &tickers);
        wallets.extend(read);

        let moments: Vec<_> = commands().filter_map(Command::queried_moment).collect();
        let past = reads::wallets_at(client, &moments).await?;
        let queries = commands().filter_map(Command::queried_page);
        let pages = history::pages(client, &tickers, queries).await?;
        Ok(Inputs { state: State { tickers, wallets, transactions, past, pages }, from_cache, precondition })
    }

    /// The wallets that are read even if they are cached: those whose past balance is queried, and payees
    /// that only decide whether a hold can be opened. A present balance comes from the cache and is checked
    /// by the statement that commits; after a conflict it is read as well.
    fn wallets_to_read(&self, groups: &[Group]) -> HashSet<WalletId> {
        let look_up = self.must_look_up();
        let commands = || groups.iter().flat_map(Group::commands);
        let queries = commands().filter(|command| look_up || !is_present_balance(command));
        queries.filter_map(Command::queried_wallet).chain(commands().filter_map(payee_of_hold)).collect()
    }

    /// Gives a fresh identity to every request whose derived identity belongs to another request.
    ///
    /// It belongs to this very request in two cases only: its row was written by a commit of this batch
    /// that was in doubt; or by a redelivery to another instance, after this delivery, when the broker had
    /// given up this connection.
    fn renew_identities(&self, groups: &mut [Group], recorded: &HashMap<Uuid, Transaction>) {
        let mut seen = HashSet::with_capacity(groups.len());
        let commands = groups.iter_mut().flat_map(Group::commands_mut);
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

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planner").field("cached_wallets", &self.cache.len()).finish_non_exhaustive()
    }
}

/// The precision of times in the database.
fn in_micros(time: SystemTime) -> SystemTime {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let nanos = u64::from(since_epoch.subsec_nanos() % 1000);
    SystemTime::UNIX_EPOCH + (since_epoch - Duration::from_nanos(nanos))
}

/// The wallets that these commands touch, in the order of their ids.
fn touched(groups: &[Group], transactions: &HashMap<Uuid, Transaction>) -> Vec<WalletId> {
    let named = groups.iter().flat_map(Group::commands).flat_map(Command::wallet_ids);
    let holds = transactions.values().filter(|transaction| transaction.status() == Status::Created);
    let of_holds =
        holds.flat_map(|transaction| std::iter::once(transaction.wallet_id).chain(transaction.to_wallet_id));
    let mut wallet_ids: Vec<WalletId> = named.chain(of_holds).collect();
    wallet_ids.sort_unstable();
    wallet_ids.dedup();
    wallet_ids
}

/// Whether this queries balances as they are now.
fn is_present_balance(command: &Command) -> bool {
    command.queried_wallet().is_some() && command.queried_moment().is_none()
}

/// The precondition: the queried balances that come from the cache are unchanged.
fn precondition(groups: &[Group], cached: &HashMap<WalletId, Wallet>, tickers: &Tickers) -> Precondition {
    let queried: BTreeSet<WalletId> =
        groups.iter().flat_map(Group::commands).filter_map(Command::queried_wallet).collect();
    Precondition::unchanged(select(cached, queried), tickers)
}

/// The payee whose balance decides whether a transfer may be held. Its chain is not appended to, so no
/// unique key would detect that the balance is stale.
fn payee_of_hold(command: &Command) -> Option<WalletId> {
    match command {
        Command::Transfer { movement, to_wallet_id } if movement.pending.is_some() => Some(*to_wallet_id),
        _ => None,
    }
}

/// Whether a refusal may be due to the cached balance of a payee. A refusal appends nothing to the payee's
/// chain, so no unique key would detect that the balance is stale: the batch has to be planned on balances
/// that are read.
fn refuses_for_cached_payee(
    groups: &[Group],
    outcomes: &[Outcome],
    transactions: &HashMap<Uuid, Transaction>,
    from_cache: &HashSet<WalletId>,
) -> bool {
    groups.iter().flat_map(Group::commands).zip(outcomes).any(|(command, outcome)| {
        let payee = match command {
            Command::Transfer { to_wallet_id, .. } => Some(*to_wallet_id),
            Command::Resolve { transaction_id, how: Resolve::Settle { .. }, .. } => {
                transactions.get(transaction_id).and_then(|transaction| transaction.to_wallet_id)
            }
            _ => None,
        };
        matches!(outcome.refusal(), Some(ErrorCode::AmountOutOfRange | ErrorCode::BatchFailed))
            && !outcome.replayed
            && payee.is_some_and(|payee| from_cache.contains(&payee))
    })
}
