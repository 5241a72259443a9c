//! The model: a list of transactions, and a list of events for each wallet. A balance is the sum of what the
//! transactions do to it; nothing is carried over, and there are no batches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use florin_ledger::{
    Answer, BalanceLine, BalanceQuery, Command, Cursor, Decimal, Entry, ErrorCode, Group, HistoryQuery,
    LIMIT, Movement, Operation, Outcome, Page, Repeated, Resolution, Resolve, Status, Ticker, TickerId,
    Tickers, Transaction, WalletId,
};
use uuid::Uuid;

/// Actual and frozen.
pub(crate) type Balance = (i128, i128);

/// A ledger as naive as can be.
#[derive(Clone)]
pub(crate) struct Model {
    tickers: Arc<Tickers>,
    wallets: Vec<WalletId>,
    /// In the order in which they were opened.
    transactions: Vec<Transaction>,
    events: BTreeMap<WalletId, Vec<Entry>>,
    /// The changes that were asked for again.
    pub(crate) repeated: Vec<Repeated>,
    now: SystemTime,
}

impl Model {
    pub(crate) fn new(tickers: Arc<Tickers>, wallets: Vec<WalletId>) -> Self {
        Self {
            tickers,
            wallets,
            transactions: Vec::new(),
            events: BTreeMap::new(),
            repeated: Vec::new(),
            now: SystemTime::UNIX_EPOCH,
        }
    }

    /// The answers to the commands of a group that is decided now.
    pub(crate) fn run(&mut self, now: SystemTime, group: &Group) -> Vec<Outcome> {
        self.now = now;
        let before = self.clone();
        let outcomes: Vec<Outcome> = group.commands().iter().map(|command| self.answer(command)).collect();
        match group {
            Group::AllOrNone(commands) if outcomes.iter().any(|outcome| outcome.refusal().is_some()) => {
                *self = before;
                let opened: Vec<Uuid> = commands.iter().filter_map(opens).collect();
                let pairs = commands.iter().zip(&outcomes);
                pairs.map(|(command, outcome)| self.fail(command, outcome, &opened)).collect()
            }
            _ => outcomes,
        }
    }

    /// Every balance of every wallet.
    pub(crate) fn balances(&self) -> BTreeMap<(WalletId, TickerId), Balance> {
        let wallets = self.wallets.iter();
        let pairs = wallets.flat_map(|wallet| self.tickers.iter().map(move |ticker| (*wallet, ticker.id)));
        pairs.map(|(wallet_id, ticker)| ((wallet_id, ticker), self.balance(wallet_id, ticker))).collect()
    }

    fn balance(&self, wallet_id: WalletId, ticker: TickerId) -> Balance {
        let of_ticker = self.transactions.iter().filter(|transaction| transaction.ticker.id == ticker);
        let effects = of_ticker.map(|transaction| effect(transaction, wallet_id));
        effects.fold((0, 0), |sum, effect| (sum.0 + effect.0, sum.1 + effect.1))
    }

    fn find(&self, id: Uuid) -> Option<&Transaction> {
        self.transactions.iter().find(|transaction| transaction.id == id)
    }

    fn answer(&mut self, command: &Command) -> Outcome {
        match command {
            Command::Invoice(movement) | Command::Withdraw(movement) => {
                self.open(command.operation(), movement, None, None)
            }
            Command::Transfer { movement, to_wallet_id } => {
                self.open(Operation::Transfer, movement, Some(*to_wallet_id), None)
            }
            Command::Resolve { transaction_id, how, requested_by } => {
                self.resolve(*transaction_id, *how, requested_by.as_ref())
            }
            Command::Balance(query) => self.read_balance(query),
            Command::Transaction { transaction_id } => match self.find(*transaction_id) {
                Some(transaction) => Outcome::fresh(Answer::Transaction(Box::new(transaction.clone()))),
                None => Outcome::refused(ErrorCode::UnknownTransaction),
            },
            Command::History(query) => self.read_history(query),
        }
    }

    /// What a command of a group comes to that was undone.
    fn fail(&mut self, command: &Command, outcome: &Outcome, opened: &[Uuid]) -> Outcome {
        let code = outcome.refusal().unwrap_or(ErrorCode::BatchFailed);
        match command {
            Command::Invoice(movement) | Command::Withdraw(movement) => {
                self.open(command.operation(), movement, None, Some(code))
            }
            Command::Transfer { movement, to_wallet_id } => {
                self.open(Operation::Transfer, movement, Some(*to_wallet_id), Some(code))
            }
            Command::Resolve { transaction_id, how, requested_by } => {
                let found = self.find(*transaction_id);
                let stands = found.is_some_and(|found| found.opened != Status::Error);
                if found.is_some_and(|found| found.resolution.is_some()) {
                    self.resolve(*transaction_id, *how, requested_by.as_ref())
                } else if opened.contains(transaction_id) && !stands {
                    Outcome::refused(ErrorCode::BatchFailed)
                } else {
                    Outcome::refused(code)
                }
            }
            _ => Outcome::refused(code),
        }
    }

    fn open(
        &mut self,
        operation: Operation,
        movement: &Movement,
        to: Option<WalletId>,
        verdict: Option<ErrorCode>,
    ) -> Outcome {
        let (ticker, amount) = match self.check(movement, to) {
            Ok(checked) => checked,
            Err(code) => return Outcome::refused(code),
        };
        let identity = movement.identity;
        if let Some(found) = self.find(identity.transaction_id) {
            if found.request_hash != identity.request_hash {
                return Outcome::refused(ErrorCode::IdentityReused);
            }
            let outcome = Outcome { replayed: true, answer: as_opened(found) };
            self.repeated.push(Repeated { transaction_id: identity.transaction_id, resolved: false });
            return outcome;
        }
        let from = movement.wallet_id;
        let refusal = verdict.or_else(|| self.unaffordable(operation, from, to, ticker.id, amount));
        let opened = match (refusal, movement.pending) {
            (Some(_), _) => Status::Error,
            (None, Some(_)) => Status::Created,
            (None, None) => Status::Success,
        };
        let other = to.filter(|_| opened == Status::Success);
        let created_at = self.next_time(ticker.id, from, other);
        let timeout = movement.pending.and_then(|pending| pending.timeout);
        let transaction = Transaction {
            id: identity.transaction_id,
            operation,
            wallet_id: from,
            to_wallet_id: to,
            ticker,
            amount,
            opened,
            refusal,
            created_at,
            expires_at: timeout.filter(|_| opened == Status::Created).map(|timeout| created_at + timeout),
            metadata: movement.metadata.clone(),
            requested_by: movement.requested_by.clone(),
            request_hash: identity.request_hash,
            redelivered: identity.redelivered,
            resolution: None,
        };
        let outcome = Outcome::fresh(as_opened(&transaction));
        self.transactions.push(transaction.clone());
        self.note(&transaction, created_at, other);
        outcome
    }

    fn check(&self, movement: &Movement, to: Option<WalletId>) -> Result<(Ticker, i128), ErrorCode> {
        if !movement.amount.is_positive() {
            return Err(ErrorCode::AmountNotPositive);
        }
        if to == Some(movement.wallet_id) {
            return Err(ErrorCode::SameWallet);
        }
        if !self.wallets.contains(&movement.wallet_id) || to.is_some_and(|to| !self.wallets.contains(&to)) {
            return Err(ErrorCode::UnknownWallet);
        }
        let Some(ticker) = self.tickers.get(&movement.ticker) else { return Err(ErrorCode::UnknownTicker) };
        Ok((ticker.clone(), movement.amount.to_minor(ticker.scale)?))
    }

    fn unaffordable(
        &self,
        operation: Operation,
        from: WalletId,
        to: Option<WalletId>,
        ticker: TickerId,
        amount: i128,
    ) -> Option<ErrorCode> {
        let payee = if operation == Operation::Invoice { Some(from) } else { to };
        if operation != Operation::Invoice && self.balance(from, ticker).0 < amount {
            return Some(ErrorCode::InsufficientFunds);
        }
        let full = payee.is_some_and(|payee| {
            let (actual, frozen) = self.balance(payee, ticker);
            actual + frozen + amount >= LIMIT
        });
        full.then_some(ErrorCode::AmountOutOfRange)
    }

    fn resolve(&mut self, id: Uuid, how: Resolve, by: Option<&Arc<str>>) -> Outcome {
        if let Resolve::Settle { amount: Some(amount) } = how
            && !amount.is_positive()
        {
            return Outcome::refused(ErrorCode::AmountNotPositive);
        }
        let Some(found) = self.find(id).cloned() else {
            return Outcome::refused(ErrorCode::UnknownTransaction);
        };
        let groups = match how {
            Resolve::Settle { amount: Some(amount) } => amount.to_minor(found.ticker.scale),
            _ => Ok(found.amount),
        };
        let amount = match groups {
            Ok(amount) => amount,
            Err(code) => return Outcome::refused(code),
        };
        let error = match how {
            Resolve::Settle { .. } => None,
            Resolve::Cancel => Some(ErrorCode::Cancelled),
            Resolve::Expire => Some(ErrorCode::Expired),
        };
        if found.opened != Status::Created {
            return Outcome::refused(ErrorCode::AlreadyFinal);
        }
        if let Some(resolution) = &found.resolution {
            self.repeated.push(Repeated { transaction_id: id, resolved: true });
            let same = (resolution.error, resolution.amount) == (error, amount);
            return match same {
                true => Outcome { replayed: true, answer: as_ended(&found) },
                false => Outcome::refused(ErrorCode::AlreadyFinal),
            };
        }
        let overdue = found.expires_at.is_some_and(|expires_at| expires_at <= self.now);
        match how {
            Resolve::Settle { .. } | Resolve::Cancel if overdue => {
                self.finish(id, Some(ErrorCode::Expired), found.amount, None);
                Outcome::refused(ErrorCode::AlreadyFinal)
            }
            Resolve::Expire if !overdue => Outcome::refused(ErrorCode::NotExpired),
            Resolve::Settle { .. } if amount > found.amount => Outcome::refused(ErrorCode::ExceedsPending),
            Resolve::Settle { .. } => {
                let (actual, frozen) =
                    found.to_wallet_id.map_or((0, 0), |to| self.balance(to, found.ticker.id));
                if actual + frozen + amount >= LIMIT {
                    return Outcome::refused(ErrorCode::AmountOutOfRange);
                }
                self.finish(id, None, amount, by)
            }
            Resolve::Cancel | Resolve::Expire => self.finish(id, error, amount, by),
        }
    }

    fn finish(&mut self, id: Uuid, error: Option<ErrorCode>, amount: i128, by: Option<&Arc<str>>) -> Outcome {
        let place = self.transactions.iter().position(|transaction| transaction.id == id).unwrap();
        let mut transaction = self.transactions[place].clone();
        let other = transaction.to_wallet_id.filter(|_| error.is_none());
        let at = self.next_time(transaction.ticker.id, transaction.wallet_id, other);
        transaction.resolution = Some(Resolution { error, amount, at, requested_by: by.cloned() });
        self.transactions[place] = transaction.clone();
        self.note(&transaction, at, other);
        Outcome::fresh(as_ended(&transaction))
    }

    /// Now, or the time of the last event that this one comes after.
    fn next_time(&self, ticker: TickerId, wallet_id: WalletId, other: Option<WalletId>) -> SystemTime {
        let earlier = [Some(wallet_id), other].into_iter().flatten().flat_map(|wallet_id| {
            self.events.get(&wallet_id).into_iter().flatten().map(|event| event.cursor)
        });
        let times = earlier.filter(|cursor| cursor.ticker_id == ticker).map(|cursor| cursor.created_at);
        times.chain([self.now]).max().unwrap()
    }

    /// Writes an event for the wallet, and for the other one if it is touched.
    fn note(&mut self, transaction: &Transaction, at: SystemTime, other: Option<WalletId>) {
        let ticker = &transaction.ticker;
        for wallet_id in [Some(transaction.wallet_id), other].into_iter().flatten() {
            let (actual, frozen) = self.balance(wallet_id, ticker.id);
            let events = self.events.entry(wallet_id).or_default();
            let earlier = events.iter().filter(|event| event.cursor.ticker_id == ticker.id).count();
            let version = i64::try_from(earlier + 1).unwrap();
            let counterparty = transaction.to_wallet_id.map(|to| match to == wallet_id {
                true => transaction.wallet_id,
                false => to,
            });
            let amount =
                transaction.resolution.as_ref().map_or(transaction.amount, |resolution| resolution.amount);
            events.push(Entry {
                cursor: Cursor { created_at: at, ticker_id: ticker.id, version },
                ticker: Arc::clone(&ticker.name),
                transaction_id: transaction.id,
                operation: transaction.operation,
                status: transaction.status(),
                error: transaction.error(),
                amount: Decimal::from_minor(amount, ticker.scale),
                actual: Decimal::from_minor(actual, ticker.scale),
                frozen: Decimal::from_minor(frozen, ticker.scale),
                counterparty_wallet_id: counterparty,
            });
        }
    }

    fn unknown(&self, wallet_id: WalletId, ticker: Option<&str>) -> Option<ErrorCode> {
        if !self.wallets.contains(&wallet_id) {
            return Some(ErrorCode::UnknownWallet);
        }
        ticker.filter(|name| self.tickers.get(name).is_none()).map(|_| ErrorCode::UnknownTicker)
    }

    /// The last event of each ticker, if any one until then was more than a refusal.
    fn read_balance(&self, query: &BalanceQuery) -> Outcome {
        if let Some(code) = self.unknown(query.wallet_id, query.ticker.as_deref()) {
            return Outcome::refused(code);
        }
        let mut lines: BTreeMap<&str, (bool, &Entry)> = BTreeMap::new();
        for event in self.events.get(&query.wallet_id).into_iter().flatten() {
            let asked = query.ticker.as_deref().is_none_or(|ticker| ticker == &*event.ticker);
            if asked && query.at.is_none_or(|at| event.cursor.created_at <= at) {
                let ended = matches!(event.error, Some(ErrorCode::Cancelled | ErrorCode::Expired));
                let held =
                    event.error.is_none() || ended || lines.get(&*event.ticker).is_some_and(|line| line.0);
                lines.insert(&event.ticker, (held, event));
            }
        }
        let lines = lines.into_values().filter(|(held, _)| *held).map(|(_, event)| BalanceLine {
            ticker: event.ticker.to_string(),
            actual: event.actual,
            frozen: event.frozen,
        });
        Outcome::fresh(Answer::Balance(lines.collect()))
    }

    fn read_history(&self, query: &HistoryQuery) -> Outcome {
        if let Some(code) = self.unknown(query.wallet_id, query.ticker.as_deref()) {
            return Outcome::refused(code);
        }
        let mut entries: Vec<Entry> = self.events.get(&query.wallet_id).cloned().unwrap_or_default();
        entries.retain(|event| query.ticker.as_deref().is_none_or(|ticker| ticker == &*event.ticker));
        entries.retain(|event| query.status.is_none_or(|status| status == event.status));
        entries.retain(|event| query.from.is_none_or(|from| from <= event.cursor.created_at));
        entries.retain(|event| query.until.is_none_or(|until| until > event.cursor.created_at));
        entries.retain(|event| query.before.is_none_or(|before| before > event.cursor));
        entries.sort_by_key(|event| event.cursor);
        entries.reverse();
        let more = entries.len() > usize::from(query.limit);
        entries.truncate(query.limit.into());
        let next = entries.last().filter(|_| more).map(|last| last.cursor);
        Outcome::fresh(Answer::History(Page { entries, next }))
    }
}

fn opens(command: &Command) -> Option<Uuid> {
    command.movement().map(|movement| movement.identity.transaction_id)
}

fn as_opened(transaction: &Transaction) -> Answer {
    let transaction_id = transaction.id;
    match transaction.refusal {
        Some(code) => Answer::Refused { code, transaction_id: Some(transaction_id) },
        None => Answer::Opened { transaction_id, status: transaction.opened },
    }
}

fn as_ended(transaction: &Transaction) -> Answer {
    let resolution = transaction.resolution.as_ref().unwrap();
    let settled = Decimal::from_minor(resolution.amount, transaction.ticker.scale);
    let settled = if resolution.error.is_none() { Some(settled) } else { None };
    Answer::Resolved { transaction_id: transaction.id, settled, error: resolution.error }
}

/// What a transaction does to the balance of a wallet, as it is now.
fn effect(transaction: &Transaction, wallet_id: WalletId) -> Balance {
    let amount = transaction.amount;
    let (moved, waits) = match (transaction.opened, &transaction.resolution) {
        (Status::Error, _) => (0, 0),
        (Status::Success, _) => (amount, 0),
        (Status::Created, None) => (0, amount),
        (Status::Created, Some(Resolution { error: None, amount: settled, .. })) => (*settled, 0),
        (Status::Created, Some(_)) => (0, 0),
    };
    let payer = transaction.wallet_id == wallet_id;
    match transaction.operation {
        Operation::Invoice if payer => (moved, waits),
        _ if payer => (-moved - waits, waits),
        _ if transaction.to_wallet_id == Some(wallet_id) => (moved, 0),
        _ => (0, 0),
    }
}
