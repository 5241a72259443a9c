//! How PostgreSQL is set up: as the README advises for a busy ledger. Nothing of it is about durability.

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
        // Few checkpoints: after each of them a page is written to the log as a whole when it is changed again.
        ("max_wal_size", "16GB"),
        ("checkpoint_timeout", "15min"),
        // Where there is lz4 (from 15 on, if built with it), that is quicker; this is for every version.
        ("wal_compression", "on"),
        // The pages where the chains end.
        ("shared_buffers", shared_buffers.as_str()),
    ];
    let advised = advised.map(|(name, value)| (name.to_owned(), value.to_owned()));
    advised.into_iter().chain(given.iter().cloned()).collect()
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
