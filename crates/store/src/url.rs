//! The URL of the database, as libpq writes it: what tokio-postgres reads, and the TLS parameters that it
//! does not know.

use florin_tls::take_parameters;
use serde::{Deserialize, Serialize};

/// What libpq calls the mode of encryption and the files of TLS in a URL.
pub const POSTGRES_PARAMETERS: [&str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];

/// A URL of the database, taken apart into what tokio-postgres reads and what it does not know.
#[derive(Debug)]
pub struct DatabaseUrl {
    /// What tokio-postgres reads.
    pub url: String,
    /// Whether and how the connection is encrypted; `prefer` when the URL does not say.
    pub ssl_mode: SslMode,
    /// The files of those who are trusted, of our certificate, and of its key.
    pub files: [Option<String>; 3],
}

/// The URL has a mode of encryption that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("sslmode is {0:?}; it must be disable, allow, prefer, require, verify-ca or verify-full")]
pub struct UnknownSslMode(String);

impl DatabaseUrl {
    /// Takes the TLS parameters out of a URL.
    ///
    /// # Errors
    ///
    /// When `sslmode` is none that libpq has.
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

/// Whether the connection to the database is encrypted, in the words of libpq. It does not matter for the
/// socket of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never.
    Disable,
    /// Only when the server takes no plain connection. No certificate is checked.
    Allow,
    /// When the server can. No certificate is checked; and a plain connection follows where the encrypted one
    /// fails.
    Prefer,
    /// Always. The certificate is checked as for `verify-ca` when there is a `ca_file`, and not at all
    /// otherwise.
    Require,
    /// Always, with a server whose certificate an authority of `ca_file` signed, for whatever name.
    VerifyCa,
    /// Always, with a server whose certificate somebody trusted signed, for the name that was dialled.
    VerifyFull,
}

impl SslMode {
    const ALL: [Self; 6] =
        [Self::Disable, Self::Allow, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull];

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// The name that libpq has for it.
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
