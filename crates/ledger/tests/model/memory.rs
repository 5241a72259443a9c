//! A database of one list: every change, in the order in which they were committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use florin_ledger::{
    Change, Command, Group, Page, Posting, State, TickerId, Tickers, Transaction, Wallet, WalletId,
};
use uuid::Uuid;

/// All that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Memory {
    tickers: Arc<Tickers>,
    wallets: Vec<WalletId>,
    pub(crate) changes: Vec<Change>,
}

impl Memory {
    pub(crate) fn new(tickers: Arc<Tickers>, wallets: Vec<WalletId>) -> Self {
        Self { tickers, wallets, changes: Vec::new() }
    }

    /// What the rules need to know for these groups, and nothing else.
    pub(crate) fn load(&self, groups: &[Group]) -> State {
        let mut state = State { tickers: Arc::clone(&self.tickers), ..State::default() };
        for command in groups.iter().flat_map(Group::commands) {
            let identity = command.movement().map(|movement| movement.identity.transaction_id);
            let mut touched: Vec<WalletId> = command.wallet_ids().collect();
            if let Some(found) = identity.or(command.named_transaction()).and_then(|id| self.transaction(id))
            {
                touched.extend([Some(found.wallet_id), found.to_wallet_id].into_iter().flatten());
                state.transactions.insert(found.id, found);
            }
            for wallet_id in touched.into_iter().filter(|wallet_id| self.wallets.contains(wallet_id)) {
                state.wallets.entry(wallet_id).or_insert_with(|| self.wallet(wallet_id, None));
            }
            match command {
                Command::Balance(query) => {
                    let then =
                        query.at.map(|at| ((query.wallet_id, at), self.wallet(query.wallet_id, query.at)));
                    state.past.extend(then);
                }
                Command::History(query) if !state.pages.contains_key(query) => {
                    state.pages.insert(query.clone(), query.extend(Page::default(), &self.changes));
                }
                _ => {}
            }
        }
        state
    }

    /// Every posting, with its ticker.
    pub(crate) fn postings(&self) -> impl Iterator<Item = (&Change, TickerId, &Posting)> {
        let changes = self.changes.iter();
        changes.flat_map(|change| {
            change.postings().map(move |posting| (change, change.transaction.ticker.id, posting))
        })
    }

    /// The balances of a wallet: the present ones, or those of a time.
    pub(crate) fn wallet(&self, wallet_id: WalletId, at: Option<SystemTime>) -> Wallet {
        let mut wallet = BTreeMap::new();
        let own = self.postings().filter(|(.., posting)| posting.wallet_id == wallet_id);
        for (_, ticker_id, posting) in own {
            if at.is_none_or(|at| posting.after.created_at <= at) {
                wallet.insert(ticker_id, posting.after);
            }
        }
        wallet
    }

    /// A transaction as it is now.
    pub(crate) fn transaction(&self, id: Uuid) -> Option<Transaction> {
        let last = self.changes.iter().rev().find(|change| change.transaction.id == id);
        last.map(|change| change.transaction.clone())
    }
}
