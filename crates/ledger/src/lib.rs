//! The rules of the ledger: pure, deterministic, exact.
//!
//! [`apply`] takes what is known of the touched wallets ([`State`]), the time and a list of commands, and
//! returns one [`Outcome`] per command and the [`Change`]s to append. Nothing here reads a clock, a database
//! or a network, so the same input always gives the same answer.
//!
//! In reading order: [`Decimal`] (exact text to minor units and back), [`ErrorCode`] (why a request is
//! refused), [`Command`] (what is requested), [`State`] (what is known), [`apply`] (the rules),
//! [`Transaction`] and [`Change`] (what is recorded), [`Outcome`] (what is answered).

#![warn(missing_docs)]

mod amount;
mod apply;
mod command;
mod error_code;
mod history;
mod operation;
mod outcome;
mod read;
mod resolve;
mod state;
mod transaction;
mod view;

pub use amount::{Decimal, LIMIT, ParseDecimalError, Scale, ScaleError};
pub use apply::{Applied, Conflict, Repeated, apply};
pub use command::{
    BalanceQuery, Command, Group, Identity, Movement, OnExisting, Pending, RequestHash, Resolve,
};
pub use error_code::ErrorCode;
pub use history::{Cursor, Entry, HistoryQuery, Page};
pub use operation::Operation;
pub use outcome::{Answer, BalanceLine, Outcome};
pub use state::{Balance, State, Ticker, TickerId, Tickers, Wallet, WalletId};
pub use transaction::{Change, Posting, Resolution, Status, Transaction};
pub use view::{PendingRow, PendingSummary, PostingRow, TickerRow, WalletBalance, WalletRow};
