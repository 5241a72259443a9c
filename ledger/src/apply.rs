//! The rules: what each command does to the balances.
//!
//! Checks run in the order of [`ErrorCode`]. Those that need no balance leave nothing behind when they
//! refuse; those that depend on the balance leave a posting in status Error, so that a retry gets the same
//! answer however the balance changes in between.

use std::time::SystemTime;

use crate::{
    Answer, BalanceLine, Command, Decimal, ErrorCode, Identity, LIMIT, Movement, Operation, Outcome, Posting,
    Recorded, State, Status, Tail, Ticker, WalletId,
};

/// What a list of commands leads to.
#[derive(Debug, Default)]
pub struct Applied {
    /// One outcome per command, in their order.
    pub outcomes: Vec<Outcome>,
    /// The postings to append, in the order of their decision.
    pub postings: Vec<Posting>,
}

/// Applies commands in their order, each on the state that the ones before it left.
///
/// A refused command changes nothing for its neighbours. `state` must hold all that the commands touch, and
/// holds the new tails and transactions afterwards.
pub fn apply<'a>(
    state: &mut State,
    now: SystemTime,
    commands: impl IntoIterator<Item = &'a Command>,
) -> Applied {
    let mut applied = Applied::default();
    for command in commands {
        let outcome = match command {
            Command::Invoice(movement) | Command::Withdraw(movement) => {
                record(state, now, command.operation(), movement, &mut applied.postings)
            }
            Command::Balance { wallet_id } => read_balance(state, *wallet_id),
        };
        applied.outcomes.push(outcome);
    }
    applied
}

/// Decides on a command that moves money, and records the decision as a posting.
fn record(
    state: &mut State,
    now: SystemTime,
    operation: Operation,
    movement: &Movement,
    postings: &mut Vec<Posting>,
) -> Outcome {
    let (ticker, amount) = match check(state, movement) {
        Ok(checked) => checked,
        Err(code) => return Outcome::refused(code),
    };
    let Identity { transaction_id, request_hash, redelivered, .. } = movement.identity;
    if let Some(recorded) = state.transactions.get(&transaction_id) {
        return replay(movement, recorded);
    }
    let wallet = state.wallets.get_mut(&movement.wallet_id).expect("checked to exist");
    let tail = wallet.entry(ticker.id).or_default();
    let decision = if operation == Operation::Invoice { credit(*tail, amount) } else { debit(*tail, amount) };
    let (status, error) = match decision {
        Ok(actual) => {
            *tail = Tail { actual, held: true, ..*tail };
            (Status::Success, None)
        }
        Err(code) => (Status::Error, Some(code)),
    };
    tail.version += 1;
    postings.push(Posting {
        wallet_id: movement.wallet_id,
        ticker,
        after: *tail,
        transaction_id,
        part: 0,
        operation,
        status,
        error,
        amount,
        request_hash,
        redelivered,
        created_at: now,
    });
    let recorded = Recorded { request_hash, status, error, created_at: now, redelivered };
    state.transactions.insert(transaction_id, recorded);
    Outcome::fresh(answer(movement, &recorded))
}

/// The checks that no balance can change: they end without a transaction.
fn check(state: &State, movement: &Movement) -> Result<(Ticker, i128), ErrorCode> {
    if !movement.amount.is_positive() {
        return Err(ErrorCode::AmountNotPositive);
    }
    if !state.wallets.contains_key(&movement.wallet_id) {
        return Err(ErrorCode::UnknownWallet);
    }
    let ticker = state.tickers.get(&movement.ticker).ok_or(ErrorCode::UnknownTicker)?;
    Ok((ticker, movement.amount.to_minor(ticker.scale)?))
}

fn credit(tail: Tail, amount: i128) -> Result<i128, ErrorCode> {
    let actual = tail.actual.checked_add(amount).filter(|actual| *actual < LIMIT);
    actual.ok_or(ErrorCode::AmountOutOfRange)
}

fn debit(tail: Tail, amount: i128) -> Result<i128, ErrorCode> {
    let actual = tail.actual.checked_sub(amount).filter(|actual| *actual >= 0);
    actual.ok_or(ErrorCode::InsufficientFunds)
}

fn replay(movement: &Movement, recorded: &Recorded) -> Outcome {
    if recorded.request_hash != movement.identity.request_hash {
        return Outcome::refused(ErrorCode::IdentityReused);
    }
    Outcome { replayed: true, answer: answer(movement, recorded) }
}

fn answer(movement: &Movement, recorded: &Recorded) -> Answer {
    let transaction_id = movement.identity.transaction_id;
    match recorded.error {
        None => Answer::Transaction { transaction_id, status: recorded.status },
        Some(code) => Answer::Refused { code, transaction_id: Some(transaction_id) },
    }
}

fn read_balance(state: &State, wallet_id: WalletId) -> Outcome {
    let Some(wallet) = state.wallets.get(&wallet_id) else {
        return Outcome::refused(ErrorCode::UnknownWallet);
    };
    let lines = state.tickers.iter().filter_map(|(name, ticker)| {
        let tail = wallet.get(&ticker.id).filter(|tail| tail.held)?;
        Some(BalanceLine {
            ticker: name.to_owned(),
            actual: Decimal::from_minor(tail.actual, ticker.scale),
            frozen: Decimal::from_minor(tail.frozen, ticker.scale),
        })
    });
    Outcome::fresh(Answer::Balance(lines.collect()))
}
