//! The rules: what each command does to the balances.
//!
//! Checks run in the order of [`ErrorCode`]. Those that need no balance leave nothing behind when they
//! refuse; those that depend on the balance leave a transaction in status Error, so that a retry gets the
//! same answer however the balance changes in between.
//!
//! This file opens transactions and keeps groups atomic; `resolve` resolves holds, `read` answers queries.

use std::collections::HashSet;
use std::time::SystemTime;

use uuid::Uuid;

use crate::{
    Answer, Balance, Change, Command, ErrorCode, Group, LIMIT, Movement, Outcome, Posting, State, Status,
    Ticker, TickerId, Transaction, WalletId,
};

/// The result of a list of commands.
#[derive(Debug, Default)]
pub struct Applied {
    /// One outcome per command, in order.
    pub outcomes: Vec<Outcome>,
    /// The changes to append, in the order in which they were decided.
    pub changes: Vec<Change>,
    /// Changes recorded before that commands of this list repeat: their events are published again.
    pub repeated: Vec<Repeated>,
}

impl Applied {
    fn with_capacity(commands: usize) -> Self {
        Self {
            outcomes: Vec::with_capacity(commands),
            changes: Vec::with_capacity(commands),
            repeated: Vec::new(),
        }
    }
}

/// A change that was recorded before and requested again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repeated {
    /// The transaction that the change belongs to.
    pub transaction_id: Uuid,
    /// Whether the change is its resolution, not its opening.
    pub resolved: bool,
}

/// The state contradicts itself, because it was read at different times: read it again and plan again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the balance of a wallet contradicts the state of a transaction")]
pub struct Conflict;

/// Applies commands in their order, each on the state that the ones before it left.
///
/// A refused command has no effect on its neighbours, unless they are one atomic group. `state` must hold all
/// that the commands touch, and holds the new balances and transactions afterwards.
///
/// # Errors
///
/// [`Conflict`]: discard the state, and read it again.
pub fn apply<'a>(
    state: &mut State,
    now: SystemTime,
    groups: impl IntoIterator<Item = &'a Group>,
) -> Result<Applied, Conflict> {
    let groups = groups.into_iter();
    let mut rules =
        Rules { state, now, applied: Applied::with_capacity(groups.size_hint().0), undo: Vec::new() };
    for group in groups {
        match group {
            Group::One(command) => {
                let outcome = rules.decide(command)?;
                rules.applied.outcomes.push(outcome);
            }
            Group::AllOrNone(commands) => rules.all_or_none(commands)?,
        }
        rules.undo.clear();
    }
    Ok(rules.applied)
}

/// The rules, applied to one list of commands.
pub(crate) struct Rules<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) now: SystemTime,
    pub(crate) applied: Applied,
    /// The balances that the present group has replaced.
    undo: Vec<(WalletId, TickerId, Balance)>,
}

impl Rules<'_> {
    fn decide(&mut self, command: &Command) -> Result<Outcome, Conflict> {
        Ok(match command {
            Command::Invoice(movement) | Command::Withdraw(movement) => {
                self.open(command, movement, None, None)
            }
            Command::Transfer { movement, to_wallet_id } => {
                self.open(command, movement, Some(*to_wallet_id), None)
            }
            Command::Resolve { transaction_id, how, requested_by } => {
                self.resolve(*transaction_id, *how, requested_by.as_ref())?
            }
            Command::Balance(query) => self.read_balance(query),
            Command::Transaction { transaction_id } => self.read_transaction(*transaction_id),
            Command::History(query) => self.read_history(query),
        })
    }

    /// Decides on a command that opens a transaction, and records the decision. `forced`: refuse with this
    /// code unless an earlier check fails; the group that the command belongs to was refused.
    fn open(
        &mut self,
        command: &Command,
        movement: &Movement,
        to_wallet_id: Option<WalletId>,
        forced: Option<ErrorCode>,
    ) -> Outcome {
        let (ticker, amount) = match self.check(movement, to_wallet_id) {
            Ok(checked) => checked,
            Err(code) => return Outcome::refused(code),
        };
        let identity = movement.identity;
        if let Some(recorded) = self.state.transactions.get(&identity.transaction_id) {
            let outcome = replay(movement, recorded);
            if outcome.replayed {
                let transaction_id = identity.transaction_id;
                self.applied.repeated.push(Repeated { transaction_id, resolved: false });
            }
            return outcome;
        }
        let payer = self.balance(movement.wallet_id, ticker.id);
        let payee = to_wallet_id.map(|wallet_id| self.balance(wallet_id, ticker.id));
        let decision = match forced {
            Some(code) => Err(code),
            None => opened(command, payer, payee, amount),
        };
        let refusal = decision.err();
        let (payer, payee) = decision.unwrap_or((payer, None));
        let created_at =
            self.now.max(payer.created_at).max(payee.map_or(self.now, |balance| balance.created_at));
        let timeout = movement.pending.and_then(|pending| pending.timeout);
        let transaction = Transaction {
            id: identity.transaction_id,
            operation: command.operation(),
            wallet_id: movement.wallet_id,
            to_wallet_id,
            ticker,
            amount,
            opened: match (refusal, movement.pending) {
                (Some(_), _) => Status::Error,
                (None, Some(_)) => Status::Created,
                (None, None) => Status::Success,
            },
            refusal,
            created_at,
            expires_at: timeout
                .filter(|_| refusal.is_none())
                .and_then(|timeout| created_at.checked_add(timeout)),
            metadata: movement.metadata.clone(),
            requested_by: movement.requested_by.clone(),
            request_hash: identity.request_hash,
            redelivered: identity.redelivered,
            resolution: None,
        };
        let outcome = Outcome::fresh(answer(&transaction));
        self.append(transaction, payer, payee, 0, created_at);
        outcome
    }

    /// The checks that depend on no balance: a refusal here records no transaction.
    fn check(
        &self,
        movement: &Movement,
        to_wallet_id: Option<WalletId>,
    ) -> Result<(Ticker, i128), ErrorCode> {
        if !movement.amount.is_positive() {
            return Err(ErrorCode::AmountNotPositive);
        }
        if to_wallet_id == Some(movement.wallet_id) {
            return Err(ErrorCode::SameWallet);
        }
        let wallet_ids = std::iter::once(movement.wallet_id).chain(to_wallet_id);
        if !wallet_ids.into_iter().all(|wallet_id| self.state.wallets.contains_key(&wallet_id)) {
            return Err(ErrorCode::UnknownWallet);
        }
        let ticker = self.state.tickers.get(&movement.ticker).ok_or(ErrorCode::UnknownTicker)?;
        Ok((ticker.clone(), movement.amount.to_minor(ticker.scale)?))
    }

    /// The state after the last posting of a chain.
    pub(crate) fn balance(&self, wallet_id: WalletId, ticker_id: TickerId) -> Balance {
        let wallet = self.state.wallets.get(&wallet_id);
        wallet.and_then(|wallet| wallet.get(&ticker_id)).copied().unwrap_or_default()
    }

    /// Records a step of a transaction and the balances after it.
    pub(crate) fn append(
        &mut self,
        transaction: Transaction,
        payer: Balance,
        payee: Option<Balance>,
        first_leg: i16,
        at: SystemTime,
    ) {
        let ticker_id = transaction.ticker.id;
        let mut posting = |wallet_id, balance: Balance, leg| {
            let after = Balance { version: balance.version + 1, created_at: at, ..balance };
            let before = self.state.wallets.entry(wallet_id).or_default().insert(ticker_id, after);
            self.undo.push((wallet_id, ticker_id, before.unwrap_or_default()));
            Posting { wallet_id, leg, after }
        };
        let first = posting(transaction.wallet_id, payer, first_leg);
        let second = transaction.to_wallet_id.zip(payee);
        let second = second.map(|(wallet_id, balance)| posting(wallet_id, balance, first_leg + 1));
        self.state.transactions.insert(transaction.id, transaction.clone());
        self.applied.changes.push(Change { transaction, first, second });
    }

    /// Applies all commands or none. If none, every transaction they would have opened is recorded in status
    /// Error, so that a retry is refused again.
    fn all_or_none(&mut self, commands: &[Command]) -> Result<(), Conflict> {
        let (changes_before, repeated_before) = (self.applied.changes.len(), self.applied.repeated.len());
        let mut outcomes = Vec::with_capacity(commands.len());
        for command in commands {
            outcomes.push(self.decide(command)?);
        }
        if outcomes.iter().any(|outcome| outcome.refusal().is_some()) {
            self.roll_back_to(changes_before);
            self.applied.repeated.truncate(repeated_before);
            let own: HashSet<Uuid> = commands
                .iter()
                .filter_map(|command| command.movement().map(|movement| movement.identity.transaction_id))
                .collect();
            for (command, outcome) in commands.iter().zip(&mut outcomes) {
                let code = outcome.refusal().unwrap_or(ErrorCode::BatchFailed);
                *outcome = self.fail(command, code, &own)?;
            }
        }
        self.applied.outcomes.append(&mut outcomes);
        Ok(())
    }

    fn roll_back_to(&mut self, changes: usize) {
        for (wallet_id, ticker_id, balance) in self.undo.drain(..).rev() {
            if let Some(wallet) = self.state.wallets.get_mut(&wallet_id) {
                wallet.insert(ticker_id, balance);
            }
        }
        for change in self.applied.changes.drain(changes..) {
            let id = change.transaction.id;
            match (change.transaction.resolution, self.state.transactions.get_mut(&id)) {
                (Some(_), Some(transaction)) => transaction.resolution = None,
                _ => drop(self.state.transactions.remove(&id)),
            }
        }
    }

    /// The outcome of a command of a refused group. What an earlier request did stays as it is.
    fn fail(&mut self, command: &Command, code: ErrorCode, own: &HashSet<Uuid>) -> Result<Outcome, Conflict> {
        Ok(match command {
            Command::Invoice(movement) | Command::Withdraw(movement) => {
                self.open(command, movement, None, Some(code))
            }
            Command::Transfer { movement, to_wallet_id } => {
                self.open(command, movement, Some(*to_wallet_id), Some(code))
            }
            Command::Resolve { transaction_id, how, requested_by } => {
                match self.state.transactions.get(transaction_id) {
                    // Resolved before this group came: it is answered as if alone.
                    Some(transaction) if transaction.resolution.is_some() => {
                        self.resolve(*transaction_id, *how, requested_by.as_ref())?
                    }
                    Some(transaction) if transaction.refusal.is_none() => Outcome::refused(code),
                    // A hold that this group itself would have opened: its outcome is void with the group.
                    _ if own.contains(transaction_id) => Outcome::refused(ErrorCode::BatchFailed),
                    _ => Outcome::refused(code),
                }
            }
            _ => Outcome::refused(code),
        })
    }
}

/// The balances after a transaction is opened, of the payer (or the only wallet) and of the payee.
fn opened(
    command: &Command,
    payer: Balance,
    payee: Option<Balance>,
    amount: i128,
) -> Result<(Balance, Option<Balance>), ErrorCode> {
    let is_hold = command.movement().is_some_and(|movement| movement.pending.is_some());
    if let Command::Invoice(_) = command {
        let balance = credit(payer, amount)?;
        let frozen = if is_hold { amount } else { 0 };
        return Ok((
            Balance { actual: balance.actual - frozen, frozen: balance.frozen + frozen, ..balance },
            None,
        ));
    }
    let actual = payer.actual.checked_sub(amount).filter(|actual| *actual >= 0);
    let payer = Balance { actual: actual.ok_or(ErrorCode::InsufficientFunds)?, ..payer };
    // Checked for a hold as well: one that could never be settled is refused at once.
    let payee = payee.map(|balance| credit(balance, amount)).transpose()?;
    if is_hold {
        // Cannot exceed the limit: actual and frozen together are as before.
        return Ok((Balance { frozen: payer.frozen + amount, ..payer }, None));
    }
    Ok((payer, payee))
}

/// Credits a balance. Actual and frozen together stay below the limit, so that a hold can always be released.
pub(crate) fn credit(balance: Balance, amount: i128) -> Result<Balance, ErrorCode> {
    let total = balance.actual.checked_add(balance.frozen).and_then(|sum| sum.checked_add(amount));
    total.filter(|total| *total < LIMIT).ok_or(ErrorCode::AmountOutOfRange)?;
    Ok(Balance { actual: balance.actual + amount, held: true, ..balance })
}

fn replay(movement: &Movement, recorded: &Transaction) -> Outcome {
    if recorded.request_hash != movement.identity.request_hash {
        return Outcome::refused(ErrorCode::IdentityReused);
    }
    Outcome { replayed: true, answer: answer(recorded) }
}

/// The answer to the request that opened a transaction, however its hold was resolved since.
fn answer(transaction: &Transaction) -> Answer {
    let transaction_id = transaction.id;
    match transaction.refusal {
        None => Answer::Opened { transaction_id, status: transaction.opened },
        Some(code) => Answer::Refused { code, transaction_id: Some(transaction_id) },
    }
}
