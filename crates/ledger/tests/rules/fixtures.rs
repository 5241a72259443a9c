//! A small world to try the rules in, and short words for its requests.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use florin_ledger::{
    Answer, Balance, BalanceQuery, Change, Command, Conflict, ErrorCode, Group, HistoryQuery, LIMIT,
    Movement, Operation, Outcome, Pending, Repeated, Resolve, Scale, State, Status, Ticker, Tickers,
    WalletId, apply,
};
use uuid::Uuid;

pub(crate) use crate::codes::codes_of;
use crate::request::{identity, sealed};

/// The postings that are there from the start are older than this.
pub(crate) const START: u64 = 1_000_000;

/// So many seconds after the start.
pub(crate) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(START + seconds)
}

pub(crate) fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

pub(crate) fn usd() -> Ticker {
    Ticker { id: 1, name: "USD".into(), scale: Scale::new(2).unwrap() }
}

pub(crate) fn eur() -> Ticker {
    Ticker { id: 2, name: "EUR".into(), scale: Scale::new(0).unwrap() }
}

/// A ledger that lives in memory. Wallet 1 holds 10.00 USD, wallet 2 nothing, wallet 3 as much as it can, wallet 4
/// five dollars less; there is no wallet 99.
#[derive(Clone)]
pub(crate) struct Book {
    pub(crate) state: State,
    /// The clock.
    pub(crate) now: SystemTime,
    /// What the last list of commands changed.
    pub(crate) changes: Vec<Change>,
    /// What the last list of commands asked for again.
    pub(crate) repeated: Vec<Repeated>,
}

impl Book {
    pub(crate) fn new() -> Self {
        let balance = |version, actual| {
            let created_at = SystemTime::UNIX_EPOCH + Duration::from_secs(START / 2);
            BTreeMap::from([(usd().id, Balance { version, actual, frozen: 0, held: true, created_at })])
        };
        let wallets = [
            (1, balance(7, 1000)),
            (2, BTreeMap::new()),
            (3, balance(4, LIMIT - 1)),
            (4, balance(1, LIMIT - 501)),
        ];
        let tickers: Tickers = [usd(), eur()].into_iter().collect();
        let state = State { tickers: tickers.into(), wallets: wallets.into(), ..State::default() };
        Self { state, now: at(0), changes: Vec::new(), repeated: Vec::new() }
    }

    pub(crate) fn groups(&mut self, groups: &[Group]) -> Result<Vec<Outcome>, Conflict> {
        let applied = apply(&mut self.state, self.now, groups)?;
        (self.changes, self.repeated) = (applied.changes, applied.repeated);
        Ok(applied.outcomes)
    }

    /// Each for itself, in one list.
    pub(crate) fn each(&mut self, commands: &[Command]) -> Vec<Outcome> {
        let groups: Vec<Group> = commands.iter().cloned().map(Group::One).collect();
        self.groups(&groups).unwrap()
    }

    pub(crate) fn one(&mut self, command: &Command) -> Outcome {
        self.each(std::slice::from_ref(command)).remove(0)
    }

    /// All or none.
    pub(crate) fn whole(&mut self, commands: &[Command]) -> Vec<Outcome> {
        self.groups(&[Group::AllOrNone(commands.to_vec())]).unwrap()
    }

    pub(crate) fn balance(&self, wallet_id: WalletId) -> Balance {
        self.state.wallets[&wallet_id].get(&usd().id).copied().unwrap_or_default()
    }

    /// What a wallet has in cents: actual and frozen.
    pub(crate) fn cents(&self, wallet_id: WalletId) -> (i128, i128) {
        let balance = self.balance(wallet_id);
        (balance.actual, balance.frozen)
    }

    /// The postings of the last list: wallet, part, and both balances after it.
    pub(crate) fn postings(&self) -> Vec<(WalletId, i16, i128, i128)> {
        let postings = self.changes.iter().flat_map(Change::postings);
        postings.map(|one| (one.wallet_id, one.leg, one.after.actual, one.after.frozen)).collect()
    }
}

/// How each opener is asked for, with a payee that only a transfer has.
pub(crate) type Opener = fn(u128, (WalletId, WalletId), &str, &str) -> Command;

pub(crate) const OPENERS: [(Operation, Opener); 3] = [
    (Operation::Invoice, |id, (wallet_id, _), ticker, amount| invoice(id, wallet_id, ticker, amount)),
    (Operation::Withdraw, |id, (wallet_id, _), ticker, amount| withdraw(id, wallet_id, ticker, amount)),
    (Operation::Transfer, transfer),
];

/// Who opens transactions here, and who ends them.
pub(crate) const OPENER: &str = "amqp:opener";
pub(crate) const ENDER: &str = "key:ender";

fn movement(number: u128, wallet_id: WalletId, ticker: &str, amount: &str) -> Movement {
    let amount = amount.parse().unwrap();
    let identity = identity(id(number));
    Movement {
        identity,
        wallet_id,
        ticker: ticker.to_owned(),
        amount,
        pending: None,
        metadata: None,
        requested_by: Some(OPENER.into()),
    }
}

pub(crate) fn invoice(id: u128, wallet_id: WalletId, ticker: &str, amount: &str) -> Command {
    sealed(Command::Invoice(movement(id, wallet_id, ticker, amount)))
}

pub(crate) fn withdraw(id: u128, wallet_id: WalletId, ticker: &str, amount: &str) -> Command {
    sealed(Command::Withdraw(movement(id, wallet_id, ticker, amount)))
}

pub(crate) fn transfer(id: u128, wallets: (WalletId, WalletId), ticker: &str, amount: &str) -> Command {
    let movement = movement(id, wallets.0, ticker, amount);
    sealed(Command::Transfer { movement, to_wallet_id: wallets.1 })
}

/// The same, with changes to what is asked for.
pub(crate) fn but(mut command: Command, change: impl FnOnce(&mut Movement)) -> Command {
    match &mut command {
        Command::Invoice(movement) | Command::Withdraw(movement) | Command::Transfer { movement, .. } => {
            change(movement);
        }
        other => panic!("opens nothing: {other:?}"),
    }
    sealed(command)
}

/// The same, but it waits.
pub(crate) fn waits(command: Command) -> Command {
    but(command, |movement| movement.pending = Some(Pending { timeout: None }))
}

/// The same, but it waits for so many seconds.
pub(crate) fn waits_for(command: Command, seconds: u64) -> Command {
    let timeout = Some(Duration::from_secs(seconds));
    but(command, |movement| movement.pending = Some(Pending { timeout }))
}

fn resolve(number: u128, how: Resolve) -> Command {
    Command::Resolve { transaction_id: id(number), how, requested_by: Some(ENDER.into()) }
}

/// The same end, but nobody asks for it.
pub(crate) fn by_nobody(mut command: Command) -> Command {
    match &mut command {
        Command::Resolve { requested_by, .. } => *requested_by = None,
        other => panic!("ends nothing: {other:?}"),
    }
    command
}

pub(crate) fn settle(id: u128) -> Command {
    resolve(id, Resolve::Settle { amount: None })
}

pub(crate) fn settle_part(id: u128, amount: &str) -> Command {
    resolve(id, Resolve::Settle { amount: Some(amount.parse().unwrap()) })
}

pub(crate) fn cancel(id: u128) -> Command {
    resolve(id, Resolve::Cancel)
}

pub(crate) fn expire(id: u128) -> Command {
    resolve(id, Resolve::Expire)
}

pub(crate) fn transaction(number: u128) -> Command {
    Command::Transaction { transaction_id: id(number) }
}

pub(crate) fn balance(wallet_id: WalletId) -> Command {
    Command::Balance(BalanceQuery { wallet_id, ticker: None, at: None })
}

pub(crate) fn query(wallet_id: WalletId) -> HistoryQuery {
    HistoryQuery { wallet_id, ticker: None, status: None, from: None, until: None, before: None, limit: 100 }
}

pub(crate) fn refused(code: ErrorCode) -> Outcome {
    Outcome::refused(code)
}

/// Refused, with a transaction that records it.
pub(crate) fn recorded(number: u128, code: ErrorCode) -> Outcome {
    Outcome::fresh(Answer::Refused { code, transaction_id: Some(id(number)) })
}

pub(crate) fn opened(number: u128, status: Status) -> Outcome {
    Outcome::fresh(Answer::Opened { transaction_id: id(number), status })
}

pub(crate) fn settled(number: u128, amount: &str) -> Outcome {
    let settled = Some(amount.parse().unwrap());
    Outcome::fresh(Answer::Resolved { transaction_id: id(number), settled, error: None })
}

pub(crate) fn released(number: u128, error: ErrorCode) -> Outcome {
    Outcome::fresh(Answer::Resolved { transaction_id: id(number), settled: None, error: Some(error) })
}

/// The same answer, given again.
pub(crate) fn again(outcome: Outcome) -> Outcome {
    Outcome { replayed: true, ..outcome }
}

pub(crate) fn beginning(number: u128) -> Repeated {
    Repeated { transaction_id: id(number), resolved: false }
}

pub(crate) fn resolution(number: u128) -> Repeated {
    Repeated { transaction_id: id(number), resolved: true }
}
