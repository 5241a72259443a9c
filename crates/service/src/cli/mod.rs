//! What all commands share: `args` has the flags of the settings, `values` parses the values of flags,
//! `output` prints, `failure` words errors, `signals` waits for Ctrl-C and SIGTERM.

mod args;
pub mod failure;
pub mod output;
pub mod signals;
pub mod values;

pub use args::{BrokerArgs, CommonArgs, DatabaseArgs, StoreArgs, flag, no_broker, no_database, open_store};
