//! The command line: one match, one way to report a failure, one table of exit codes.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod cli;

use std::os::unix::process::CommandExt;
use std::process::{self, ExitCode};
use std::{env, thread};

use clap::Parser;
use tokio::runtime::Builder;

use florin_service::cli::failure::one_line;
use florin_service::cli::output::note;
use florin_trial::{bench, demo, dev};

use cli::{Cli, Command};

/// The exit code of a wrong command line or configuration. It is clap's own.
const USAGE: u8 = 2;

/// Stack of every thread but the first, in bytes: address space, used only when it is needed.
const DEEP_STACK: u64 = 64 * 1024 * 1024;
/// Where Rust reads the size of a stack from.
const STACK_VARIABLE: &str = "RUST_MIN_STACK";
/// Set for the second start of this program, so that there is no third.
const RESTARTED: &str = "FLORIN_STACKS_ARE_DEEP";

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.command.reads_messages() {
        deepen_stacks();
    }
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            note(&format!("error: {}", one_line(&error)));
            if error.is::<florin_service::config::Error>() { USAGE.into() } else { ExitCode::FAILURE }
        }
    }
}

/// Starts this program again with deeper stacks. lapin reads (and drops) the headers of a message
/// recursively, on a thread of its own whose size only this variable sets: with the usual size, any client
/// could end the process by a message with deeply nested headers.
fn deepen_stacks() {
    let present = env::var(STACK_VARIABLE).ok().and_then(|bytes| bytes.parse::<u64>().ok());
    if present.is_some_and(|bytes| bytes >= DEEP_STACK) || env::var_os(RESTARTED).is_some() {
        return;
    }
    let again = env::current_exe().map(|program| {
        let mut command = process::Command::new(program);
        command.args(env::args_os().skip(1)).env(STACK_VARIABLE, DEEP_STACK.to_string());
        // Returns only when it fails.
        command.env(RESTARTED, "1").exec()
    });
    let (Ok(error) | Err(error)) = again;
    note(&format!("warning: cannot enlarge the stacks, so a hostile message can end this process: {error}"));
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
