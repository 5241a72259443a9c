//! What every command shares: the flags of the settings, how results are printed, signals.

mod args;
pub mod signals;

use std::io::{self, Write};

pub use args::{BrokerArgs, CommonArgs, DatabaseArgs, StoreArgs, flag};

/// Writes a result. Unlike `println!` it does not panic when the reader is gone.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}
