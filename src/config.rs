//! What can be set, what it is when nobody sets it, and the addresses that follow from it.
//!
//! The fields below say what each setting means; `settings` says what it is called in the environment and
//! which values it takes; `load` reads the flags, the environment, the `.env` file and the TOML file, in
//! this order of precedence. `florin.example.toml` shows every setting with its default.

mod load;
mod secret;
mod settings;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU32, NonZeroUsize};

use lapin::uri::{AMQPAuthority, AMQPUri, AMQPUserInfo};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

pub use load::{Error, Flag, Sources};
pub use secret::{Secret, SecretUrl};

const REMEMBERED_WALLETS: NonZeroUsize = NonZeroUsize::new(100_000).expect("not zero");
const KEY_REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(1000).expect("not zero");

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
    /// What is told of changes.
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
    /// The whole address as a URL. Replaces the five fields below it.
    pub url: Option<SecretUrl>,
    /// Host name or IPv4 address.
    pub host: String,
    /// TCP port, 1 to 65535.
    pub port: u16,
    /// User name.
    pub user: String,
    /// Password.
    pub password: Secret,
    /// Virtual host.
    pub vhost: String,
    /// The work queue. The dead-letter queue and the exchanges have fixed names.
    pub queue: String,
    /// Requests that are taken from the queue before the first of them is answered, 1 to 65535. Bounds memory
    /// together with `max_body_bytes`.
    pub prefetch: u16,
    /// Failed deliveries of one request before it goes to the dead-letter queue, 10 to 1,000,000: more than
    /// there are instances, for each may fail once over a neighbour.
    pub delivery_limit: u32,
    /// Whether one instance works and the others stand by. The queue keeps what it was declared with.
    pub single_active_consumer: bool,
    /// Longest body of a request that is read, in bytes, 1 to 16 MiB. Longer ones are answered with 413.
    pub max_body_bytes: usize,
    /// The same for a batch of operations.
    pub max_batch_body_bytes: usize,
    /// Users of the broker who may ask for others, besides the one that the service connects as.
    pub trusted_users: Vec<String>,
    /// Whether every request must have the property `user_id`. One without goes to the dead-letter queue.
    pub require_user_id: bool,
    /// Which reply addresses are taken. A request with another goes to the dead-letter queue.
    pub reply_to: ReplyTo,
}

/// PostgreSQL: where it is and how it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// The whole address as a URL. Replaces the six fields below it.
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
    /// Whether the connection is encrypted. This version speaks no TLS, so all three mean the same.
    pub ssl_mode: SslMode,
    /// Most connections to the database, 1 to 1000.
    pub pool_size: usize,
    /// Whether `serve` brings the schema up to date before it starts.
    pub migrate_on_start: bool,
}

/// How requests become batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// Most commands that are committed together, 1 to 100,000.
    pub max_batch_commands: usize,
    /// Most bytes of request bodies that are committed together, 1 byte to 1 GiB.
    pub max_batch_bytes: usize,
    /// Wallets whose balances are remembered between batches, 1 to 100,000,000.
    pub remembered_wallets: NonZeroUsize,
}

/// What is told of changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// Whether every change of a transaction is published to the exchange `florin.events`.
    pub enabled: bool,
}

/// The HTTP side: the API, metrics and health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// IP address to listen on. The default is this machine alone: whoever is to be let in from elsewhere needs a
    /// key, and an address that can be reached.
    pub host: IpAddr,
    /// TCP port to listen on, 0 to 65535. With 0 the system picks a free one and the log names it.
    pub port: u16,
    /// Whether API keys are asked for. Without, everybody who can reach the port may do everything.
    pub auth: bool,
    /// How many requests a key may send in a second, and at once, 1 to 1,000,000. Others get 429.
    pub key_requests_per_second: NonZeroU32,
    /// How many requests are worked on at a time, 1 to 100,000. Others get 503.
    pub max_requests: usize,
    /// How many seconds an answer of the service is waited for, 1 to 300. After that it is 504.
    pub timeout_secs: u64,
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

/// Which reply addresses are taken. Those of the service's own queues never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplyTo {
    /// All others.
    Any,
    /// Only what cannot be another client's queue: direct reply-to, queues named by the broker, those of the Rust
    /// client, and `reply.<user_id>.<name>`.
    Own,
}

/// Whether the connection to the database is encrypted, in the words of libpq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SslMode {
    /// Never.
    Disable,
    /// Only when the server insists.
    Allow,
    /// When the server can.
    Prefer,
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
            url: None,
            host: "127.0.0.1".into(),
            port: 5672,
            user: "guest".into(),
            password: Secret::new("guest"),
            vhost: "/".into(),
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
            pool_size: 8,
            migrate_on_start: true,
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            max_batch_commands: 1000,
            max_batch_bytes: 8 * 1024 * 1024,
            remembered_wallets: REMEMBERED_WALLETS,
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::LOCALHOST.into(),
            port: 9000,
            auth: true,
            key_requests_per_second: KEY_REQUESTS_PER_SECOND,
            max_requests: 4096,
            timeout_secs: 10,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Auto }
    }
}

impl Broker {
    /// The address of the broker, with its password.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.url {
            Some(url) => with_default_vhost(url.expose()),
            None => self.uri().to_string(),
        }
    }

    /// The user that the service is for the broker.
    #[must_use]
    pub fn own_user(&self) -> String {
        // What cannot be read cannot be connected to either.
        self.url().parse().map(|uri: AMQPUri| uri.authority.userinfo.username).unwrap_or_default()
    }

    fn uri(&self) -> AMQPUri {
        let userinfo =
            AMQPUserInfo { username: self.user.clone(), password: self.password.expose().to_owned() };
        AMQPUri {
            authority: AMQPAuthority { userinfo, host: self.host.clone(), port: self.port },
            vhost: self.vhost.clone(),
            ..AMQPUri::default()
        }
    }
}

/// `amqp://host/` names the virtual host with the empty name, which hardly exists and nobody means.
fn with_default_vhost(url: &str) -> String {
    match url.parse::<AMQPUri>() {
        Ok(uri) if uri.vhost.is_empty() => AMQPUri { vhost: "/".into(), ..uri }.to_string(),
        _ => url.to_owned(),
    }
}

impl Database {
    /// The address of the database, with its password.
    #[must_use]
    pub fn url(&self) -> String {
        if let Some(url) = &self.url {
            return url.expose().to_owned();
        }
        let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let password =
            self.password.as_ref().map(|secret| format!(":{}", encoded(secret.expose()))).unwrap_or_default();
        // The folder of a Unix socket has slashes; a host name is left readable.
        let host =
            if self.host.starts_with('/') { encoded(&self.host).to_string() } else { self.host.clone() };
        format!(
            "postgres://{}{password}@{host}:{}/{}?sslmode=disable",
            encoded(&self.user),
            self.port,
            encoded(&self.name),
        )
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
