//! The rules of the ledger: pure, deterministic, exact.
//!
//! [`apply`] takes what is known of the touched wallets ([`State`]), the time and a list of commands, and
//! returns one [`Outcome`] per command and the [`Posting`]s to append. Nothing here reads a clock, a
//! database or a network, so the same input always gives the same answer.
//!
//! In reading order: [`Decimal`] (exact text to minor units and back), [`ErrorCode`] (why a request is
//! refused), [`Command`] (what is asked), [`State`] (what is known), [`apply`] (the rules), [`Outcome`].

mod amount;
mod apply;
mod command;
mod error_code;
mod outcome;
mod state;

pub use amount::{Decimal, LIMIT, ParseDecimalError, Scale, ScaleError};
pub use apply::{Applied, apply};
pub use command::{Command, Identity, Movement, OnExisting, Operation, RequestHash};
pub use error_code::ErrorCode;
pub use outcome::{Answer, BalanceLine, Outcome, Posting, Status};
pub use state::{Recorded, State, Tail, Ticker, TickerId, Tickers, Wallet, WalletId};
