//! The one table of settings: the key in the file, the variables of the environment, the values allowed.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use florin_amqp::split_urls;
use lapin::uri::AMQPUri;
use toml::Value;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::DatabaseUrl;

/// One setting.
pub(super) struct Setting {
    /// Section and field, as in the file.
    pub(super) key: &'static str,
    /// Its environment variables. The first one that is set counts.
    pub(super) variables: &'static [&'static str],
    /// What it can be.
    pub(super) allowed: Allowed,
}

/// The values that a setting takes.
pub(super) enum Allowed {
    Text,
    Secret,
    Host,
    HostOrSocket,
    IpAddress,
    Number(RangeInclusive<i64>),
    Switch,
    OneOf(&'static [&'static str]),
    File,
    LogFilter,
    /// A list, or a text with commas.
    AmqpUrls,
    PostgresUrl,
    /// A list, or a text with commas.
    Names,
}

use Allowed::{
    AmqpUrls, File, Host, HostOrSocket, IpAddress, LogFilter, Names, Number, OneOf, PostgresUrl, Switch, Text,
};

const SSL_MODES: &[&str] = &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// The longest path that the system accepts.
const MAX_PATH_BYTES: usize = 4095;

/// Nodes of a cluster.
const MAX_URLS: usize = 16;

const PORT: Allowed = Number(1..=65_535);

/// Names without `FLORIN_` are those of the seed and of other tools, which work unchanged.
pub(super) const SETTINGS: &[Setting] = &[
    setting("broker.urls", &["AMQP_URL"], AmqpUrls),
    setting("broker.host", &["BR_HOST"], Host),
    setting("broker.port", &["BR_PORT"], PORT),
    setting("broker.user", &["BR_USER"], Text),
    setting("broker.password", &["BR_PASSWORD"], Allowed::Secret),
    setting("broker.vhost", &["FLORIN_BROKER_VHOST"], Text),
    setting("broker.tls", &["FLORIN_BROKER_TLS"], Switch),
    setting("broker.ca_file", &["FLORIN_BROKER_CA_FILE"], File),
    setting("broker.cert_file", &["FLORIN_BROKER_CERT_FILE"], File),
    setting("broker.key_file", &["FLORIN_BROKER_KEY_FILE"], File),
    setting("broker.queue", &["FLORIN_BROKER_QUEUE"], Text),
    setting("broker.prefetch", &["FLORIN_BROKER_PREFETCH"], Number(1..=65_535)),
    setting("broker.delivery_limit", &["FLORIN_BROKER_DELIVERY_LIMIT"], Number(10..=1_000_000)),
    setting("broker.single_active_consumer", &["FLORIN_BROKER_SINGLE_ACTIVE_CONSUMER"], Switch),
    setting("broker.max_body_bytes", &["FLORIN_BROKER_MAX_BODY_BYTES"], Number(1..=16 * 1024 * 1024)),
    setting(
        "broker.max_batch_body_bytes",
        &["FLORIN_BROKER_MAX_BATCH_BODY_BYTES"],
        Number(1..=16 * 1024 * 1024),
    ),
    setting("broker.trusted_users", &["FLORIN_BROKER_TRUSTED_USERS"], Names),
    setting("broker.require_user_id", &["FLORIN_BROKER_REQUIRE_USER_ID"], Switch),
    setting("broker.reply_to", &["FLORIN_BROKER_REPLY_TO"], OneOf(&["any", "own"])),
    setting("database.url", &["DATABASE_URL"], PostgresUrl),
    setting("database.host", &["DB_HOST"], HostOrSocket),
    setting("database.port", &["DB_PORT"], PORT),
    setting("database.user", &["DB_USER"], Text),
    setting("database.password", &["DB_PASSWORD"], Allowed::Secret),
    setting("database.name", &["DB_NAME"], Text),
    setting("database.ssl_mode", &["SSL_MODE"], OneOf(SSL_MODES)),
    setting("database.ca_file", &["FLORIN_DATABASE_CA_FILE"], File),
    setting("database.cert_file", &["FLORIN_DATABASE_CERT_FILE"], File),
    setting("database.key_file", &["FLORIN_DATABASE_KEY_FILE"], File),
    setting("database.pool_size", &["FLORIN_DATABASE_POOL_SIZE"], Number(1..=1000)),
    setting("database.migrate_on_start", &["FLORIN_DATABASE_MIGRATE_ON_START"], Switch),
    setting("engine.max_batch_commands", &["FLORIN_ENGINE_MAX_BATCH_COMMANDS"], Number(1..=100_000)),
    setting("engine.max_batch_bytes", &["FLORIN_ENGINE_MAX_BATCH_BYTES"], Number(1..=1024 * 1024 * 1024)),
    setting("engine.cached_wallets", &["FLORIN_ENGINE_CACHED_WALLETS"], Number(1..=100_000_000)),
    setting("engine.outage_limit_secs", &["FLORIN_ENGINE_OUTAGE_LIMIT_SECS"], Number(1..=1000)),
    setting("events.enabled", &["FLORIN_EVENTS_ENABLED"], Switch),
    setting("events.park_after_secs", &["FLORIN_EVENTS_PARK_AFTER_SECS"], Number(0..=20)),
    setting("http.host", &["FLORIN_HTTP_HOST"], IpAddress),
    setting("http.port", &["SERVER_PORT"], Number(0..=65_535)),
    setting("http.auth", &["FLORIN_HTTP_AUTH"], Switch),
    setting("http.allowed_hosts", &["FLORIN_HTTP_ALLOWED_HOSTS"], Names),
    setting("http.key_requests_per_second", &["FLORIN_HTTP_KEY_REQUESTS_PER_SECOND"], Number(1..=1_000_000)),
    setting("http.max_in_flight_per_key", &["FLORIN_HTTP_MAX_IN_FLIGHT_PER_KEY"], Number(1..=100_000)),
    setting("http.max_connections", &["FLORIN_HTTP_MAX_CONNECTIONS"], Number(16..=100_000)),
    setting("http.max_requests", &["FLORIN_HTTP_MAX_REQUESTS"], Number(1..=100_000)),
    setting("http.timeout_secs", &["FLORIN_HTTP_TIMEOUT_SECS"], Number(1..=300)),
    setting("http.keep_alive_secs", &["FLORIN_HTTP_KEEP_ALIVE_SECS"], Number(1..=3600)),
    setting("http.drain_secs", &["FLORIN_HTTP_DRAIN_SECS"], Number(0..=300)),
    setting("http.shutdown_secs", &["FLORIN_HTTP_SHUTDOWN_SECS"], Number(1..=600)),
    setting("http.cert_file", &["FLORIN_HTTP_CERT_FILE"], File),
    setting("http.key_file", &["FLORIN_HTTP_KEY_FILE"], File),
    setting("http.client_ca_file", &["FLORIN_HTTP_CLIENT_CA_FILE"], File),
    setting("log.filter", &["RUST_LOG", "LOG_LEVEL"], LogFilter),
    setting("log.format", &["FLORIN_LOG_FORMAT"], OneOf(&["auto", "human", "json"])),
];

const fn setting(key: &'static str, variables: &'static [&'static str], allowed: Allowed) -> Setting {
    Setting { key, variables, allowed }
}

impl Setting {
    /// The setting of this key.
    pub(super) fn of_key(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }
}

impl Allowed {
    /// The value of a text from the environment or a flag. A text that cannot be parsed stays a text, and
    /// is refused by [`Allowed::accepts`]. A password of digits stays a text, too.
    pub(super) fn value_of(&self, text: &str) -> Value {
        let value = match self {
            Number(_) => text.parse().ok().map(Value::Integer),
            Switch => text.parse().ok().map(Value::Boolean),
            _ => None,
        };
        value.unwrap_or_else(|| Value::String(text.to_owned()))
    }

    /// The value as it is stored: a text with commas becomes a list, whatever its source.
    pub(super) fn kept(&self, value: Value) -> Value {
        match (self, value) {
            (Names, Value::String(text)) => names(&text),
            (AmqpUrls, Value::String(text)) => {
                Value::Array(split_urls(&text).map(|url| Value::String(url.to_owned())).collect())
            }
            (_, value) => value,
        }
    }

    pub(super) fn accepts(&self, value: &Value) -> bool {
        match (self, value) {
            (Number(range), Value::Integer(number)) => range.contains(number),
            (Switch, Value::Boolean(_)) => true,
            (Names, Value::Array(names)) => names.iter().all(is_name),
            (AmqpUrls, Value::Array(urls)) => {
                urls.len() <= MAX_URLS && urls.iter().all(|url| url.as_str().is_some_and(is_amqp_url))
            }
            (_, Value::String(text)) => self.accepts_text(text),
            _ => false,
        }
    }

    fn accepts_text(&self, text: &str) -> bool {
        match self {
            Number(_) | Switch | Names | AmqpUrls => false,
            Allowed::Secret => true,
            Text => !text.is_empty() && text.len() <= 255,
            Host => is_host(text),
            HostOrSocket => is_host(text) || text.starts_with('/'),
            IpAddress => text.parse::<IpAddr>().is_ok(),
            OneOf(words) => words.contains(&text),
            File => !text.is_empty() && text.len() <= MAX_PATH_BYTES && !text.contains('\0'),
            LogFilter => is_log_filter(text),
            PostgresUrl => is_postgres_url(text),
        }
    }

    /// The unknown parameter of a database URL.
    pub(super) fn unknown_parameter(&self, value: &Value) -> Option<String> {
        let (PostgresUrl, Value::String(url)) = (self, value) else { return None };
        DatabaseUrl::parse(url).ok()?.unknown_parameter().map(str::to_owned)
    }

    /// Whether the value must not be shown, not even when it is wrong.
    pub(super) const fn is_secret(&self) -> bool {
        matches!(self, Allowed::Secret | AmqpUrls | PostgresUrl)
    }
}

/// The names in a text with commas.
fn names(text: &str) -> Value {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    Value::Array(names.map(|name| Value::String(name.to_owned())).collect())
}

fn is_name(value: &Value) -> bool {
    value.as_str().is_some_and(|name| !name.is_empty() && name.len() <= 255)
}

/// A name or an IPv4 address. The AMQP client takes an IPv6 address for `localhost`, so none is let through.
fn is_host(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || ['.', '-', '_'].contains(&c))
}

/// A single word that is no level (`LOG_LEVEL=warning`) would name a module and switch all others off.
fn is_log_filter(text: &str) -> bool {
    let words = text.split(',').map(str::trim);
    let meant =
        words.filter(|word| !word.contains(['=', '['])).all(|word| word.parse::<LevelFilter>().is_ok());
    meant && EnvFilter::builder().parse(text).is_ok()
}

fn is_amqp_url(text: &str) -> bool {
    text.parse::<AMQPUri>().is_ok() && !text.contains('[')
}

fn is_postgres_url(text: &str) -> bool {
    let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
    is_url && DatabaseUrl::parse(text).is_ok_and(|parts| parts.is_readable())
}

/// Ends the sentence "it must be".
impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Text => f.write_str("a text of 1 to 255 bytes"),
            Allowed::Secret => f.write_str("a text"),
            Host => f.write_str("a host name or an IPv4 address"),
            HostOrSocket => f.write_str("a host name, an IPv4 address or the folder of a Unix socket"),
            IpAddress => f.write_str("an IP address, such as 127.0.0.1, or 0.0.0.0 for every interface"),
            Number(range) => write!(f, "a whole number from {} to {}", range.start(), range.end()),
            Switch => f.write_str("true or false"),
            Names => f.write_str("a list of names of 1 to 255 bytes, or a text of them with commas"),
            OneOf(words) => f.write_str(&words.join(" or ")),
            File => write!(f, "the path of a file, of 1 to {MAX_PATH_BYTES} bytes"),
            LogFilter => f.write_str(
                "off, error, warn, info, debug or trace, or levels by module, such as warn,florin=debug",
            ),
            AmqpUrls => f.write_str(
                "a URL such as amqp://user:password@host:5672/vhost, or amqps:// for TLS, with a host name or an \
                 IPv4 address; or up to 16 of them, as a list or a text with commas",
            ),
            PostgresUrl => f.write_str(
                "a URL such as postgres://user:password@host:5432/name; sslmode can be disable, allow, prefer, \
                 require, verify-ca or verify-full",
            ),
        }
    }
}
