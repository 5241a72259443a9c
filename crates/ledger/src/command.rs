//! What a request asks for, once it is decoded.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use crate::{Decimal, HistoryQuery, Operation, WalletId};

/// The first half of a SHA-256 over the meaning of a request: equal for two requests that ask for the same.
pub type RequestHash = [u8; 16];

/// A decoded request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Credits a wallet.
    Invoice(Movement),
    /// Debits a wallet.
    Withdraw(Movement),
    /// Debits one wallet and credits another.
    Transfer {
        /// What leaves the payer's wallet.
        movement: Movement,
        /// The payee.
        to_wallet_id: WalletId,
    },
    /// Ends a transaction that waits.
    Resolve {
        /// Which one.
        transaction_id: Uuid,
        /// How.
        how: Resolve,
        /// Who asks for it, when that is known. It is recorded, and changes nothing else.
        requested_by: Option<Arc<str>>,
    },
    /// Reads the balances of a wallet.
    Balance(BalanceQuery),
    /// Reads a transaction.
    Transaction {
        /// Which one.
        transaction_id: Uuid,
    },
    /// Reads the postings of a wallet.
    History(HistoryQuery),
}

/// How a transaction that waits is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolve {
    /// Done: this much of it, or all. The rest is released.
    Settle {
        /// As the client wrote it; all when there is none.
        amount: Option<Decimal>,
    },
    /// Not done: all is released.
    Cancel,
    /// Not done, because its time is over.
    Expire,
}

/// An amount that is to enter or leave a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// What makes a retry the same request.
    pub identity: Identity,
    /// Whose balance changes: the payer's, of a transfer.
    pub wallet_id: WalletId,
    /// The ticker's name, as the client wrote it.
    pub ticker: String,
    /// As the client wrote it; the ticker decides whether it fits.
    pub amount: Decimal,
    /// Whether it waits to be ended, and for how long.
    pub pending: Option<Pending>,
    /// What the client wants to find again with the transaction: the text of a JSON object.
    pub metadata: Option<Arc<str>>,
    /// Who asks for it, when that is known. It is recorded, and changes nothing else: a retry by another is the
    /// same request.
    pub requested_by: Option<Arc<str>>,
}

/// A transaction is to wait in status `Created`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// After this time it expires; never when there is none.
    pub timeout: Option<Duration>,
}

/// Which balances are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceQuery {
    /// Whose.
    pub wallet_id: WalletId,
    /// Only of this ticker.
    pub ticker: Option<String>,
    /// As they were then.
    pub at: Option<SystemTime>,
}

/// What succeeds or fails as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// A command of its own.
    One(Command),
    /// Commands that are all done, or none of them.
    AllOrNone(Vec<Command>),
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

impl Command {
    /// The kind of this command.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Invoice(_) => Operation::Invoice,
            Self::Withdraw(_) => Operation::Withdraw,
            Self::Transfer { .. } => Operation::Transfer,
            Self::Resolve { how: Resolve::Settle { .. }, .. } => Operation::Settle,
            Self::Resolve { how: Resolve::Cancel, .. } => Operation::Cancel,
            Self::Resolve { how: Resolve::Expire, .. } => Operation::Expire,
            Self::Balance(_) => Operation::Balance,
            Self::Transaction { .. } => Operation::Transaction,
            Self::History(_) => Operation::History,
        }
    }

    /// The movement of a command that opens a transaction.
    #[must_use]
    pub const fn movement(&self) -> Option<&Movement> {
        match self {
            Self::Invoice(movement) | Self::Withdraw(movement) | Self::Transfer { movement, .. } => {
                Some(movement)
            }
            _ => None,
        }
    }

    /// The identity of a command that opens a transaction, to be changed.
    pub const fn identity_mut(&mut self) -> Option<&mut Identity> {
        match self {
            Self::Invoice(movement) | Self::Withdraw(movement) | Self::Transfer { movement, .. } => {
                Some(&mut movement.identity)
            }
            _ => None,
        }
    }

    /// The wallets that this command names. The end of a transaction names none: the transaction does.
    pub fn wallet_ids(&self) -> impl Iterator<Item = WalletId> {
        let (first, second) = match self {
            Self::Invoice(movement) | Self::Withdraw(movement) => (Some(movement.wallet_id), None),
            Self::Transfer { movement, to_wallet_id } => (Some(movement.wallet_id), Some(*to_wallet_id)),
            Self::Balance(query) => (Some(query.wallet_id), None),
            Self::History(query) => (Some(query.wallet_id), None),
            Self::Resolve { .. } | Self::Transaction { .. } => (None, None),
        };
        first.into_iter().chain(second)
    }

    /// The ticker that this command names.
    #[must_use]
    pub fn ticker(&self) -> Option<&str> {
        match self {
            Self::Balance(query) => query.ticker.as_deref(),
            Self::History(query) => query.ticker.as_deref(),
            _ => self.movement().map(|movement| movement.ticker.as_str()),
        }
    }

    /// The wallet whose balances are asked for.
    #[must_use]
    pub const fn asked_wallet(&self) -> Option<WalletId> {
        match self {
            Self::Balance(query) => Some(query.wallet_id),
            _ => None,
        }
    }

    /// The wallet whose balances of a time in the past are asked for, and the time.
    #[must_use]
    pub fn asked_moment(&self) -> Option<(WalletId, SystemTime)> {
        match self {
            Self::Balance(query) => query.at.map(|at| (query.wallet_id, at)),
            _ => None,
        }
    }

    /// The page of history that is asked for.
    #[must_use]
    pub const fn asked_page(&self) -> Option<&HistoryQuery> {
        match self {
            Self::History(query) => Some(query),
            _ => None,
        }
    }

    /// The transaction that this command ends or reads.
    #[must_use]
    pub const fn named_transaction(&self) -> Option<Uuid> {
        match self {
            Self::Resolve { transaction_id, .. } | Self::Transaction { transaction_id } => {
                Some(*transaction_id)
            }
            _ => None,
        }
    }
}

impl Group {
    /// Its commands, in their order.
    #[must_use]
    pub fn commands(&self) -> &[Command] {
        match self {
            Self::One(command) => std::slice::from_ref(command),
            Self::AllOrNone(commands) => commands,
        }
    }

    /// Its commands, in their order, to be kept.
    pub fn into_commands(self) -> impl Iterator<Item = Command> {
        let (one, many) = match self {
            Self::One(command) => (Some(command), Vec::new()),
            Self::AllOrNone(commands) => (None, commands),
        };
        one.into_iter().chain(many)
    }

    /// Its commands, to be changed.
    pub fn commands_mut(&mut self) -> &mut [Command] {
        match self {
            Self::One(command) => std::slice::from_mut(command),
            Self::AllOrNone(commands) => commands,
        }
    }
}
