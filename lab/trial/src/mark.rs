//! What keeps `florin bench` and `florin demo` out of ledgers that are in use: their transactions are real.
//!
//! The rule is exact: the ids of their transactions end in a mark, and a ledger with any other transaction is
//! not theirs.

use anyhow::{Context, bail};
use florin_service::cli::open_store;
use florin_service::config::Config;
use uuid::Uuid;

/// The last four bytes of the transaction ids. In a UUIDv7 they are random, and come after the time and the
/// counter that keep the ids of one process apart and in order.
const MARK: [u8; 4] = *b"test";

/// The flag that skips the check.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct TrialArgs {
    /// Writes even if the ledger has other transactions. Without it, the command checks that first and refuses.
    #[arg(long)]
    yes: bool,
}

/// A new identity with the mark.
pub(crate) fn transaction_id() -> Uuid {
    let mut bytes = *Uuid::now_v7().as_bytes();
    bytes[12..].copy_from_slice(&MARK);
    Uuid::from_bytes(bytes)
}

impl TrialArgs {
    /// Fails on a ledger with other transactions.
    pub(crate) async fn check(self, config: &Config) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        let failed = "cannot tell whether the ledger is in use (--yes skips this check)";
        let store = open_store(config).await.context(failed)?;
        if store.has_transactions_without(MARK).await.context(failed)? {
            bail!(
                "the ledger has transactions that `florin bench` and `florin demo` did not make. Theirs are real: \
                 use a separate ledger, or pass --yes"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_have_the_mark_and_are_all_different() {
        let ids: BTreeSet<Uuid> = (0..100_000).map(|_| transaction_id()).collect();
        assert_eq!(ids.len(), 100_000);
        assert!(ids.iter().all(|id| id.to_string().ends_with("74657374") && id.get_version_num() == 7));
    }
}
