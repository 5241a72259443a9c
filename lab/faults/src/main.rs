//! `florin-faults`: see the library.

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    florin_faults::cli::main(std::env::args_os())
}
