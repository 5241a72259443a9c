//! A batch on its way through the store.

use std::collections::{HashMap, HashSet};
use std::fmt;

use florin_ledger::{Change, Outcome, Repeated, State, Transaction, Unit, WalletId};
use uuid::Uuid;

/// Commands that are committed together.
#[derive(Debug)]
pub struct Batch {
    pub(super) units: Vec<Unit>,
    /// Set when it was decided while the batch before it committed.
    pub(super) decision: Option<Decision>,
}

impl Batch {
    /// What it is made of.
    #[must_use]
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// What it is made of.
    #[must_use]
    pub fn into_units(self) -> Vec<Unit> {
        self.units
    }

    /// Whether it was decided ahead.
    #[must_use]
    pub const fn is_decided(&self) -> bool {
        self.decision.is_some()
    }
}

impl From<Vec<Unit>> for Batch {
    fn from(units: Vec<Unit>) -> Self {
        Self { units, decision: None }
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
    pub(super) assumed: Vec<AssumedWallet>,
}

/// A wallet whose balances were answered from memory.
#[derive(Debug)]
pub(super) struct AssumedWallet {
    pub(super) wallet_id: WalletId,
    /// The number of its postings before the batch.
    pub(super) postings: i64,
}

/// What the rules need for a batch.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) state: State,
    /// The wallets of it that were not read but remembered.
    pub(super) remembered: HashSet<WalletId>,
    /// Those of them whose balances are asked for.
    pub(super) assumed: Vec<AssumedWallet>,
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
