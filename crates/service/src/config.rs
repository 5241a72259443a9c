//! What can be set, what it is when nobody sets it, and the addresses that follow from it.
//!
//! The fields below say what each setting means; `settings` says what it is called in the environment and
//! which values it takes; `addresses` makes URLs of them; `load` reads the flags, the environment, the `.env`
//! file and the TOML file, in this order of precedence. `florin.example.toml` describes every setting with
//! its default, and `reference` makes a page of that.

mod addresses;
mod load;
mod reference;
mod secret;
mod settings;

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use florin_http::Settings as Http;
pub use florin_store::{DatabaseUrl, SslMode, UnknownSslMode};
pub use load::{Error, Flag, Sources};
pub use reference::settings_reference;
pub use secret::{Secret, SecretUrl};

const CACHED_WALLETS: NonZeroUsize = NonZeroUsize::new(100_000).expect("not zero");

/// All settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// RabbitMQ: where it is and how its queue is used.
    pub broker: Broker,
    /// PostgreSQL: where it is and how it is used.
    pub database: Database,
    /// How requests become batches.
    pub engine: Engine,
    /// Events of changes.
    pub events: Events,
    /// The HTTP side: the API, metrics and health.
    pub http: Http,
    /// What is logged and how.
    pub log: Log,
}

/// RabbitMQ: where it is and how its queue is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Broker {
    /// The whole address as a URL (`amqps://` for TLS), or one for each node of a cluster. Replaces the five fields
    /// below it.
    pub urls: Vec<SecretUrl>,
    /// Host name or IPv4 address.
    pub host: String,
    /// TCP port, 1 to 65535. With `tls` it is 5671 unless it is set.
    pub port: u16,
    /// User name.
    pub user: String,
    /// Password.
    pub password: Secret,
    /// Virtual host.
    pub vhost: String,
    /// Whether the connections are encrypted. The broker's certificate is then always checked, with its name.
    pub tls: bool,
    /// PEM file of the certificate authorities to trust; none for those of the system.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client certificate and its chain, if the server asks for one.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the key of that certificate, without a passphrase.
    pub key_file: Option<PathBuf>,
    /// The work queue. The dead-letter queue and the exchanges have fixed names.
    pub queue: String,
    /// Maximum number of unacknowledged requests, 1 to 65535. Bounds memory together with `max_body_bytes`.
    pub prefetch: u16,
    /// Failed deliveries of a request before it is dead-lettered, 10 to 1,000,000: more than there are
    /// instances, for each may fail once because of another message.
    pub delivery_limit: u32,
    /// Whether one instance is active and the others are on standby. A queue keeps what it was declared with.
    pub single_active_consumer: bool,
    /// Maximum size of the body of a request in bytes, 1 to 16 MiB. Longer ones are answered with 413.
    pub max_body_bytes: usize,
    /// The same for a batch of operations.
    pub max_batch_body_bytes: usize,
    /// Users of the broker who may send requests on behalf of others.
    pub trusted_users: Vec<String>,
    /// Whether every request must have the property `user_id`. Requests without it are dead-lettered.
    pub require_user_id: bool,
    /// Which reply addresses are allowed. Requests with others are dead-lettered.
    pub reply_to: ReplyTo,
}

/// PostgreSQL: where it is and how it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// The whole address as a URL. Replaces the five fields below it, and those of TLS as far as it has
    /// `sslmode`, `sslrootcert`, `sslcert` and `sslkey`.
    pub url: Option<SecretUrl>,
    /// Host name, IPv4 address, or the folder of a Unix socket.
    pub host: String,
    /// TCP port, 1 to 65535.
    pub port: u16,
    /// User name.
    pub user: String,
    /// Password; none when the server asks for none.
    pub password: Option<Secret>,
    /// Name of the database.
    pub name: String,
    /// Whether the connections are encrypted, and whether the server's certificate is checked.
    pub ssl_mode: SslMode,
    /// PEM file of the certificate authorities to trust; none for those of the system.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client certificate and its chain, if the server asks for one.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the key of that certificate, without a passphrase.
    pub key_file: Option<PathBuf>,
    /// Maximum number of connections to the database, 1 to 1000.
    pub pool_size: usize,
    /// Whether `serve` brings the schema up to date before it starts.
    pub migrate_on_start: bool,
}

/// How requests become batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// Maximum number of commands to commit together, 1 to 100,000.
    pub max_batch_commands: usize,
    /// Maximum size of the request bodies to commit together, 1 byte to 1 GiB.
    pub max_batch_bytes: usize,
    /// Number of wallets whose balances are cached between batches, 1 to 100,000,000.
    pub cached_wallets: NonZeroUsize,
}

/// Events of changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// Whether every change of a transaction is published to the exchange `florin.events`.
    pub enabled: bool,
    /// How long requests wait for a queue that refuses their events, 0 to 20 seconds, before these are parked.
    pub park_after_secs: u64,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// A level, or levels by module: `info`, `warn,florin=debug`.
    pub filter: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// Which reply addresses are allowed. Those of the service's own queues never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplyTo {
    /// All others.
    Any,
    /// Only what cannot be another client's queue: direct reply-to, queues named by the broker, those of the
    /// Rust client, and `reply.<user_id>.<name>`.
    Own,
}

/// The form of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `human` on a terminal, `json` otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            host: "127.0.0.1".into(),
            port: 5672,
            user: "guest".into(),
            password: Secret::new("guest"),
            vhost: "/".into(),
            tls: false,
            ca_file: None,
            cert_file: None,
            key_file: None,
            queue: "florin.work".into(),
            prefetch: 2000,
            delivery_limit: 20,
            single_active_consumer: true,
            max_body_bytes: 64 * 1024,
            max_batch_body_bytes: 1024 * 1024,
            trusted_users: Vec::new(),
            require_user_id: false,
            reply_to: ReplyTo::Any,
        }
    }
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: None,
            host: "127.0.0.1".into(),
            port: 5432,
            user: "florin".into(),
            password: None,
            name: "florin".into(),
            ssl_mode: SslMode::Prefer,
            ca_file: None,
            cert_file: None,
            key_file: None,
            pool_size: 8,
            migrate_on_start: true,
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self { max_batch_commands: 1000, max_batch_bytes: 8 * 1024 * 1024, cached_wallets: CACHED_WALLETS }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { enabled: true, park_after_secs: 5 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Auto }
    }
}

/// The effective settings as TOML, with secrets hidden.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let toml = toml::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&toml)
    }
}

#[cfg(test)]
mod tests;
