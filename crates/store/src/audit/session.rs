//! Sessions that see one and the same snapshot of the database, whatever is committed meanwhile.

use std::num::NonZeroUsize;

use deadpool_postgres::{ClientWrapper, Object};

use crate::{Error, Store};

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The sessions of the service are kept to look-ups by index; an audit reads whole tables. So all methods of the
/// planner are put back to their defaults, and what is set otherwise is here:
/// - one process per session, so that `connections` says how much of the server an audit takes;
/// - sorts and hashes of some size in memory; what is larger goes to temporary files, which are as fast as long
///   as the server's memory is not full;
/// - no compilation: it gains a tenth of the time at best, and costs more on small databases;
/// - no limit of time: the first session waits for the others, and statements take as long as they take;
/// - texts of times as they are everywhere in this project.
///
/// A name that the server does not know is left out.
const SETTINGS: &str = r"
    SELECT set_config(s.name, coalesce(ours.value, s.boot_val), true)
      FROM pg_settings s
      LEFT JOIN (VALUES ('max_parallel_workers_per_gather', '0'), ('work_mem', '64MB'),
                        ('hash_mem_multiplier', '2'), ('jit', 'off'),
                        ('statement_timeout', '0'), ('transaction_timeout', '0'),
                        ('idle_in_transaction_session_timeout', '0'),
                        ('DateStyle', 'ISO'), ('TimeZone', 'UTC')) ours (name, value) USING (name)
     WHERE ours.value IS NOT NULL OR s.name LIKE 'enable\_%'";

/// Opens so many sessions in one snapshot. They end with their connections.
pub(super) async fn open(store: &Store, count: NonZeroUsize) -> Result<Vec<ClientWrapper>, Error> {
    let first = connect(store).await?;
    first.batch_execute(BEGIN).await?;
    let snapshot: String = first.query_one("SELECT pg_export_snapshot()", &[]).await?.get(0);
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
