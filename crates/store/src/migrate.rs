//! The schema: migrations are embedded in the binary and run in order, each once.

use deadpool_postgres::Object;
use refinery::Migration;

use crate::{Error, Store};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Any number does, as long as all versions of the service take the same ("florin" in ASCII).
const MIGRATION_LOCK: i64 = 0x66_6c_6f_72_69_6e;

pub(crate) fn migrations() -> Vec<Migration> {
    embedded::migrations::runner().get_migrations().clone()
}

impl Store {
    /// Brings the schema up to this version and returns the names of the migrations that were missing.
    /// Instances that start at once wait for each other.
    ///
    /// # Errors
    ///
    /// When the database fails, lacks what [`Store::check_requirements`] demands, or was migrated by a version
    /// that differs from this one.
    pub async fn migrate(&self) -> Result<Vec<String>, Error> {
        self.check_requirements().await?;
        // Not given back to the pool: whatever happens in between, the lock ends with this session.
        let mut connection = Object::take(self.connection().await?);
        connection.batch_execute("SET lock_timeout = 0; SET statement_timeout = 0").await?;
        connection.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await?;
        let report = embedded::migrations::runner().run_async(&mut *connection).await?;
        Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
    }
}
