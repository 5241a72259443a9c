//! The command line: one match, one way to report a failure, one table of exit codes.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod cli;

use std::process::ExitCode;
use std::thread;

use clap::Parser;
use tokio::runtime::Builder;

use florin_service::cli::failure::one_line;
use florin_service::cli::output::note;
use florin_trial::{bench, demo, dev};

use cli::{Cli, Command};

/// The exit code of a wrong command line or configuration. It is clap's own.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            note(&format!("error: {}", one_line(&error)));
            if error.is::<florin_service::config::Error>() { USAGE.into() } else { ExitCode::FAILURE }
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = Builder::new_multi_thread().worker_threads(worker_threads()).enable_all().build()?;
    runtime.block_on(async {
        match command {
            // These two answer by their exit code as well.
            Command::Verify(args) => return cli::verify::run(args).await,
            Command::Status(args) => return cli::status::run(args).await,
            Command::Serve(args) => cli::serve::run(args).await,
            Command::Dev(args) => dev::run(args).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Bench(args) => bench::run(args).await,
            Command::Echo(args) => bench::echo::run(args).await,
            Command::Migrate(args) => cli::migrate::run(args).await,
            Command::Wallet(args) => cli::wallet::run(args).await,
            Command::Ticker(args) => cli::ticker::run(args).await,
            Command::Key(args) => cli::key::run(args).await,
            Command::Schema(args) => cli::schema::run(&args),
            Command::Dead(args) => cli::dead::run(args).await,
            Command::Config(args) => cli::config::run(args),
            Command::Completions(args) => cli::completions::run(&args),
            Command::Man(args) => cli::man::run(&args),
        }?;
        Ok(ExitCode::SUCCESS)
    })
}

/// One fewer than there are cores: the AMQP library has threads of its own, and those that wake each other
/// all the time cost more than they bring (docs/performance.md).
fn worker_threads() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}
