//! What can go wrong with PostgreSQL, classified once: by SQLSTATE and by the names of the keys.

use std::error::Error as _;
use std::io;

use tokio_postgres::error::{DbError, Severity, SqlState};
use tokio_postgres::types::WrongType;

use crate::connect::NAMES;
use crate::url::UnknownSslMode;

/// The unique keys that decide which writer came first.
const CONTROL_KEYS: [&str; 3] = ["postings_chain", "postings_transaction", "holds_pkey"];

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Another writer was first: plan again, at once.
    Conflict,
    /// Worth retrying: the database may do it later.
    Transient,
    /// Not worth retrying: the result stays the same until somebody changes the request or the database.
    /// Whether it concerns one request or all of them, [`Store::probe`](crate::Store::probe) tells.
    Permanent,
}

/// A failure of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another writer appended to the same chain, or recorded the same transaction, first. Nothing was
    /// written.
    #[error("another writer was first")]
    Conflict,
    /// Other writers were first for many rounds. Nothing was written.
    #[error("other instances kept writing to the same wallets")]
    Contended,
    /// A value violates a constraint or cannot be stored. Nothing was written.
    #[error("the database refuses the data: {}", describe(.0))]
    InvalidData(#[source] tokio_postgres::Error),
    /// The statement cannot be executed: an object or a privilege is missing. Nothing was written.
    #[error("the database refuses the statement: {}", describe(.0))]
    InvalidStatement(#[source] tokio_postgres::Error),
    /// The database cannot do this now. Nothing was written.
    #[error("the database cannot do this now: {}", describe(.0))]
    Unavailable(#[source] tokio_postgres::Error),
    /// The server is a standby or was set to read-only. Nothing was written.
    #[error("the database is read-only")]
    ReadOnly,
    /// The connection broke. What was under way may have been committed.
    #[error("the connection to the database broke: {}", describe(.0))]
    Broken(#[source] tokio_postgres::Error),
    /// No answer came in time. What was under way may have been committed.
    #[error("the database did not answer within {timeout_secs} s")]
    TimedOut {
        /// How long we waited.
        timeout_secs: u64,
    },
    /// Nothing was written.
    #[error("no connection to the database: {}", describe_pool(.0))]
    NoConnection(#[source] deadpool_postgres::PoolError),
    /// The database accepted the statement without storing all of it. This is never taken for a commit.
    #[error("the database stored {stored} of {given} postings: a foreign trigger or rule interferes")]
    NotStored {
        /// Postings that the database says it stored.
        stored: u64,
        /// Postings that were sent.
        given: usize,
    },
    /// A column is missing, or has another type than this version expects.
    #[error("column {column} cannot be read: {source}")]
    Column {
        /// The column's name in the statement.
        column: &'static str,
        /// What the driver says.
        source: tokio_postgres::Error,
    },
    /// The tables hold a value that this version does not know: most likely a newer version wrote it.
    #[error(
        "column {column} holds {value:?}, which this version does not know: was a newer version running?"
    )]
    UnknownValue {
        /// The column's name in the statement.
        column: &'static str,
        /// The unknown value.
        value: String,
    },
    /// The database encodes texts in a way that cannot hold all of them.
    #[error(
        "the database is encoded in {encoding}, and Florin needs UTF8: create it with \"CREATE DATABASE ... ENCODING \
         'UTF8' TEMPLATE template0\""
    )]
    Encoding {
        /// What it is encoded in.
        encoding: String,
    },
    /// A pooler in front of the database gives a session to others between transactions.
    #[error(
        "there is a pooler in transaction mode in front of the database, and Florin needs sessions of its own (prepared \
         statements, locks): set pool_mode = session for this database, or connect without the pooler"
    )]
    TransactionPooling,
    /// The row that says which ledger this is was deleted.
    #[error("the table ledger is empty: restore its row from a backup")]
    NoLedger,
    /// The URL of the database cannot be read.
    #[error("the URL of the database cannot be read: {0}")]
    Url(#[source] tokio_postgres::Error),
    /// The URL asks for an `sslmode` that does not exist.
    #[error("the URL of the database cannot be read: {0}")]
    SslMode(#[from] UnknownSslMode),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] florin_tls::Error),
    /// The connection pool cannot be made.
    #[error("the connection pool cannot be made: {0}")]
    Pool(#[from] deadpool_postgres::BuildError),
    /// A migration failed.
    #[error("the database cannot be migrated: {}", describe_migration(.0))]
    Migration(#[from] refinery::Error),
    /// The ticker exists with another scale, and a scale never changes.
    #[error("ticker {name} exists with {scale} decimal places, and these never change")]
    TickerExists {
        /// The ticker.
        name: String,
        /// Its decimal places.
        scale: i16,
    },
    /// The name of an API key is taken.
    #[error("there is a key named {name}: names are never used again, for transactions refer to them")]
    KeyExists {
        /// The name.
        name: String,
    },
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::Conflict => Class::Conflict,
            Self::Contended
            | Self::Unavailable(_)
            | Self::ReadOnly
            | Self::Broken(_)
            | Self::TimedOut { .. }
            | Self::NoConnection(_)
            // Some of the postings may be there: they are only found by trying the same batch again.
            | Self::NotStored { .. } => Class::Transient,
            Self::InvalidData(_)
            | Self::InvalidStatement(_)
            | Self::Column { .. }
            | Self::UnknownValue { .. }
            | Self::Encoding { .. }
            | Self::TransactionPooling
            | Self::NoLedger
            | Self::Url(_)
            | Self::SslMode(_)
            | Self::Tls(_)
            | Self::Pool(_)
            | Self::Migration(_)
            | Self::TickerExists { .. }
            | Self::KeyExists { .. } => Class::Permanent,
        }
    }

    /// Whether what was under way may have been committed all the same.
    #[must_use]
    pub const fn in_doubt(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::TimedOut { .. } | Self::NotStored { .. })
    }

    /// Whether the connection is as good as before. Others are closed: what a session is still busy with, or
    /// was told by the server, must not meet the next attempt.
    pub(crate) const fn keeps_connection(&self) -> bool {
        matches!(self, Self::Conflict | Self::InvalidData(_))
    }

    pub(crate) fn is_read_only(&self) -> bool {
        match self {
            Self::ReadOnly => true,
            Self::Unavailable(error) => error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION),
            _ => false,
        }
    }

    pub(crate) fn unknown_value(column: &'static str, value: impl Into<String>) -> Self {
        Self::UnknownValue { column, value: value.into() }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(database) => Kind::of(database).error(error),
            None if is_unsendable(&error) => Self::InvalidStatement(error),
            None => Self::Broken(error),
        }
    }
}

/// The driver refused the parameters before anything was sent: the schema has other types than this version,
/// or a value is too long for the protocol.
fn is_unsendable(error: &tokio_postgres::Error) -> bool {
    let Some(source) = error.source() else { return false };
    let too_long = |error: &io::Error| error.kind() == io::ErrorKind::InvalidInput;
    source.is::<WrongType>() || source.downcast_ref().is_some_and(too_long)
}

/// What the server says, in our terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Conflict,
    InvalidData,
    InvalidStatement,
    Unavailable,
    Broken,
}

impl Kind {
    fn of(error: &DbError) -> Self {
        let ends_session = matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
        let is_control_key = error.constraint().is_some_and(|name| CONTROL_KEYS.contains(&name));
        match Self::of_state(error.code()) {
            Self::InvalidData if *error.code() == SqlState::UNIQUE_VIOLATION && is_control_key => {
                Self::Conflict
            }
            // The server, or a pooler in front of it, ends the session without saying whether the commit came
            // before.
            Self::InvalidData | Self::InvalidStatement | Self::Unavailable if ends_session => Self::Broken,
            kind => kind,
        }
    }

    /// By SQLSTATE, most of them by class (PostgreSQL's appendix A). What is not named here is retried: an
    /// operator sees the warning and can act, but a request that was dead-lettered by mistake was not answered.
    fn of_state(state: &SqlState) -> Self {
        match (state, state.code().get(..2).unwrap_or_default()) {
            // The loser of a serialization conflict or a deadlock was rolled back.
            (&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED, _) => Self::Conflict,
            // A cancelled statement may have been committed just before; a connection exception says nothing
            // of it.
            (&SqlState::QUERY_CANCELED | &SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN, _) | (_, "08") => {
                Self::Broken
            }
            // A pooler mixed up sessions: the next connection does not know this name.
            (&SqlState::DUPLICATE_PSTATEMENT, _) => Self::Unavailable,
            // Data exceptions, violated constraints, rows that are too long.
            (_, "22" | "23" | "44" | "54") => Self::InvalidData,
            // Undefined or inaccessible objects, missing schemas, functions that raise an exception.
            (_, "2F" | "38" | "39" | "3F" | "42" | "P0") => Self::InvalidStatement,
            _ => Self::Unavailable,
        }
    }

    fn error(self, error: tokio_postgres::Error) -> Error {
        match self {
            Self::Conflict => Error::Conflict,
            Self::InvalidData => Error::InvalidData(error),
            Self::InvalidStatement => Error::InvalidStatement(error),
            Self::Unavailable => Error::Unavailable(error),
            Self::Broken => Error::Broken(error),
        }
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match &error {
            deadpool_postgres::PoolError::Backend(backend) if takes_no_writes(backend) => Self::ReadOnly,
            _ => Self::NoConnection(error),
        }
    }
}

/// The driver connected, and the server was not what `target_session_attrs` asks for.
fn takes_no_writes(error: &tokio_postgres::Error) -> bool {
    let Some(source) = error.source().and_then(|source| source.downcast_ref::<io::Error>()) else {
        return false;
    };
    // A refused connection has a number of the operating system; this one is the driver's own.
    source.kind() == io::ErrorKind::PermissionDenied && source.raw_os_error().is_none()
}

/// What the server said: the driver's own text is only "db error".
fn describe(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(database), _) if is_about_prepared_statements(database.code()) => {
            format!(
                "{} (SQLSTATE {}): is there a pooler in transaction mode in front of the database? Florin needs \
                 pool_mode = session",
                database.message(),
                database.code().code()
            )
        }
        (Some(database), _) => format!("{} (SQLSTATE {})", database.message(), database.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}

fn is_about_prepared_statements(state: &SqlState) -> bool {
    [SqlState::DUPLICATE_PSTATEMENT, SqlState::INVALID_SQL_STATEMENT_NAME].contains(state)
}

fn describe_pool(error: &deadpool_postgres::PoolError) -> String {
    match error {
        deadpool_postgres::PoolError::Backend(backend) => {
            florin_tls::explain(backend, &NAMES).unwrap_or_else(|| describe(backend))
        }
        other => other.to_string(),
    }
}

/// What the server said: the migration library's own text is only "db error". Its detail and hint are added by
/// whoever shows the error to people.
fn describe_migration(error: &refinery::Error) -> String {
    let mut cause = error.source();
    while let Some(found) = cause {
        match found.downcast_ref::<tokio_postgres::Error>() {
            Some(database) => return describe(database),
            None => cause = found.source(),
        }
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_sorted_as_the_engine_needs_them() {
        let cases = [
            (Kind::Conflict, &["40001", "40P01"][..]),
            (Kind::Broken, &["08006", "08P01", "57014", "40003"]),
            (
                Kind::Unavailable,
                &[
                    "25006", "25P02", "26000", "42P05", "0A000", "53100", "53300", "55P03", "57P01", "58P01",
                    "XX001",
                ],
            ),
            (Kind::InvalidData, &["22003", "22P05", "23001", "23505", "23514", "54000"]),
            (Kind::InvalidStatement, &["42501", "42P01", "42703", "42883", "3F000", "P0001"]),
        ];
        for (kind, states) in cases {
            for state in states {
                assert_eq!(Kind::of_state(&SqlState::from_code(state)), kind, "{state}");
            }
        }
    }
}
