//! A batch on its way through the store.

use std::collections::{HashMap, HashSet};
use std::fmt;

use florin_ledger::{
    Change, Group, Outcome, Repeated, State, TickerId, Tickers, Transaction, Wallet, WalletId,
};
use uuid::Uuid;

/// Commands that are committed together.
#[derive(Debug)]
pub struct Batch {
    pub(super) groups: Vec<Group>,
    /// Set when it was decided while the batch before it committed.
    pub(super) decision: Option<Decision>,
}

impl Batch {
    /// What it is made of.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// What it is made of.
    #[must_use]
    pub fn into_groups(self) -> Vec<Group> {
        self.groups
    }

    /// Whether it was decided ahead.
    #[must_use]
    pub const fn is_decided(&self) -> bool {
        self.decision.is_some()
    }
}

impl From<Vec<Group>> for Batch {
    fn from(groups: Vec<Group>) -> Self {
        Self { groups, decision: None }
    }
}

/// What the rules decided on a batch.
#[derive(Debug)]
pub(super) struct Decision {
    /// One outcome per command, in their order.
    pub(super) outcomes: Vec<Outcome>,
    /// What is to be appended.
    pub(super) changes: Vec<Change>,
    /// What was done before and is asked for again.
    pub(super) repeated: Vec<Repeated>,
    /// The transactions that it is about.
    pub(super) transactions: HashMap<Uuid, Transaction>,
    /// The wallets that are remembered as they will be after it.
    pub(super) touched: Vec<WalletId>,
    /// What else it rests on. It counts only if that is so when it is committed.
    pub(super) assumption: Assumption,
}

/// What balances that are answered from memory rest on: that there are no other tickers, and that nothing was posted
/// to these wallets since. The default is nothing.
#[derive(Debug, Default)]
pub(super) struct Assumption {
    /// All tickers; none when nothing is assumed.
    pub(super) ticker_ids: Option<Vec<TickerId>>,
    /// Of the next posting of each wallet in each ticker, which is not there yet: the wallet.
    pub(super) wallet_ids: Vec<WalletId>,
    /// Its ticker.
    pub(super) posted_in: Vec<TickerId>,
    /// Its version.
    pub(super) versions: Vec<i64>,
}

impl Assumption {
    /// That these wallets, if there are any, are as they are remembered.
    pub(super) fn on<'a>(
        wallets: impl IntoIterator<Item = (WalletId, &'a Wallet)>,
        tickers: &Tickers,
    ) -> Self {
        let mut assumption = Self::default();
        for (wallet_id, wallet) in wallets {
            let ticker_ids =
                assumption.ticker_ids.get_or_insert_with(|| tickers.iter().map(|ticker| ticker.id).collect());
            for ticker_id in ticker_ids {
                assumption.wallet_ids.push(wallet_id);
                assumption.posted_in.push(*ticker_id);
                assumption.versions.push(wallet.get(ticker_id).map_or(1, |balance| balance.version + 1));
            }
        }
        assumption
    }

    pub(super) const fn is_nothing(&self) -> bool {
        self.ticker_ids.is_none()
    }
}

/// What the rules need for a batch.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) state: State,
    /// The wallets of it that were not read but remembered.
    pub(super) remembered: HashSet<WalletId>,
    /// What is assumed of those of them whose balances are asked for.
    pub(super) assumption: Assumption,
}

/// What a batch came to.
#[derive(Debug, Default)]
pub struct Executed {
    /// One outcome per command, in their order.
    pub outcomes: Vec<Outcome>,
    /// The changes that it made, and those made earlier that it asked for again.
    pub changes: Vec<Change>,
}

/// The batch that comes after the one that is executed. The default is none.
#[derive(Default)]
pub struct Following<'a> {
    look: Option<&'a mut (dyn FnMut() -> Option<Batch> + Send)>,
    batch: Option<Batch>,
}

impl<'a> Following<'a> {
    /// The one that `look` finds, which is asked while the batch before commits. What it gives has to be executed next.
    pub fn new(look: &'a mut (dyn FnMut() -> Option<Batch> + Send)) -> Self {
        Self { look: Some(look), batch: None }
    }

    /// The batch, when there was one.
    #[must_use]
    pub fn into_batch(self) -> Option<Batch> {
        self.batch
    }

    /// A batch that was not there before.
    pub(super) fn look(&mut self) -> Option<&mut Batch> {
        if self.batch.is_some() {
            return None;
        }
        self.batch = self.look.as_mut()?();
        self.batch.as_mut()
    }

    pub(super) fn take_decision(&mut self) -> Option<Decision> {
        self.batch.as_mut()?.decision.take()
    }
}

impl fmt::Debug for Following<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following").field("batch", &self.batch).finish_non_exhaustive()
    }
}
