//! What the rules know: the tickers, the touched wallets with their tails, and the transactions that were
//! recorded before under the same identities.
//!
//! The caller fills a [`State`] with all that a list of commands needs before it calls `apply`; a wallet
//! that is missing here is an unknown wallet.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use uuid::Uuid;

use crate::{ErrorCode, RequestHash, Scale, Status};

/// A wallet or card number.
pub type WalletId = i64;

/// The key of a ticker in the tables.
pub type TickerId = i32;

/// A currency and its decimal places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticker {
    /// Its key in the tables.
    pub id: TickerId,
    /// Its decimal places.
    pub scale: Scale,
}

/// The tickers by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tickers(BTreeMap<String, Ticker>);

impl Tickers {
    /// The ticker of this name. Names are exact: `usd` is not `USD`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Ticker> {
        self.0.get(name).copied()
    }

    /// The ticker with this key.
    #[must_use]
    pub fn by_id(&self, id: TickerId) -> Option<Ticker> {
        self.0.values().copied().find(|ticker| ticker.id == id)
    }

    /// Names and tickers, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Ticker)> {
        self.0.iter().map(|(name, ticker)| (name.as_str(), *ticker))
    }
}

impl FromIterator<(String, Ticker)> for Tickers {
    fn from_iter<T: IntoIterator<Item = (String, Ticker)>>(tickers: T) -> Self {
        Self(tickers.into_iter().collect())
    }
}

/// The last posting of a balance, as far as the next one depends on it. The default is a balance without
/// postings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tail {
    /// The number of the last posting; 0 when there is none.
    pub version: i64,
    /// What can be withdrawn, in minor units.
    pub actual: i128,
    /// What waits on transactions in status Created, in minor units.
    pub frozen: i128,
    /// Whether the balance ever held anything: a refused withdrawal leaves a posting but opens no balance.
    pub held: bool,
}

/// The known tails of one wallet, by ticker.
pub type Wallet = BTreeMap<TickerId, Tail>;

/// What is kept of a transaction to answer a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// The hash of the request that made it.
    pub request_hash: RequestHash,
    /// Its status.
    pub status: Status,
    /// Why it ended in Error.
    pub error: Option<ErrorCode>,
    /// When the rules decided on it.
    pub created_at: SystemTime,
    /// Whether the request that made it may have been delivered before.
    pub redelivered: bool,
}

/// All that the rules know.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The tickers; shared, for they hardly ever change.
    pub tickers: Arc<Tickers>,
    /// The existing ones among the touched wallets.
    pub wallets: HashMap<WalletId, Wallet>,
    /// Transactions recorded before under identities that the commands carry.
    pub transactions: HashMap<Uuid, Recorded>,
}
