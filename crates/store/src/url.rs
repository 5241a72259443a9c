//! The URL of the database, as libpq knows it: what tokio-postgres can read, and the TLS parameters that it
//! cannot.

use florin_tls::take_parameters;
use serde::{Deserialize, Serialize};

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
        self.url.parse::<tokio_postgres::Config>().is_ok()
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
