//! Sessions that see one and the same snapshot of the database, whatever is committed meanwhile.

use std::num::NonZeroUsize;

use deadpool_postgres::{ClientWrapper, Object};

use crate::rows::get;
use crate::{Error, Store};

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The sessions of the service are restricted to index look-ups; an audit reads whole tables. So PostgreSQL's
/// planner settings go back to their defaults, and the session differs from these only in:
/// - one process per session, so that `connections` says how much of the server an audit takes;
/// - moderate sorts and hashes in memory; larger ones go to temporary files, which are as fast while the
///   server has free memory;
/// - no JIT: it saves a tenth of the time at best, and costs more on small databases;
/// - no timeouts: the first session waits for the others, and statements take as long as they take;
/// - what PostgreSQL prints and how it reads strings: definitions of constraints and triggers are compared as
///   texts, and a database may have other settings of its own.
///
/// A setting that the server does not know is left out.
const SETTINGS: &str = "
    SELECT set_config(s.name, coalesce(ours.value, s.boot_val), true)
      FROM pg_settings s
      LEFT JOIN (VALUES ('max_parallel_workers_per_gather', '0'), ('work_mem', '64MB'),
                        ('hash_mem_multiplier', '2'), ('jit', 'off'),
                        ('statement_timeout', '0'), ('transaction_timeout', '0'),
                        ('idle_in_transaction_session_timeout', '0'),
                        ('quote_all_identifiers', 'off'), ('standard_conforming_strings', 'on'),
                        ('DateStyle', 'ISO'), ('TimeZone', 'UTC')) ours (name, value) USING (name)
     WHERE ours.value IS NOT NULL OR left(s.name, 7) = 'enable_'";

/// Opens `count` sessions in one snapshot. They end with their connections.
pub(super) async fn open(store: &Store, count: NonZeroUsize) -> Result<Vec<ClientWrapper>, Error> {
    let first = connect(store).await?;
    first.batch_execute(BEGIN).await?;
    let row = first.query_one("SELECT pg_export_snapshot() AS snapshot", &[]).await?;
    let snapshot: String = get(&row, "snapshot")?;
    let mut sessions = vec![first];
    while sessions.len() < count.get() {
        let session = connect(store).await?;
        session.batch_execute(&format!("{BEGIN}; SET TRANSACTION SNAPSHOT '{snapshot}'")).await?;
        sessions.push(session);
    }
    for session in &sessions {
        session.batch_execute(SETTINGS).await?;
    }
    Ok(sessions)
}

/// A connection that does not go back to the pool: its settings and its snapshot are its own.
async fn connect(store: &Store) -> Result<ClientWrapper, Error> {
    Ok(Object::take(store.connection().await?))
}
