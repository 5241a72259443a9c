//! What became of a command, and the postings that make it so.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use uuid::Uuid;

use crate::{Decimal, ErrorCode, Operation, RequestHash, Tail, Ticker, WalletId};

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
        let all = [Self::Created, Self::Success, Self::Error];
        let found = all.into_iter().find(|status| status.as_str() == name);
        found.ok_or_else(|| UnknownStatus(name.to_owned()))
    }
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether this repeats the answer of an earlier request with the same identity.
    pub replayed: bool,
    /// The answer itself.
    pub answer: Answer,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The transaction stands.
    Transaction {
        /// Its id.
        transaction_id: Uuid,
        /// Its status.
        status: Status,
    },
    /// The balances of a wallet, sorted by ticker name; only those that ever held anything.
    Balance(Vec<BalanceLine>),
    /// Refused.
    Refused {
        /// Why.
        code: ErrorCode,
        /// The transaction in status Error that records the refusal, when there is one.
        transaction_id: Option<Uuid>,
    },
}

impl Outcome {
    /// An answer given for the first time.
    #[must_use]
    pub const fn fresh(answer: Answer) -> Self {
        Self { replayed: false, answer }
    }

    /// A refusal that leaves no transaction behind.
    #[must_use]
    pub const fn refused(code: ErrorCode) -> Self {
        Self::fresh(Answer::Refused { code, transaction_id: None })
    }
}

/// One balance of a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceLine {
    /// The ticker's name.
    pub ticker: String,
    /// What can be withdrawn.
    pub actual: Decimal,
    /// What waits on transactions in status Created.
    pub frozen: Decimal,
}

/// One change of one balance: the row to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// Whose balance.
    pub wallet_id: WalletId,
    /// Of which ticker.
    pub ticker: Ticker,
    /// The balance after this posting, and the posting's number in its chain.
    pub after: Tail,
    /// The transaction that this posting belongs to.
    pub transaction_id: Uuid,
    /// Which part of the transaction: 0 opens it.
    pub part: i16,
    /// What was asked.
    pub operation: Operation,
    /// The transaction's status from here on.
    pub status: Status,
    /// Why it ended in Error.
    pub error: Option<ErrorCode>,
    /// The amount asked for, in minor units.
    pub amount: i128,
    /// The hash of the request.
    pub request_hash: RequestHash,
    /// Whether the request may have been delivered before.
    pub redelivered: bool,
    /// When the rules decided.
    pub created_at: SystemTime,
}
