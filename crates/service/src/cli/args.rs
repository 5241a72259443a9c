//! The flags that several commands share.

use std::path::PathBuf;

use florin_store::Store;

use crate::config::{self, Config, Flag, Sources};
use crate::telemetry;

/// Where settings come from, and the log: the flags that every command has.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct CommonArgs {
    /// Reads settings from this TOML file [env: FLORIN_CONFIG; default: florin.toml, when there is one].
    #[arg(long = "config", value_name = "FILE")]
    file: Option<PathBuf>,
    /// What is logged: a level, or levels by module, such as `warn,florin=debug`.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// The form of the log: auto, human or json.
    #[arg(long, value_name = "FORM")]
    log_format: Option<String>,
}

/// Where the broker is.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct BrokerArgs {
    /// The address of RabbitMQ: `amqp://user:password@host:5672/vhost`. A password is better kept in
    /// `AMQP_URL`, for other users can see the flags of a process.
    #[arg(long, value_name = "URL")]
    amqp_url: Option<String>,
}

/// Where the database is.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct DatabaseArgs {
    /// The address of PostgreSQL: `postgres://user:password@host:5432/name`. A password is better kept in
    /// `DATABASE_URL`, for other users can see the flags of a process.
    #[arg(long, value_name = "URL")]
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
        flag("--amqp-url", "broker.url", self.amqp_url)
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
    /// The database that the settings name.
    pub fn store(self) -> anyhow::Result<Store> {
        let config = self.common.start(self.database.flags())?;
        Ok(Store::new(&config.database.url(), config.database.pool_size)?)
    }
}

/// A flag as a setting. Its value is checked where all settings are.
pub fn flag(name: &'static str, key: &'static str, text: Option<String>) -> Option<Flag> {
    text.map(|text| Flag { name, key, text })
}
