//! A transaction: how it was opened, how it ended, and the postings that each of the two wrote.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use uuid::Uuid;

use crate::{Balance, ErrorCode, Operation, RequestHash, Ticker, WalletId};

/// The status of a transaction. `Success` and `Error` are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Waits to be ended.
    Created,
    /// Done.
    Success,
    /// Refused or ended without effect.
    Error,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Created, Self::Success, Self::Error];

    /// The name that travels and that the tables hold.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Success => "Success",
            Self::Error => "Error",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no such status: {0:?}")]
pub struct UnknownStatus(String);

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(name: &str) -> Result<Self, UnknownStatus> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == name);
        found.ok_or_else(|| UnknownStatus(name.to_owned()))
    }
}

/// All that is kept of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Its id, which is the identity of the request that opened it.
    pub id: Uuid,
    /// What opened it: `Invoice`, `Withdraw` or `Transfer`.
    pub operation: Operation,
    /// Whose balance it moves: the payer's, of a transfer.
    pub wallet_id: WalletId,
    /// The payee of a transfer.
    pub to_wallet_id: Option<WalletId>,
    /// Of which ticker.
    pub ticker: Ticker,
    /// The amount asked for, in minor units.
    pub amount: i128,
    /// The status that it was opened with.
    pub opened: Status,
    /// Why it was refused when it was opened.
    pub refusal: Option<ErrorCode>,
    /// When it was opened.
    pub created_at: SystemTime,
    /// When it expires, if it still waits then.
    pub expires_at: Option<SystemTime>,
    /// What the client wants to find again: the text of a JSON object.
    pub metadata: Option<Arc<str>>,
    /// Who asked for it, when that is known.
    pub requested_by: Option<Arc<str>>,
    /// The hash of the request that opened it.
    pub request_hash: RequestHash,
    /// Whether that request may have been delivered before.
    pub redelivered: bool,
    /// How it ended, when it was opened as `Created` and waits no more.
    pub resolution: Option<Resolution>,
}

/// How a transaction that waited has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// Why it was not done: `Cancelled` or `Expired`; none when it was settled.
    pub error: Option<ErrorCode>,
    /// What was settled, or released, in minor units.
    pub amount: i128,
    /// When.
    pub at: SystemTime,
    /// Who asked for it, when that is known; none as well when the time was over before anybody asked.
    pub requested_by: Option<Arc<str>>,
}

impl Transaction {
    /// The present status.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self.resolution {
            Some(Resolution { error: None, .. }) => Status::Success,
            Some(Resolution { error: Some(_), .. }) => Status::Error,
            None => self.opened,
        }
    }

    /// Why it is in status `Error`.
    #[must_use]
    pub const fn error(&self) -> Option<ErrorCode> {
        match &self.resolution {
            Some(resolution) => resolution.error,
            None => self.refusal,
        }
    }

    /// When it reached its final status.
    #[must_use]
    pub fn ended_at(&self) -> Option<SystemTime> {
        match (&self.resolution, self.opened) {
            (Some(resolution), _) => Some(resolution.at),
            (None, Status::Created) => None,
            (None, Status::Success | Status::Error) => Some(self.created_at),
        }
    }

    /// What the last step moved, in minor units: the amount asked for, settled or released.
    #[must_use]
    pub fn moved(&self) -> i128 {
        self.resolution.as_ref().map_or(self.amount, |resolution| resolution.amount)
    }

    /// The other wallet of a transfer.
    #[must_use]
    pub fn counterparty_of(&self, wallet_id: WalletId) -> Option<WalletId> {
        self.to_wallet_id.map(|to| if to == wallet_id { self.wallet_id } else { to })
    }

    /// As it was when it was opened.
    #[must_use]
    pub fn as_opened(&self) -> Self {
        Self { resolution: None, ..self.clone() }
    }
}

/// One change of one balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting {
    /// Whose balance.
    pub wallet_id: WalletId,
    /// Which leg of the transaction: 0 opens it, 2 ends it, 1 and 3 are the payee's side of these.
    pub leg: i16,
    /// The balance after it, its number in the chain, and its time.
    pub after: Balance,
}

/// A step in the life of a transaction: it was opened, or it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The transaction after the step.
    pub transaction: Transaction,
    /// The posting of the payer; or of the only wallet.
    pub first: Posting,
    /// The posting of the payee of a transfer.
    pub second: Option<Posting>,
}

impl Change {
    /// Its postings.
    pub fn postings(&self) -> impl Iterator<Item = &Posting> {
        std::iter::once(&self.first).chain(&self.second)
    }
}
