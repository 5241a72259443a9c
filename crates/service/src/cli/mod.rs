//! What every command shares: `args` has the flags of the settings, `values` reads the values of flags,
//! `output` prints,
//! `failure` words errors, `signals` waits for the end.

mod args;
pub mod failure;
pub mod output;
pub mod signals;
pub mod values;

pub use args::{BrokerArgs, CommonArgs, DatabaseArgs, StoreArgs, flag, no_broker, no_database, open_store};
