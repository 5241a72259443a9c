//! How PostgreSQL is set up: as docs/guides/production.md advises for a busy ledger. Nothing of it is about
//! durability.

use devstack::Postgres;

use crate::facts;

/// The usual share of the memory.
const SHARE_OF_MEMORY: u64 = 4;
/// More brings nothing for a ledger of this size.
const MAX_SHARED_BUFFERS_MIB: u64 = 8 * 1024;
/// PostgreSQL's own default, where the memory is not known.
const DEFAULT_SHARED_BUFFERS_MIB: u64 = 128;

/// The settings that are advised; those that were `given` come later, and so count.
pub(crate) fn settings(given: &[(String, String)]) -> Vec<(String, String)> {
    let shared_buffers = format!("{}MB", shared_buffers_mib(facts::memory_kib()));
    let advised = [
        // Few checkpoints: after each of them a page is written to the log as a whole when it is changed
        // again.
        ("max_wal_size", "16GB"),
        ("checkpoint_timeout", "15min"),
        // The pages where the chains end.
        ("shared_buffers", shared_buffers.as_str()),
    ];
    let advised = advised.map(|(name, value)| (name.to_owned(), value.to_owned()));
    advised.into_iter().chain(given.iter().cloned()).collect()
}

/// Has pages compressed that go into the log as a whole; by lz4 where there is that (from version 15 on, if
/// it was built with it), which is quicker. A setting that was given counts all the same.
pub(crate) fn compress_pages(postgres: &Postgres) -> Result<(), devstack::Error> {
    let best = "SELECT CASE WHEN 'lz4' = ANY (enumvals) THEN 'lz4' ELSE 'on' END
                  FROM pg_settings WHERE name = 'wal_compression'";
    let best = postgres.psql("postgres", best)?;
    postgres.psql("postgres", &format!("ALTER SYSTEM SET wal_compression = {}", best.trim()))?;
    postgres.psql("postgres", "SELECT pg_reload_conf()").map(drop)
}

fn shared_buffers_mib(memory_kib: Option<u64>) -> u64 {
    let share = |kib: u64| (kib / 1024 / SHARE_OF_MEMORY).min(MAX_SHARED_BUFFERS_MIB);
    memory_kib.map_or(DEFAULT_SHARED_BUFFERS_MIB, share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_comes_last() {
        let given = ("max_wal_size".to_owned(), "1GB".to_owned());
        assert_eq!(settings(std::slice::from_ref(&given)).last(), Some(&given));
    }

    #[test]
    fn a_quarter_of_the_memory_is_shared_up_to_8_gib() {
        assert_eq!(shared_buffers_mib(Some(4 * 1024 * 1024)), 1024);
        assert_eq!(shared_buffers_mib(Some(64 * 1024 * 1024)), 8192);
        assert_eq!(shared_buffers_mib(None), 128);
    }
}
