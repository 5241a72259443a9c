//! Connections to PostgreSQL, plain or TLS, with the semantics of libpq.
//!
//! tokio-postgres knows three of libpq's `sslmode`s and no certificates. The others are built here from these:
//! which connections are attempted in turn, and how the certificate is checked. A session is handed out when
//! its settings are made.

use std::path::PathBuf;
use std::time::Duration;

use deadpool_postgres::Connect;
use florin_tls::{Check, Client as Files, Names};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode as Attempt};
use tokio_postgres::error::SqlState;
use tokio_postgres::{CancelToken, Client, Config, Error as PostgresError};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::hosts::Hosts;
use crate::url::{DatabaseUrl, SslMode};
use crate::{Error, session};

/// The names of the settings, for error messages.
pub(crate) const NAMES: Names = Names {
    ca: "database.ca_file (in a URL: sslrootcert)",
    cert: "database.cert_file (in a URL: sslcert)",
    key: "database.key_file (in a URL: sslkey)",
    host: "database.host (or database.url)",
};

/// How long one host may take until a session is ready.
pub(crate) const HOST_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Connector {
    mode: SslMode,
    tls: MakeRustlsConnect,
    hosts: Hosts,
}

impl Connector {
    /// Reads the URL and the files that it names.
    pub(crate) fn new(database_url: DatabaseUrl) -> Result<(Config, Self), Error> {
        let DatabaseUrl { url, ssl_mode, files } = database_url;
        let config: Config = url.parse().map_err(Error::Url)?;
        let [ca_file, cert_file, key_file] = files.map(|file| file.map(PathBuf::from));
        let files = Files { names: &NAMES, ca_file, cert_file, key_file };
        // The server offers no TLS on a Unix socket, and nobody can listen in on it.
        let only_sockets = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        let mode = if only_sockets { SslMode::Disable } else { ssl_mode };
        let tls = MakeRustlsConnect::new(files.config(check(ssl_mode, &files))?);
        let hosts = Hosts::of(&config);
        Ok((config, Self { mode, tls, hosts }))
    }

    /// Applies what was set in the configuration since.
    pub(crate) fn with(self, config: &Config) -> Self {
        Self { hosts: Hosts::of(config), ..self }
    }

    /// How long a session may take, if all hosts but the last take their time.
    pub(crate) fn timeout(&self) -> Duration {
        HOST_TIMEOUT * u32::try_from(self.hosts.count()).unwrap_or(1)
    }

    /// Cancels the statement that a session is executing.
    pub(crate) async fn cancel(&self, token: &CancelToken) -> Result<(), PostgresError> {
        token.cancel_query(self.tls.clone()).await
    }

    async fn attempt(&self, config: &Config, attempt: Attempt) -> Result<Connected, PostgresError> {
        let mut config = config.clone();
        config.ssl_mode(attempt);
        let (client, connection) = config.connect(self.tls.clone()).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the database ended");
            }
        });
        session::prepare(&client).await?;
        Ok((client, driver))
    }

    /// A session on this host, by whichever attempt succeeds.
    async fn session(&self, config: &Config) -> Result<Connected, PostgresError> {
        let (first, second) = attempts(self.mode);
        match (self.attempt(config, first).await, second) {
            (Err(error), Some(second)) if is_about_encryption(&error) => self.attempt(config, second).await,
            (result, _) => result,
        }
    }

    /// A session on the first host that takes it. The last one may take what is left of the caller's time, and
    /// its error is that of all.
    pub(crate) async fn any_session(&self) -> Result<Connected, PostgresError> {
        let mut hosts = self.hosts.in_order();
        let (mut index, mut config) = hosts.next().expect("a URL has at least one host");
        for (next_index, next_config) in hosts {
            match timeout(HOST_TIMEOUT, self.session(config)).await {
                Ok(Ok(connected)) => {
                    self.hosts.took_session(index);
                    return Ok(connected);
                }
                Ok(Err(error)) => tracing::debug!(%error, host = index, "a database host takes no session"),
                Err(_) => tracing::debug!(host = index, "a database host does not answer"),
            }
            (index, config) = (next_index, next_config);
        }
        let connected = self.session(config).await?;
        self.hosts.took_session(index);
        Ok(connected)
    }
}

pub(crate) type Connected = (Client, JoinHandle<()>);

impl Connect for Connector {
    /// The configuration is the one that this was made with.
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<Connected, PostgresError>> {
        self.any_session().boxed()
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// Only the two modes that ask for no protection have a second attempt: no other mode falls back.
const fn attempts(mode: SslMode) -> (Attempt, Option<Attempt>) {
    match mode {
        SslMode::Disable => (Attempt::Disable, None),
        SslMode::Allow => (Attempt::Disable, Some(Attempt::Require)),
        SslMode::Prefer => (Attempt::Prefer, Some(Attempt::Disable)),
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => (Attempt::Require, None),
    }
}

/// As in libpq, `require` with a CA file checks the certificate.
const fn check(mode: SslMode, files: &Files) -> Check {
    match mode {
        SslMode::VerifyFull => Check::Full,
        SslMode::VerifyCa => Check::Chain,
        SslMode::Require if files.ca_file.is_some() => Check::Chain,
        SslMode::Disable | SslMode::Allow | SslMode::Prefer | SslMode::Require => Check::Nothing,
    }
}

/// The server refuses a plain or an encrypted connection, or the handshake failed.
fn is_about_encryption(error: &PostgresError) -> bool {
    let refused = error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
    refused || florin_tls::explain(error, &NAMES).is_some()
}
