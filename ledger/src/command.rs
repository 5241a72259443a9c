//! What a request asks for, once it is decoded.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use uuid::Uuid;

use crate::{Decimal, WalletId};

/// The first half of a SHA-256 over the meaning of a request: equal for two requests that ask for the same.
pub type RequestHash = [u8; 16];

/// A decoded request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Credits a wallet.
    Invoice(Movement),
    /// Debits a wallet.
    Withdraw(Movement),
    /// Reads the balances of a wallet.
    Balance {
        /// Whose balances.
        wallet_id: WalletId,
    },
}

/// An amount that is to enter or leave a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// What makes a retry the same request.
    pub identity: Identity,
    /// Whose balance changes.
    pub wallet_id: WalletId,
    /// The ticker's name, as the client wrote it.
    pub ticker: String,
    /// As the client wrote it; the ticker decides whether it fits.
    pub amount: Decimal,
}

/// What makes a retry the same request. It is the transaction's id as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The id of the transaction that this request makes, or made before.
    pub transaction_id: Uuid,
    /// Tells a retry from a different request under the same identity.
    pub request_hash: RequestHash,
    /// What it means when the identity is taken.
    pub on_existing: OnExisting,
    /// Whether the broker may have delivered this request before.
    pub redelivered: bool,
}

/// What it means when a request's identity is taken already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExisting {
    /// It is the same request, sent or delivered again: it gets the same answer.
    Replay,
    /// The client gave no identity of its own, and the broker delivered this request for the first time: what
    /// has its identity already is a request that only looks the same, and this one gets a fresh identity;
    /// unless it is this very request, delivered again to another instance since.
    Renew {
        /// When the broker delivered it.
        received_at: SystemTime,
    },
}

/// The kinds of requests, by the names that travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Credits a wallet.
    Invoice,
    /// Debits a wallet.
    Withdraw,
    /// Reads the balances of a wallet.
    Balance,
}

impl Operation {
    /// All operations.
    pub const ALL: [Self; 3] = [Self::Invoice, Self::Withdraw, Self::Balance];

    /// The routing key, and the name in replies, tables and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invoice => "invoice",
            Self::Withdraw => "withdraw",
            Self::Balance => "balance",
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

impl Command {
    /// The kind of this command.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Invoice(_) => Operation::Invoice,
            Self::Withdraw(_) => Operation::Withdraw,
            Self::Balance { .. } => Operation::Balance,
        }
    }

    /// The wallet that this command touches.
    #[must_use]
    pub const fn wallet_id(&self) -> WalletId {
        match self {
            Self::Invoice(movement) | Self::Withdraw(movement) => movement.wallet_id,
            Self::Balance { wallet_id } => *wallet_id,
        }
    }

    /// The movement of a command that moves money; none for a look-up.
    #[must_use]
    pub const fn movement(&self) -> Option<&Movement> {
        match self {
            Self::Invoice(movement) | Self::Withdraw(movement) => Some(movement),
            Self::Balance { .. } => None,
        }
    }

    /// The identity of a command that moves money, to be changed; none for a look-up.
    pub const fn identity_mut(&mut self) -> Option<&mut Identity> {
        match self {
            Self::Invoice(movement) | Self::Withdraw(movement) => Some(&mut movement.identity),
            Self::Balance { .. } => None,
        }
    }
}
