//! What the rules know: the tickers, the touched wallets with their balances, and the transactions that the
//! commands name or that were recorded under their identities.
//!
//! The caller fills a [`State`] with all that a list of commands needs before it calls `apply`; a wallet
//! that is missing here is an unknown wallet.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use uuid::Uuid;

use crate::{HistoryQuery, Page, Scale, Transaction};

/// A wallet or card number.
pub type WalletId = i64;

/// The primary key of a ticker.
pub type TickerId = i32;

/// A currency and its decimal places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticker {
    /// Primary key in the database.
    pub id: TickerId,
    /// Case-sensitive: `usd` is not `USD`.
    pub name: Arc<str>,
    /// Decimal places of an amount; never changes.
    pub scale: Scale,
}

/// All tickers that exist, by name and by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tickers {
    by_name: BTreeMap<Arc<str>, Ticker>,
    names: HashMap<TickerId, Arc<str>>,
}

impl Tickers {
    /// The ticker with exactly this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Ticker> {
        self.by_name.get(name)
    }

    /// The ticker with this primary key.
    #[must_use]
    pub fn by_id(&self, id: TickerId) -> Option<&Ticker> {
        self.get(self.names.get(&id)?)
    }

    /// All tickers, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Ticker> {
        self.by_name.values()
    }
}

impl FromIterator<Ticker> for Tickers {
    fn from_iter<T: IntoIterator<Item = Ticker>>(tickers: T) -> Self {
        let by_name: BTreeMap<_, _> =
            tickers.into_iter().map(|ticker| (Arc::clone(&ticker.name), ticker)).collect();
        let names = by_name.values().map(|ticker| (ticker.id, Arc::clone(&ticker.name))).collect();
        Self { by_name, names }
    }
}

/// The state after the last posting of a chain: all that the next posting depends on. The default is a chain
/// without postings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// The number of the last posting; 0 if there is none.
    pub version: i64,
    /// Available to withdraw, in minor units.
    pub actual: i128,
    /// Frozen by holds, in minor units.
    pub frozen: i128,
    /// Whether the balance was ever credited: a refused withdrawal leaves a posting but opens no balance.
    pub held: bool,
    /// When the last posting was decided. Times never decrease along a chain, whatever the clocks do.
    pub created_at: SystemTime,
}

impl Default for Balance {
    fn default() -> Self {
        Self { version: 0, actual: 0, frozen: 0, held: false, created_at: SystemTime::UNIX_EPOCH }
    }
}

/// The known balances of one wallet, by ticker.
pub type Wallet = BTreeMap<TickerId, Balance>;

/// All that the rules know. The caller reads it; `apply` updates it.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Shared, because tickers hardly ever change.
    pub tickers: Arc<Tickers>,
    /// The touched wallets that exist; a missing one is an unknown wallet.
    pub wallets: HashMap<WalletId, Wallet>,
    /// The transactions that commands name, and those recorded before under identities that commands carry.
    pub transactions: HashMap<Uuid, Transaction>,
    /// Balances at the times of queries (`at`).
    pub past: HashMap<(WalletId, SystemTime), Wallet>,
    /// The pages of history queries, as committed.
    pub pages: HashMap<HistoryQuery, Page>,
}
