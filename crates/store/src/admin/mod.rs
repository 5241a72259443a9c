//! What operators and the console do beside the ledger: wallets and tickers, API keys, lists of postings and
//! holds.

mod catalog;
mod inspect;
mod keys;

pub use catalog::{TickerRow, WalletBalance, WalletRow};
pub use inspect::{PendingRow, PendingSummary, PostingRow};
pub use keys::NewKey;
