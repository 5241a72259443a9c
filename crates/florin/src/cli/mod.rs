//! The commands, one per module. Those to try Florin are in `florin_trial`, what all of them share in
//! `florin_service::cli`.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod dead;
pub(crate) mod key;
pub(crate) mod man;
pub(crate) mod migrate;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod ticker;
pub(crate) mod verify;
pub(crate) mod wallet;

use clap::{Parser, Subcommand};
use florin_trial::{bench, demo, dev};

const EXAMPLES: &str = "\
Examples:
  florin dev                             to try Florin: with servers and wallets of its own
  florin serve --config florin.toml      the service, on your own RabbitMQ and PostgreSQL
  DATABASE_URL=postgres://... florin wallet create 1-9

Settings come from flags, then the environment, then .env, then florin.toml, then defaults: the
first that has a setting wins. `florin config` shows the settings in effect, and
florin.example.toml describes each.

Listings and reports take --json. `florin COMMAND --help` names the fields.

Exit codes: 0 done, 1 failed, 2 wrong command line or configuration, 3 `florin verify` has
findings, 130 interrupted.";

/// Wallet transactions through RabbitMQ, applied exactly once in PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "florin", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the service until SIGTERM or Ctrl-C.
    Serve(serve::Args),
    /// Runs the service with a private PostgreSQL and RabbitMQ, to try Florin.
    Dev(dev::Args),
    /// Sends 30 invoices, 40 withdrawals and 50 balance requests at once, and shows the answers.
    Demo(demo::Args),
    /// Measures throughput and latency under load.
    Bench(bench::Args),
    /// Answers requests at once, without a database, for `florin bench`.
    #[command(hide = true)]
    Echo(bench::echo::Args),
    /// Shows whether the service can work: broker, database, queues, instances, pending transactions.
    Status(status::Args),
    /// Audits the whole ledger, also while the service runs.
    Verify(verify::Args),
    /// Brings the schema of the database up to date.
    Migrate(migrate::Args),
    /// Creates wallets and lists them with their balances.
    Wallet(wallet::Args),
    /// Adds and lists tickers (currencies).
    Ticker(ticker::Args),
    /// Creates, lists and revokes API keys.
    Key(key::Args),
    /// Lists, shows, requeues and drops dead letters: requests that could not be processed.
    Dead(dead::Args),
    /// Prints the AsyncAPI and OpenAPI documents, JSON Schemas, and the reference in Markdown.
    Schema(schema::Args),
    /// Shows the settings in effect, without secrets.
    Config(config::Args),
    /// Prints a completion script for a shell.
    Completions(completions::Args),
    /// Prints or writes manual pages.
    Man(man::Args),
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::Cli;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help() {
        let mut cli = Cli::command().disable_help_subcommand(true);
        // It checks every command, which a run does only for the one that is run.
        cli.build();
        has_help(&cli);
    }

    fn has_help(command: &Command) {
        let name = command.get_name();
        assert!(command.get_about().is_some(), "{name}");
        // Lines that fit are not broken in odd places.
        let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in notes.lines() {
            assert!(line.chars().count() < 100, "{name}: {line}");
        }
        command.get_subcommands().for_each(has_help);
    }
}
