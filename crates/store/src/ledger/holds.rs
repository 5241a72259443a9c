//! Overdue holds, and the right to expire them.

use std::time::SystemTime;

use deadpool_postgres::{ClientWrapper, Object};
use uuid::Uuid;

use crate::rows::get;
use crate::{Error, Store};

/// The key of the lock. Any number, but the same in all versions of the service ("sweep" in ASCII).
const EXPIRY_LOCK: i64 = 0x73_77_65_65_70;

const OVERDUE: &str = "SELECT transaction_id FROM holds WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2";

/// The right to expire overdue holds: one instance per database has it. It ends with its connection.
#[derive(Debug)]
pub struct ExpiryLock {
    connection: ClientWrapper,
}

impl Store {
    /// Takes the right to expire holds; none if another instance has it.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn try_expiry_lock(&self) -> Result<Option<ExpiryLock>, Error> {
        let connection = self.connection().await?;
        let row = connection.query_one("SELECT pg_try_advisory_lock($1) AS locked", &[&EXPIRY_LOCK]).await?;
        let locked: bool = get(&row, "locked")?;
        // Not given back to the pool: the lock belongs to the session.
        Ok(locked.then(|| ExpiryLock { connection: Object::take(connection) }))
    }
}

impl ExpiryLock {
    /// At most `limit` holds that were overdue at this moment, the longest overdue first.
    ///
    /// # Errors
    ///
    /// When the database fails; then the lock may be lost.
    pub async fn overdue(&self, moment: SystemTime, limit: i64) -> Result<Vec<Uuid>, Error> {
        let statement = self.connection.prepare_cached(OVERDUE).await?;
        let rows = self.connection.query(&statement, &[&moment, &limit]).await?;
        rows.iter().map(|row| get(row, "transaction_id")).collect()
    }
}
