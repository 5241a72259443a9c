//! What can go wrong between us and PostgreSQL, classified once, by SQLSTATE and by the keys' names.

use super::connect::NAMES;
use crate::url::UnknownSslMode;
use tokio_postgres::error::{Severity, SqlState};

/// The unique keys that decide who came first.
const CONTROL_KEYS: [&str; 3] = ["postings_chain", "postings_transaction", "holds_pkey"];

/// A failure of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else wrote the next version of a chain, or the same transaction, first. Nothing was written.
    #[error("a key is taken")]
    Conflict,
    /// The keys stayed taken for many rounds. Nothing was written.
    #[error("other instances kept writing to the same wallets")]
    Contended,
    /// The database refuses this data, now and always. Nothing was written.
    #[error("the database refuses the data: {}", describe(.0))]
    Unacceptable(#[source] tokio_postgres::Error),
    /// The database said that it cannot do this now. Nothing was written.
    #[error("the database cannot do this now: {}", describe(.0))]
    Unavailable(#[source] tokio_postgres::Error),
    /// The connection broke: what was under way may have been written or not.
    #[error("the connection to the database broke: {}", describe(.0))]
    Broken(#[source] tokio_postgres::Error),
    /// No answer came in time: what was under way may have been written or not.
    #[error("the database did not answer within {timeout_secs} s")]
    TimedOut {
        /// How long was waited.
        timeout_secs: u64,
    },
    /// No connection could be had. Nothing was written.
    #[error("no connection to the database: {}", describe_pool(.0))]
    NoConnection(#[source] deadpool_postgres::PoolError),
    /// The database took the statement and did not store all of it. It is never taken for done.
    #[error(
        "the database stored {stored} of {given} postings: a trigger or a rule that is not Florin's changes them"
    )]
    NotStored {
        /// Postings that it says it stored.
        stored: u64,
        /// Postings that it was given.
        given: usize,
    },
    /// The URL of the database cannot be read.
    #[error("the URL of the database cannot be read: {0}")]
    Url(#[source] tokio_postgres::Error),
    /// The URL asks for a mode of encryption that does not exist.
    #[error("the URL of the database cannot be read: {0}")]
    SslMode(#[from] UnknownSslMode),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] florin_tls::Error),
    /// The connection pool cannot be made.
    #[error("the connection pool cannot be made: {0}")]
    Pool(#[from] deadpool_postgres::BuildError),
    /// A migration failed.
    #[error("the database cannot be migrated: {0}")]
    Migration(#[from] refinery::Error),
    /// A ticker of this name exists with another scale, which never changes.
    #[error("ticker {name} exists with {scale} decimal places, and these never change")]
    TickerExists {
        /// The ticker.
        name: String,
        /// Its decimal places.
        scale: i16,
    },
    /// There is an API key of this name already.
    #[error("there is a key named {name}: names are never used again, for transactions refer to them")]
    KeyExists {
        /// Its name.
        name: String,
    },
    /// A value in the tables is none that this version writes.
    #[error("the tables hold a value of {column} that this version does not know: {value}")]
    UnknownValue {
        /// Where it was found.
        column: &'static str,
        /// What was found.
        value: String,
    },
}

impl Error {
    /// Whether what was under way may have been committed all the same.
    #[must_use]
    pub const fn in_doubt(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::TimedOut { .. } | Self::NotStored { .. })
    }

    pub(super) fn unknown_value(column: &'static str, value: impl Into<String>) -> Self {
        Self::UnknownValue { column, value: value.into() }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(database) = error.as_db_error() else { return Self::Broken(error) };
        let state = database.code();
        let class = state.code().get(..2).unwrap_or_default();
        let ends_session = matches!(database.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
        match (state, class) {
            (&SqlState::UNIQUE_VIOLATION, _)
                if database.constraint().is_some_and(|name| CONTROL_KEYS.contains(&name)) =>
            {
                Self::Conflict
            }
            // The loser of a serialization conflict or a deadlock was rolled back: like a taken key.
            (&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED, _) => Self::Conflict,
            // The server, or a pooler before it, ends the session: whether the commit came before, it does not
            // say. Nor does a cancelled statement.
            (&SqlState::QUERY_CANCELED | &SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN, _) | (_, "08") => {
                Self::Broken(error)
            }
            _ if ends_session => Self::Broken(error),
            // Data exceptions and violated constraints.
            (_, "22" | "23") => Self::Unacceptable(error),
            _ => Self::Unavailable(error),
        }
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        Self::NoConnection(error)
    }
}

/// The client library's own text says "db error" only.
fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(database) => format!("{} (SQLSTATE {})", database.message(), database.code().code()),
        None => error.to_string(),
    }
}

fn describe_pool(error: &deadpool_postgres::PoolError) -> String {
    match error {
        deadpool_postgres::PoolError::Backend(backend) => {
            use std::error::Error as _;
            if let Some(text) = florin_tls::explain(backend, &NAMES) {
                return text;
            }
            match backend.source() {
                Some(cause) if backend.as_db_error().is_none() => format!("{backend}: {cause}"),
                _ => describe(backend),
            }
        }
        other => other.to_string(),
    }
}
