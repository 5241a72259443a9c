//! The flags that several commands share.

use std::error::Error;
use std::path::PathBuf;

use anyhow::Context;
use clap::ValueHint;
use clap::builder::PossibleValuesParser;
use florin_store::{self as store, Store};

use super::failure::unreachable;
use crate::config::{self, Config, Flag, Sources};
use crate::telemetry;

/// Where settings come from, and the log: the flags that every command has.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct CommonArgs {
    /// Reads settings from this TOML file [env: FLORIN_CONFIG] [default: florin.toml, if it exists].
    #[arg(long = "config", value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Log level, or levels by module, such as `warn,florin=debug`.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Log format; auto is human on a terminal and json otherwise.
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(["auto", "human", "json"]))]
    log_format: Option<String>,
}

/// Where the broker is.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct BrokerArgs {
    /// Address of RabbitMQ: `amqp://user:password@host:5672/vhost`, or one for each node of a cluster, with commas
    /// [env: AMQP_URL]. Prefer the environment for passwords: other users of the machine can see the flags of a
    /// process.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    amqp_url: Option<String>,
}

/// Where the database is.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct DatabaseArgs {
    /// Address of PostgreSQL: `postgres://user:password@host:5432/name` [env: DATABASE_URL]. Prefer the
    /// environment for passwords: other users of the machine can see the flags of a process.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    database_url: Option<String>,
}

impl CommonArgs {
    /// Loads the settings, these flags and `more` first, and starts the log by them.
    pub fn start(self, more: impl IntoIterator<Item = Flag>) -> anyhow::Result<Config> {
        let config = self.load(more)?;
        telemetry::init(&config.log)?;
        Ok(config)
    }

    /// Loads the settings, these flags and `more` first.
    pub fn load(self, more: impl IntoIterator<Item = Flag>) -> Result<Config, config::Error> {
        let log = flag("--log", "log.filter", self.log);
        let mut flags: Vec<Flag> = log.into_iter().chain(more).collect();
        flags.extend(flag("--log-format", "log.format", self.log_format));
        Config::load(&Sources::of_process(flags, self.file.as_deref())?)
    }
}

impl BrokerArgs {
    /// What was given.
    pub fn flags(self) -> Option<Flag> {
        flag("--amqp-url", "broker.urls", self.amqp_url)
    }
}

impl DatabaseArgs {
    /// What was given.
    pub fn flags(self) -> Option<Flag> {
        flag("--database-url", "database.url", self.database_url)
    }
}

/// The flags of a command that uses the database and nothing else.
#[derive(Debug, clap::Args)]
pub struct StoreArgs {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl StoreArgs {
    /// Opens the database that the settings name. `failed` says what cannot be done without it.
    pub async fn open(self, failed: &'static str) -> anyhow::Result<Store> {
        let config = self.common.start(self.database.flags())?;
        open_store(&config).await.context(failed)
    }

    /// Opens it only for reading: a standby will do.
    pub async fn open_reader(self, failed: &'static str) -> anyhow::Result<Store> {
        let config = self.common.start(self.database.flags())?;
        let store = Store::reader(&config.database.url(), config.database.pool_size)?;
        match store.ping().await {
            Ok(()) | Err(store::Error::ReadOnly) => Ok(store),
            Err(error) => Err(no_database(&config, &error)).context(failed),
        }
    }
}

/// Opens the database, and lets it answer once: so every command says in the same words that it cannot.
pub async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let store = Store::new(&config.database.url(), config.database.pool_size)?;
    match store.ping().await {
        Ok(()) => Ok(store),
        Err(error) => Err(no_database(config, &error)),
    }
}

/// The error of a command that cannot reach the database.
#[must_use]
pub fn no_database(config: &Config, error: &store::Error) -> anyhow::Error {
    unreachable("PostgreSQL", &config.database.address(), "DATABASE_URL or --database-url", error)
}

/// The error of a command that cannot reach the broker.
#[must_use]
pub fn no_broker(config: &Config, error: &(dyn Error + 'static)) -> anyhow::Error {
    // It says where and as whom already.
    if let Some(error @ florin_broker::Error::Connect(_)) = error.downcast_ref() {
        return anyhow::anyhow!("{error}. Set AMQP_URL or --amqp-url.");
    }
    unreachable("RabbitMQ", &config.broker.address(), "AMQP_URL or --amqp-url", error)
}

/// A flag as a setting. Its value is checked where all settings are.
pub fn flag(name: &'static str, key: &'static str, text: Option<String>) -> Option<Flag> {
    text.map(|text| Flag { name, key, text })
}
