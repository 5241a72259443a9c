//! What operators and the console do beside the ledger: wallets and tickers, API keys, lists of postings and
//! holds, the state of the database.

mod catalog;
mod inspect;
mod keys;
mod status;

pub use keys::NewKey;
pub use status::DatabaseStatus;
