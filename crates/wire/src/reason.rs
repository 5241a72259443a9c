//! Why a request was refused, for people.
//!
//! A reason depends on the request alone, so that a replayed answer is the same to the byte. That is why
//! `insufficient_funds` does not say how much was available: inside an atomic batch that was rolled back, it
//! is not the balance of the posting that records the refusal.

use florin_ledger::{Command, Decimal, ErrorCode, Resolve, Transaction, WalletId};
use uuid::Uuid;

use crate::refusal::{Refusal, shown};

/// What a reason may mention, as far as the request has it.
struct Subject<'a> {
    wallet_id: WalletId,
    to_wallet_id: Option<WalletId>,
    ticker: &'a str,
    amount: Option<Decimal>,
    transaction_id: Option<Uuid>,
}

/// The reason for a refused command.
pub(crate) fn of_command(code: ErrorCode, command: &Command) -> String {
    let mut wallet_ids = command.wallet_ids();
    let movement = command.movement();
    let settled = match command {
        Command::Resolve { how: Resolve::Settle { amount }, .. } => *amount,
        _ => None,
    };
    let subject = Subject {
        wallet_id: wallet_ids.next().unwrap_or_default(),
        to_wallet_id: wallet_ids.next(),
        ticker: command.ticker().unwrap_or_default(),
        amount: movement.map(|movement| movement.amount).or(settled),
        transaction_id: command.named_transaction(),
    };
    subject.reason(code)
}

/// The reason for a transaction in status Error.
pub(crate) fn of_transaction(code: ErrorCode, transaction: &Transaction) -> String {
    let subject = Subject {
        wallet_id: transaction.wallet_id,
        to_wallet_id: transaction.to_wallet_id,
        ticker: &transaction.ticker.name,
        amount: Some(Decimal::from_minor(transaction.amount, transaction.ticker.scale)),
        transaction_id: Some(transaction.id),
    };
    subject.reason(code)
}

impl Subject<'_> {
    fn reason(&self, code: ErrorCode) -> String {
        let Self { wallet_id, ticker, .. } = self;
        let id = self.transaction_id.unwrap_or_default();
        match code {
            ErrorCode::AmountNotPositive => "the amount must be greater than 0".to_owned(),
            ErrorCode::SameWallet => "a transfer needs two different wallets".to_owned(),
            ErrorCode::UnknownTransaction => Refusal::unknown_transaction(id).reason,
            ErrorCode::UnknownWallet => match self.to_wallet_id {
                Some(to_wallet_id) => format!("there is no wallet {wallet_id} or no wallet {to_wallet_id}"),
                None => format!("there is no wallet {wallet_id}"),
            },
            ErrorCode::UnknownTicker => {
                format!("there is no ticker {:?}; names are exact, such as \"USD\"", shown(ticker))
            }
            ErrorCode::AmountTooPrecise => {
                let ticker = if ticker.is_empty() { "the ticker" } else { ticker };
                format!("{} has more decimal places than {ticker} allows", self.amount())
            }
            ErrorCode::AmountOutOfRange => {
                let sum = format!("{} {ticker}", self.amount());
                format!("{} would exceed what a balance can hold (10^36 minor units)", sum.trim_end())
            }
            ErrorCode::IdentityReused => "this message_id belongs to a different request".to_owned(),
            ErrorCode::AlreadyFinal => format!("transaction {id} has already ended; `transaction` says how"),
            ErrorCode::NotExpired => format!("transaction {id} has not expired yet"),
            ErrorCode::ExceedsPending => format!("{} is more than transaction {id} holds", self.amount()),
            ErrorCode::InsufficientFunds => {
                format!("wallet {wallet_id} has less than {} {ticker} available", self.amount())
            }
            ErrorCode::BatchFailed => "another operation of its atomic batch was refused".to_owned(),
            ErrorCode::Cancelled => "the hold was cancelled".to_owned(),
            ErrorCode::Expired => "the hold expired".to_owned(),
            ErrorCode::TooLarge | ErrorCode::UnknownOperation | ErrorCode::Malformed => code.to_string(),
        }
    }

    fn amount(&self) -> String {
        self.amount.map_or_else(|| "the amount".to_owned(), |amount| amount.to_string())
    }
}
