//! What is decided on a batch: what the rules need is gathered, and the rules are asked.
//!
//! What they leave behind is remembered at once, as if it were committed already, so that the batch that follows can be
//! decided on it. A writer that fails to commit forgets it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, SystemTime};

use deadpool_postgres::GenericClient;
use florin_ledger::{
    Applied, Command, Conflict, ErrorCode, Group, Identity, OnExisting, Outcome, Resolve, State, Status,
    Tickers, Transaction, Wallet, WalletId, apply,
};
use uuid::Uuid;

use super::batch::{Assumption, Decision, Following, Gathered};
use super::writer::Writer;
use super::{Error, history, load};

impl Writer {
    /// Lets the rules decide.
    pub(super) fn decide(
        &mut self,
        clock: &impl Fn() -> SystemTime,
        groups: &mut [Group],
        gathered: Gathered,
    ) -> Result<Decision, Error> {
        let Gathered { mut state, remembered, assumption } = gathered;
        self.renew_identities(groups, &state.transactions);
        let now = in_micros(clock());
        let Applied { outcomes, changes, repeated } =
            apply(&mut state, now, &*groups).map_err(|Conflict| Error::Conflict)?;
        if rest_on_memory(groups, &outcomes, &state.transactions, &remembered) {
            return Err(Error::Conflict);
        }
        let State { wallets, transactions, .. } = state;
        let touched = wallets.keys().copied().collect();
        for (wallet_id, wallet) in wallets {
            self.remembered.put(wallet_id, wallet);
        }
        Ok(Decision { outcomes, changes, repeated, transactions, touched, assumption })
    }

    /// Decides on the batch that follows the one that commits now, if it is there and all that it takes is remembered.
    pub(super) fn decide_ahead(&mut self, clock: &impl Fn() -> SystemTime, following: &mut Following<'_>) {
        let Some(batch) = following.look() else { return };
        let Some(gathered) = self.recall(&batch.groups) else { return };
        match self.decide(clock, &mut batch.groups, gathered) {
            Ok(decision) if decision.repeated.is_empty() => batch.decision = Some(decision),
            // What was done before has to be read.
            Ok(decision) => self.forget(&decision.touched),
            Err(_) => {}
        }
    }

    pub(super) fn forget(&mut self, wallet_ids: &[WalletId]) {
        for wallet_id in wallet_ids {
            self.remembered.pop(wallet_id);
        }
    }

    /// All that the rules need for these commands, where nothing of it has to be read.
    fn recall(&mut self, groups: &[Group]) -> Option<Gathered> {
        let tickers = self.store.known_tickers();
        let commands = || groups.iter().flat_map(Group::commands);
        let knows_ticker = |name: &str| tickers.get(name).is_some();
        let reads_nothing = |command: &Command| {
            let is_known = is_plain_balance(command) || command.movement().is_some();
            is_known && command.ticker().is_none_or(knows_ticker) && only_looked_at(command).is_none()
        };
        let wallet_ids = touched(groups, &HashMap::new());
        let all_remembered = wallet_ids.iter().all(|wallet_id| self.remembered.contains(wallet_id));
        if !all_remembered || !commands().all(reads_nothing) {
            return None;
        }
        let recalled = wallet_ids.iter().filter_map(|id| Some((*id, self.remembered.pop(id)?)));
        let wallets: HashMap<WalletId, Wallet> = recalled.collect();
        let assumption = assumption(groups, &wallets, &tickers);
        let remembered = wallet_ids.into_iter().collect();
        Some(Gathered { state: State { tickers, wallets, ..State::default() }, remembered, assumption })
    }

    /// All that the rules need for these commands. Remembered wallets are moved into it, and come back when
    /// the batch is committed.
    ///
    /// Transactions are read before wallets, and wallets before what lies in the past: what another instance
    /// writes in between is then noticed, at the latest when the rows are appended.
    pub(super) async fn gather(
        &mut self,
        client: &impl GenericClient,
        groups: &[Group],
        look_up: bool,
    ) -> Result<Gathered, Error> {
        let commands = || groups.iter().flat_map(Group::commands);
        let mut ids: HashSet<Uuid> = commands().filter_map(Command::named_transaction).collect();
        if look_up {
            let movements = commands().filter_map(Command::movement);
            ids.extend(movements.map(|movement| movement.identity.transaction_id));
        }
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let transactions = load::transactions(client, &ids).await?;

        // A balance from memory is proven by the statement that commits. It is not tried twice.
        let to_ask = commands().filter(|command| look_up || !is_plain_balance(command));
        let asked = to_ask.filter_map(Command::asked_wallet);
        let asked: HashSet<WalletId> = asked.chain(commands().filter_map(only_looked_at)).collect();
        let touched = touched(groups, &transactions);
        let mut wallets: HashMap<WalletId, Wallet> = HashMap::with_capacity(touched.len());
        let mut to_read = Vec::new();
        for wallet_id in touched {
            match self.remembered.pop(&wallet_id) {
                Some(wallet) if !asked.contains(&wallet_id) => drop(wallets.insert(wallet_id, wallet)),
                _ => to_read.push(wallet_id),
            }
        }
        let remembered: HashSet<WalletId> = wallets.keys().copied().collect();
        let read = load::wallets(client, &to_read).await?;
        // Somebody added a ticker: a request names it, another instance wrote to it, or it is not what was assumed.
        let mut tickers = self.store.known_tickers();
        let named = commands().filter_map(Command::ticker).map(|name| tickers.get(name));
        let held = read.values().flat_map(Wallet::keys).map(|ticker_id| tickers.by_id(*ticker_id));
        if look_up || named.chain(held).any(|ticker| ticker.is_none()) {
            tickers = self.store.read_tickers(client).await?;
        }
        let assumption = assumption(groups, &wallets, &tickers);
        wallets.extend(read);

        let moments: Vec<_> = commands().filter_map(Command::asked_moment).collect();
        let past = load::past(client, &moments).await?;
        let asked_pages = commands().filter_map(Command::asked_page);
        let pages = history::pages(client, &tickers, asked_pages).await?;
        Ok(Gathered { state: State { tickers, wallets, transactions, past, pages }, remembered, assumption })
    }

    /// Gives a fresh identity to every request that only looks like one that has its identity already.
    ///
    /// The other one is this very request in two cases only: its row was written by an attempt of this batch
    /// whose commit was in doubt, or from a redelivery that came after this delivery, to another instance,
    /// when the broker took this one for dead.
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

/// The precision of times in the database.
fn in_micros(time: SystemTime) -> SystemTime {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let nanos = u64::from(since_epoch.subsec_nanos() % 1000);
    SystemTime::UNIX_EPOCH + (since_epoch - Duration::from_nanos(nanos))
}

/// The wallets that these commands touch, in the order in which they are locked.
pub(super) fn touched(groups: &[Group], transactions: &HashMap<Uuid, Transaction>) -> Vec<WalletId> {
    let named = groups.iter().flat_map(Group::commands).flat_map(Command::wallet_ids);
    let waiting = transactions.values().filter(|transaction| transaction.status() == Status::Created);
    let of_waiting = waiting
        .flat_map(|transaction| std::iter::once(transaction.wallet_id).chain(transaction.to_wallet_id));
    let mut wallet_ids: Vec<WalletId> = named.chain(of_waiting).collect();
    wallet_ids.sort_unstable();
    wallet_ids.dedup();
    wallet_ids
}

/// Whether it asks for balances as they are.
fn is_plain_balance(command: &Command) -> bool {
    command.asked_wallet().is_some() && command.asked_moment().is_none()
}

/// What the balances that are asked for rest on, as far as they are `remembered`.
fn assumption(groups: &[Group], remembered: &HashMap<WalletId, Wallet>, tickers: &Tickers) -> Assumption {
    let asked: BTreeSet<WalletId> =
        groups.iter().flat_map(Group::commands).filter_map(Command::asked_wallet).collect();
    let wallets = asked.into_iter().filter_map(|wallet_id| Some((wallet_id, remembered.get(&wallet_id)?)));
    Assumption::on(wallets, tickers)
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
    groups: &[Group],
    outcomes: &[Outcome],
    transactions: &HashMap<Uuid, Transaction>,
    remembered: &HashSet<WalletId>,
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
            && payee.is_some_and(|payee| remembered.contains(&payee))
    })
}
