//! The transactions that wait, in the order in which their time is over.

use std::time::SystemTime;

use deadpool_postgres::ClientWrapper;
use uuid::Uuid;

use super::{Error, Store};

/// Any number does, as long as every version of the service takes the same ("sweep" in ASCII).
const SWEEP_LOCK: i64 = 0x73_77_65_65_70;

/// The right to end what has expired: one holder at a time per database. It ends with its connection.
#[derive(Debug)]
pub struct SweepLock {
    connection: ClientWrapper,
}

impl Store {
    /// Takes the lock of the sweeper; none when another instance has it.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn try_sweep_lock(&self) -> Result<Option<SweepLock>, Error> {
        let connection = self.connection().await?;
        let row = connection.query_one("SELECT pg_try_advisory_lock($1)", &[&SWEEP_LOCK]).await?;
        let taken: bool = row.get(0);
        // Not given back to the pool: the lock belongs to the session.
        Ok(taken.then(|| SweepLock { connection: deadpool_postgres::Object::take(connection) }))
    }
}

impl SweepLock {
    /// The transactions whose time was over at this moment, the longest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached; then the lock may be lost.
    pub async fn expired(&self, moment: SystemTime, limit: i64) -> Result<Vec<Uuid>, Error> {
        let sql = "SELECT transaction_id FROM holds WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2";
        let statement = self.connection.prepare_cached(sql).await?;
        let rows = self.connection.query(&statement, &[&moment, &limit]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
