//! The state of the database, for `florin status`; and whether a ledger is in use, for `florin bench` and
//! `demo`.

use florin_ledger::PendingSummary;
use refinery::Migration;

use crate::migrate::migrations;
use crate::rows::get;
use crate::{Error, Store};

/// The state of the database.
#[derive(Debug)]
pub struct DatabaseStatus {
    /// The version of PostgreSQL, such as `17.2`.
    pub version: String,
    /// The encoding of the database.
    pub encoding: String,
    /// Whether nothing can be written: a standby, or a database that was made read-only.
    pub read_only: bool,
    /// The number of the last migration that was applied. None when there was none.
    pub schema_version: Option<i64>,
    /// The pending transactions. None unless the schema is the one of this version of Florin.
    pub pending: Option<PendingSummary>,
}

const STATUS: &str = "
    SELECT split_part(current_setting('server_version'), ' ', 1) AS version,
           current_setting('server_encoding') AS encoding,
           current_setting('transaction_read_only')::bool AS read_only";

const WAS_MIGRATED: &str = "SELECT to_regclass('refinery_schema_history') IS NOT NULL AS was_migrated";

const SCHEMA_VERSION: &str = "SELECT max(version)::int8 AS version FROM refinery_schema_history";

const TRANSACTIONS_WITHOUT: &str = "
    SELECT EXISTS (SELECT FROM postings WHERE substring(uuid_send(transaction_id) FROM 13) <> $1) AS found";

impl DatabaseStatus {
    /// The number of the last migration that this version of Florin knows.
    #[must_use]
    pub fn expected_schema_version() -> i64 {
        migrations()
            .iter()
            .map(|migration| i64::from(Migration::version(migration)))
            .max()
            .unwrap_or_default()
    }
}

impl Store {
    /// The number of the last migration that was applied. None when there was none.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn schema_version(&self) -> Result<Option<i64>, Error> {
        self.with_connection(async |connection| {
            let was_migrated = connection.query_one(WAS_MIGRATED, &[]).await?;
            if !get(&was_migrated, "was_migrated")? {
                return Ok(None);
            }
            let version = connection.query_one(SCHEMA_VERSION, &[]).await?;
            get(&version, "version")
        })
        .await
    }

    /// Asks the database how it stands.
    ///
    /// # Errors
    ///
    /// When it cannot be reached, or refuses the query.
    pub async fn status(&self) -> Result<DatabaseStatus, Error> {
        let row =
            self.with_connection(async |connection| Ok(connection.query_one(STATUS, &[]).await?)).await?;
        let schema_version = self.schema_version().await?;
        let pending = if schema_version == Some(DatabaseStatus::expected_schema_version()) {
            Some(self.pending_summary().await?)
        } else {
            None
        };
        Ok(DatabaseStatus {
            version: get(&row, "version")?,
            encoding: get(&row, "encoding")?,
            read_only: get(&row, "read_only")?,
            schema_version,
            pending,
        })
    }

    /// Whether there is a transaction whose id does not end in these bytes.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn has_transactions_without(&self, mark: [u8; 4]) -> Result<bool, Error> {
        let row = self
            .with_connection(async |connection| {
                Ok(connection.query_one(TRANSACTIONS_WITHOUT, &[&mark.as_slice()]).await?)
            })
            .await?;
        get(&row, "found")
    }
}
