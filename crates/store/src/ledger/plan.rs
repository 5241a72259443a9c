//! What is decided on a batch before it is committed.

use std::collections::HashMap;
use std::time::SystemTime;

use florin_ledger::{Change, Outcome, TickerId, Tickers, Wallet, WalletId};

/// What the rules decided on a batch, with the rows to append and its preconditions.
#[derive(Debug)]
pub struct Plan {
    /// One outcome per command, in their order.
    pub(super) outcomes: Vec<Outcome>,
    /// The steps of transactions to append.
    pub(super) changes: Vec<Change>,
    /// Steps that were committed earlier and are replayed now, where they are wanted.
    pub(super) replayed: Vec<Change>,
    pub(super) precondition: Precondition,
    /// The wallets that the cache holds as this plan leaves them.
    pub(super) wallet_ids: Vec<WalletId>,
}

impl Plan {
    /// The times of the rows to append: by these, a row whose commit was in doubt is recognised.
    pub(super) fn times(&self) -> impl Iterator<Item = SystemTime> {
        self.changes.iter().map(|change| change.first.after.created_at)
    }

    pub(super) fn into_executed(mut self) -> Executed {
        self.changes.append(&mut self.replayed);
        Executed { outcomes: self.outcomes, changes: self.changes }
    }
}

/// A committed plan.
#[derive(Debug, Default)]
pub struct Executed {
    /// One outcome per command, in their order.
    pub outcomes: Vec<Outcome>,
    /// The changes that were committed, followed by those committed earlier that are replayed.
    pub changes: Vec<Change>,
}

/// What a plan's answers from the cache rest on, checked by the statement that commits: there are no other
/// tickers, and nothing was posted to these wallets since. The default is no precondition.
///
/// The three lists are the columns of one table: the next posting of each wallet in each ticker, which must
/// not exist. Chains have no gaps, so a chain without that posting has no later one.
#[derive(Debug, Default)]
pub(super) struct Precondition {
    /// All tickers; none without a precondition.
    pub(super) tickers: Option<Vec<TickerId>>,
    pub(super) wallet_ids: Vec<WalletId>,
    pub(super) ticker_ids: Vec<TickerId>,
    pub(super) versions: Vec<i64>,
}

impl Precondition {
    /// These wallets are still as they were cached. Without wallets there is no precondition.
    pub(super) fn unchanged<'a>(
        wallets: impl IntoIterator<Item = (WalletId, &'a Wallet)>,
        tickers: &Tickers,
    ) -> Self {
        let mut precondition = Self::default();
        for (wallet_id, wallet) in wallets {
            let all = || tickers.iter().map(|ticker| ticker.id).collect();
            for ticker_id in precondition.tickers.get_or_insert_with(all) {
                precondition.wallet_ids.push(wallet_id);
                precondition.ticker_ids.push(*ticker_id);
                precondition.versions.push(wallet.get(ticker_id).map_or(1, |balance| balance.version + 1));
            }
        }
        precondition
    }

    pub(super) const fn is_none(&self) -> bool {
        self.tickers.is_none()
    }
}

/// The wallets with these ids, of those that are there.
pub(super) fn select(
    wallets: &HashMap<WalletId, Wallet>,
    wallet_ids: impl IntoIterator<Item = WalletId>,
) -> impl Iterator<Item = (WalletId, &Wallet)> {
    wallet_ids.into_iter().filter_map(|wallet_id| Some((wallet_id, wallets.get(&wallet_id)?)))
}
