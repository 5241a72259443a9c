//! The URL of the database, as libpq knows it: what tokio-postgres can read, and the TLS parameters that it
//! cannot.

use std::error::Error as _;

use florin_tls::take_parameters;
use serde::{Deserialize, Serialize};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// PostgreSQL's own.
const DEFAULT_PORT: u16 = 5432;

/// The TLS parameters of libpq in a URL.
pub const POSTGRES_PARAMETERS: [&str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];

/// A URL of the database, split into what tokio-postgres can read and what it cannot.
#[derive(Debug)]
pub struct DatabaseUrl {
    /// What tokio-postgres can read.
    pub url: String,
    /// `prefer` if the URL has none.
    pub ssl_mode: SslMode,
    /// The files of the CA, of our certificate, and of its key.
    pub files: [Option<String>; 3],
}

/// The URL has an `sslmode` that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("sslmode is {0:?}; it must be disable, allow, prefer, require, verify-ca or verify-full")]
pub struct UnknownSslMode(String);

impl DatabaseUrl {
    /// Takes the TLS parameters out of a URL.
    ///
    /// # Errors
    ///
    /// When libpq has no such `sslmode`.
    pub fn parse(url: &str) -> Result<Self, UnknownSslMode> {
        let (url, [mode, ca, cert, key]) = take_parameters(url, POSTGRES_PARAMETERS);
        let ssl_mode = match mode {
            Some(mode) => SslMode::of_name(&mode).ok_or(UnknownSslMode(mode))?,
            None => SslMode::Prefer,
        };
        Ok(Self { url, ssl_mode, files: [ca, cert, key] })
    }

    /// Whether the rest of the URL can be read.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.url.parse::<Config>().is_ok()
    }

    /// The parameter of the URL that the client library does not know, if that is what is wrong with it. It
    /// is named only where it cannot be a part of a password: behind the last `@`.
    #[must_use]
    pub fn unknown_parameter(&self) -> Option<&str> {
        let (_, rest) = self.url.rsplit_once('@').unwrap_or(("", &self.url));
        let (_, parameters) = rest.split_once('?')?;
        let refused = self.url.parse::<Config>().err()?;
        let cause = refused.source()?.to_string();
        let mut names = parameters.split('&').filter_map(|parameter| Some(parameter.split_once('=')?.0));
        names.find(|name| cause.contains(&format!("option `{name}`")))
    }

    /// Host and port, or the folder of a Unix socket, for messages: it has no password. Empty if the URL
    /// cannot be read.
    #[must_use]
    pub fn address(&self) -> String {
        let config: Config = self.url.parse().unwrap_or_default();
        let ports = config.get_ports();
        let addresses = config.get_hosts().iter().enumerate().map(|(index, host)| match host {
            Host::Tcp(name) => {
                // A single port counts for all hosts.
                let port = ports.get(index).or(ports.first()).copied().unwrap_or(DEFAULT_PORT);
                format!("{name}:{port}")
            }
            Host::Unix(folder) => folder.display().to_string(),
        });
        addresses.collect::<Vec<_>>().join(", ")
    }

    /// The name of the database, which is that of the user unless it is given. Empty if the URL cannot be
    /// read.
    #[must_use]
    pub fn database_name(&self) -> String {
        let config: Config = self.url.parse().unwrap_or_default();
        config.get_dbname().or(config.get_user()).unwrap_or_default().to_owned()
    }
}

/// Whether the connection to the database is encrypted, as in libpq. Ignored for Unix sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never.
    Disable,
    /// Only if the server refuses plain connections. No certificate is checked.
    Allow,
    /// If the server can; otherwise plain. No certificate is checked.
    Prefer,
    /// Always. With a `ca_file` the certificate is checked as for `verify-ca`, otherwise not at all.
    Require,
    /// Always, and the certificate must be signed by a CA of `ca_file`, for any name.
    VerifyCa,
    /// Always, and the certificate must be signed by a trusted CA, for the host that was connected to.
    VerifyFull,
}

impl SslMode {
    const ALL: [Self; 6] =
        [Self::Disable, Self::Allow, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull];

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// The name in libpq.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}
