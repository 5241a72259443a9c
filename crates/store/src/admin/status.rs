//! How the database stands, for `florin status`; and whether a ledger is in use, for `florin bench` and
//! `demo`.

use florin_ledger::PendingSummary;
use refinery::Migration;

use crate::migrate::migrations;
use crate::{Error, Store};

/// How the database stands.
#[derive(Debug)]
pub struct DatabaseStatus {
    /// The version of PostgreSQL, such as `17.2`.
    pub version: String,
    /// How it encodes texts.
    pub encoding: String,
    /// Whether nothing can be written: a standby, or a database that was made read-only.
    pub read_only: bool,
    /// The number of the last migration that was applied. None when there was none.
    pub schema_version: Option<i64>,
    /// The pending transactions. None unless the schema is the one of this version of Florin.
    pub pending: Option<PendingSummary>,
}

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
    /// Asks the database how it stands.
    ///
    /// # Errors
    ///
    /// When it cannot be reached, or refuses to say.
    pub async fn status(&self) -> Result<DatabaseStatus, Error> {
        let connection = self.connection().await?;
        let sql = "SELECT split_part(current_setting('server_version'), ' ', 1) AS version,
                          current_setting('server_encoding') AS encoding,
                          current_setting('transaction_read_only')::bool AS read_only,
                          to_regclass('refinery_schema_history') IS NOT NULL AS was_migrated";
        let row = connection.query_one(sql, &[]).await?;
        let schema_version = if row.get("was_migrated") {
            let sql = "SELECT max(version)::int8 AS version FROM refinery_schema_history";
            connection.query_one(sql, &[]).await?.get("version")
        } else {
            None
        };
        drop(connection);
        let pending = if schema_version == Some(DatabaseStatus::expected_schema_version()) {
            Some(self.pending_summary().await?)
        } else {
            None
        };
        Ok(DatabaseStatus {
            version: row.get("version"),
            encoding: row.get("encoding"),
            read_only: row.get("read_only"),
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
        let sql = "SELECT EXISTS (SELECT FROM postings
                                   WHERE substring(uuid_send(transaction_id) FROM 13) <> $1) AS found";
        Ok(self.connection().await?.query_one(sql, &[&mark.as_slice()]).await?.get("found"))
    }
}
