//! Requests, decoded.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use crate::{Decimal, HistoryQuery, Operation, WalletId};

/// The first half of a SHA-256 over the meaning of a request: equal for two requests that mean the same.
pub type RequestHash = [u8; 16];

/// A decoded request: one operation with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Credits a wallet.
    Invoice(Movement),
    /// Debits a wallet.
    Withdraw(Movement),
    /// Debits one wallet and credits another.
    Transfer {
        /// The payer's side.
        movement: Movement,
        /// The wallet that is credited.
        to_wallet_id: WalletId,
    },
    /// Resolves a hold.
    Resolve {
        /// The transaction that is the hold.
        transaction_id: Uuid,
        /// Whether to capture or to release it.
        how: Resolve,
        /// Who requests it, if known. Recorded; has no other effect.
        requested_by: Option<Arc<str>>,
    },
    /// Reads the balances of a wallet, now or at a time.
    Balance(BalanceQuery),
    /// Reads one transaction.
    Transaction {
        /// The identity of the request that opened it.
        transaction_id: Uuid,
    },
    /// Reads a page of a wallet's postings.
    History(HistoryQuery),
}

/// How to resolve a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolve {
    /// Captures all of it or a part. The rest is released.
    Settle {
        /// The amount to capture, as the client wrote it; none for all.
        amount: Option<Decimal>,
    },
    /// Releases all of it.
    Cancel,
    /// Releases all of it, because its expiry time has passed.
    Expire,
}

/// An amount to credit or debit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// What makes a retry the same request.
    pub identity: Identity,
    /// The wallet whose balance changes; the payer of a transfer.
    pub wallet_id: WalletId,
    /// The ticker's name, as the client wrote it.
    pub ticker: String,
    /// As the client wrote it; must fit the ticker's scale.
    pub amount: Decimal,
    /// Present for a hold; none to complete at once.
    pub pending: Option<Pending>,
    /// The client's metadata: the text of a JSON object, kept with the transaction.
    pub metadata: Option<Arc<str>>,
    /// Who requests it, if known. Recorded; has no other effect: a retry by somebody else is the same
    /// request.
    pub requested_by: Option<Arc<str>>,
}

/// The transaction is opened as a hold, in status `Created`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// The time until it expires; none for a hold without expiry.
    pub timeout: Option<Duration>,
}

/// Selects balances of one wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceQuery {
    /// The wallet whose balances are read.
    pub wallet_id: WalletId,
    /// Only the balance in this ticker; none for all.
    pub ticker: Option<String>,
    /// The balances at this time; none for now.
    pub at: Option<SystemTime>,
}

/// Commands that are applied all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// A single command.
    One(Command),
    /// An atomic batch: if one is refused, all are.
    AllOrNone(Vec<Command>),
}

/// What makes a retry the same request. It is also the transaction's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The id of the transaction that this request opens, or opened before.
    pub transaction_id: Uuid,
    /// Tells a retry from a different request under the same identity.
    pub request_hash: RequestHash,
    /// What to do if the identity is taken.
    pub on_existing: OnExisting,
    /// Whether the broker may have delivered this request before.
    pub redelivered: bool,
}

/// What to do if a request's identity is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExisting {
    /// Replay: it is the same request, sent or delivered again, and gets the same answer.
    Replay,
    /// The client sent no identity, and this is the first delivery. If another request with the same
    /// content has the derived identity already, this one gets a fresh identity; unless that is this very
    /// request, redelivered to another instance since.
    Renew {
        /// When the broker delivered it.
        received_at: SystemTime,
    },
}

impl Command {
    /// The operation that the command came from.
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

    /// The movement, if the command opens a transaction.
    #[must_use]
    pub const fn movement(&self) -> Option<&Movement> {
        match self {
            Self::Invoice(movement) | Self::Withdraw(movement) | Self::Transfer { movement, .. } => {
                Some(movement)
            }
            _ => None,
        }
    }

    /// The identity, if the command opens a transaction, for replacing it.
    pub const fn identity_mut(&mut self) -> Option<&mut Identity> {
        match self {
            Self::Invoice(movement) | Self::Withdraw(movement) | Self::Transfer { movement, .. } => {
                Some(&mut movement.identity)
            }
            _ => None,
        }
    }

    /// The wallets that the command names. A resolution names none: its transaction does.
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

    /// The ticker that the command names.
    #[must_use]
    pub fn ticker(&self) -> Option<&str> {
        match self {
            Self::Balance(query) => query.ticker.as_deref(),
            Self::History(query) => query.ticker.as_deref(),
            _ => self.movement().map(|movement| movement.ticker.as_str()),
        }
    }

    /// The wallet, if the command reads balances.
    #[must_use]
    pub const fn queried_wallet(&self) -> Option<WalletId> {
        match self {
            Self::Balance(query) => Some(query.wallet_id),
            _ => None,
        }
    }

    /// The wallet and the time, if the command reads balances at a time.
    #[must_use]
    pub fn queried_moment(&self) -> Option<(WalletId, SystemTime)> {
        match self {
            Self::Balance(query) => query.at.map(|at| (query.wallet_id, at)),
            _ => None,
        }
    }

    /// The query, if the command reads history.
    #[must_use]
    pub const fn queried_page(&self) -> Option<&HistoryQuery> {
        match self {
            Self::History(query) => Some(query),
            _ => None,
        }
    }

    /// The transaction that the command resolves or reads.
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
    /// The commands of the group, in order.
    #[must_use]
    pub fn commands(&self) -> &[Command] {
        match self {
            Self::One(command) => std::slice::from_ref(command),
            Self::AllOrNone(commands) => commands,
        }
    }

    /// The commands of the group, in order, by value.
    pub fn into_commands(self) -> impl Iterator<Item = Command> {
        let (one, many) = match self {
            Self::One(command) => (Some(command), Vec::new()),
            Self::AllOrNone(commands) => (None, commands),
        };
        one.into_iter().chain(many)
    }

    /// The commands of the group, for changing identities.
    pub fn commands_mut(&mut self) -> &mut [Command] {
        match self {
            Self::One(command) => std::slice::from_mut(command),
            Self::AllOrNone(commands) => commands,
        }
    }
}
