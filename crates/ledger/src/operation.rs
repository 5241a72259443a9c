//! The kinds of requests.

use std::fmt;
use std::str::FromStr;

/// The kinds of requests, by the names that travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Credits a wallet.
    Invoice,
    /// Debits a wallet.
    Withdraw,
    /// Debits one wallet and credits another.
    Transfer,
    /// Ends a transaction that waits: it is done.
    Settle,
    /// Ends a transaction that waits: it is not done.
    Cancel,
    /// Ends a transaction whose time is over.
    Expire,
    /// Reads the balances of a wallet.
    Balance,
    /// Reads a transaction.
    Transaction,
    /// Reads the postings of a wallet.
    History,
}

impl Operation {
    /// All operations.
    pub const ALL: [Self; 9] = [
        Self::Invoice,
        Self::Withdraw,
        Self::Transfer,
        Self::Settle,
        Self::Cancel,
        Self::Expire,
        Self::Balance,
        Self::Transaction,
        Self::History,
    ];

    /// The routing key, and the name in replies, tables and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invoice => "invoice",
            Self::Withdraw => "withdraw",
            Self::Transfer => "transfer",
            Self::Settle => "settle",
            Self::Cancel => "cancel",
            Self::Expire => "expire",
            Self::Balance => "balance",
            Self::Transaction => "transaction",
            Self::History => "history",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is no [`Operation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such operation")]
pub struct UnknownOperation;

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(name: &str) -> Result<Self, UnknownOperation> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == name).ok_or(UnknownOperation)
    }
}
