//! The commands: what can be given, and what is done with it. Each command is one module.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod dead;
pub(crate) mod key;
pub(crate) mod migrate;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod ticker;
pub(crate) mod verify;
pub(crate) mod wallet;

use clap::{Parser, Subcommand};
use florin_trial::{bench, demo, dev};

const EXAMPLES: &str = "\
Examples:
  florin dev                             servers, demo wallets and the service: to try things out
  florin serve --config florin.toml      the service, on your own RabbitMQ and PostgreSQL
  DATABASE_URL=postgres://... florin wallet create 1-9

Settings: flags win over the environment, over .env, over florin.toml, over the defaults.
`florin config` shows what is in effect; florin.example.toml describes every setting.

Exit codes: 0 done, 1 failed, 2 the command line or the configuration is wrong,
130 stopped at once by a second signal.";

/// Wallet transactions through RabbitMQ, applied exactly once in PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "florin", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What florin can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the service until SIGTERM or Ctrl-C.
    Serve(serve::Args),
    /// Runs the service with a private PostgreSQL and RabbitMQ, to try things out.
    Dev(dev::Args),
    /// Sends 30 invoices, 40 withdrawals and 50 balance requests at once, and shows the answers.
    Demo(demo::Args),
    /// Measures throughput and latency under load.
    Bench(bench::Args),
    /// Answers requests at once, without a database, for `florin bench`.
    #[command(hide = true)]
    Echo(bench::echo::Args),
    /// Brings the schema of the database up to date.
    Migrate(migrate::Args),
    /// Audits the whole database, also while the service runs.
    Verify(verify::Args),
    /// Creates and lists wallets.
    Wallet(wallet::Args),
    /// Adds and lists tickers (currencies).
    Ticker(ticker::Args),
    /// Creates, lists and revokes API keys.
    Key(key::Args),
    /// Prints what travels: the AsyncAPI document, JSON Schemas, the table of errors.
    Schema(schema::Args),
    /// Looks after requests that could not be worked on: the dead letters.
    Dead(dead::Args),
    /// Shows the settings in effect, with secrets hidden.
    Config(config::Args),
    /// Prints the completions of a shell.
    Completions(completions::Args),
}

/// An error with its causes. Those that only repeat what was said already are left out, as are those of the
/// database, whose errors tell them themselves.
pub(crate) fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: caused by {text}");
        }
        if cause.is::<florin_store::Error>() {
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// The long help of every command renders and, where there is anything to say, has examples.
    #[test]
    fn every_command_has_help() {
        for command in Cli::command().get_subcommands_mut() {
            let name = command.get_name().to_owned();
            assert!(command.get_about().is_some(), "{name}");
            assert!(command.render_long_help().to_string().contains("Usage:"), "{name}");
        }
    }

    #[test]
    fn causes_are_named_once() {
        let error = anyhow::anyhow!("connection refused").context("no connection: connection refused");
        let error = error.context("cannot list the wallets");
        assert_eq!(
            in_one_line(&error),
            "cannot list the wallets: caused by no connection: connection refused"
        );
    }
}
