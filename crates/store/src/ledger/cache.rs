//! The cached balances.

use std::num::NonZeroUsize;

use florin_ledger::{Wallet, WalletId};
use lru::LruCache;

/// Wallets with all their balances, as the newest plan that touched them leaves them: committed, or about to
/// be. The wallets used least recently are dropped.
#[derive(Debug)]
pub(super) struct Cache {
    wallets: LruCache<WalletId, Wallet>,
}

impl Cache {
    pub(super) fn new(capacity: NonZeroUsize) -> Self {
        Self { wallets: LruCache::new(capacity) }
    }

    pub(super) fn len(&self) -> usize {
        self.wallets.len()
    }

    pub(super) fn contains(&self, wallet_id: WalletId) -> bool {
        self.wallets.contains(&wallet_id)
    }

    /// Takes a wallet out: the planner puts it back as the plan leaves it. If planning fails, it stays out,
    /// and is read when it is needed again.
    pub(super) fn take(&mut self, wallet_id: WalletId) -> Option<Wallet> {
        self.wallets.pop(&wallet_id)
    }

    pub(super) fn put(&mut self, wallet_id: WalletId, wallet: Wallet) {
        self.wallets.put(wallet_id, wallet);
    }

    /// Drops these wallets: the plan that cached them was not committed.
    pub(super) fn void(&mut self, wallet_ids: &[WalletId]) {
        for wallet_id in wallet_ids {
            self.wallets.pop(wallet_id);
        }
    }
}
