//! What every session is set to, whatever the database, the role or the server are set to.
//!
//! It is set by a statement after the connection was made. The startup packet has a place for settings too, but
//! PgBouncer refuses that.

use tokio_postgres::Client;

/// In one round trip. A setting that the server does not know is left out. The operator's own options in the URL
/// win, except over what the ledger rests on:
/// - `synchronous_commit`: an answer must mean that the commit is on disk, on that of the synchronous standby too
///   if there is one;
/// - how statements are read and what PostgreSQL prints, and that each statement sees what was committed before.
///
/// The others:
/// - look-ups always use an index, also while the tables are small or were never analysed: a query plan made
///   for an empty table would be kept while the table grows;
/// - no JIT: the cost penalties above make it look worthwhile, at 100 ms a time;
/// - a session that stops in the middle of a transaction (a frozen process) loses its locks;
/// - waiting for a lock ends before our own timeout does, and a statement soon after it: else abandoned sessions
///   would add up. A shorter timeout of the database would end large batches again and again;
/// - idle sessions stay: the pool and the expiry worker's lock need them.
const SETTINGS: &str = "
    SELECT pg_catalog.set_config(s.name, ours.value, false)
      FROM pg_catalog.pg_settings s
      JOIN (VALUES ('synchronous_commit', CASE pg_catalog.current_setting('synchronous_commit')
                                          WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true),
                   ('standard_conforming_strings', 'on', true),
                   ('quote_all_identifiers', 'off', true),
                   ('default_transaction_isolation', 'read committed', true),
                   ('DateStyle', 'ISO', true),
                   ('TimeZone', 'UTC', true),
                   ('enable_seqscan', 'off', false),
                   ('enable_bitmapscan', 'off', false),
                   ('enable_sort', 'off', false),
                   ('jit', 'off', false),
                   ('idle_in_transaction_session_timeout', '10s', false),
                   ('lock_timeout', '20s', false),
                   ('statement_timeout', '35s', false),
                   ('transaction_timeout', '0', false),
                   ('idle_session_timeout', '0', false)) ours (name, value, always)
        ON s.name = ours.name
     WHERE ours.always OR s.source <> 'client'";

/// Sets a new session.
pub(crate) async fn prepare(client: &Client) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(SETTINGS).await
}
