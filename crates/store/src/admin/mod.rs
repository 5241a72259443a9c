//! What operators and the console do beside the ledger: wallets and tickers, API keys, lists of postings and
//! holds, which ledger it is, the state of the database.

mod catalog;
mod inspect;
mod keys;
mod ledger;
mod status;

pub use keys::NewKey;
pub use ledger::Ledger;
pub use status::DatabaseStatus;
