//! The result of a command.

use uuid::Uuid;

use crate::{Decimal, ErrorCode, Page, Status, Transaction};

/// The result of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether this repeats the answer to an earlier request with the same identity.
    pub replayed: bool,
    /// The same for the first request and for its replays.
    pub answer: Answer,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The transaction was opened: completed at once, or as a hold.
    Opened {
        /// The identity of the request.
        transaction_id: Uuid,
        /// `Success`, or `Created` for a hold.
        status: Status,
    },
    /// The hold was settled, cancelled or has expired.
    Resolved {
        /// The transaction that was the hold.
        transaction_id: Uuid,
        /// The amount captured; none if the hold was cancelled or has expired.
        settled: Option<Decimal>,
        /// `Cancelled` or `Expired`; none if it was settled.
        error: Option<ErrorCode>,
    },
    /// The balances of a wallet, sorted by ticker name; only those that were ever credited.
    Balance(Vec<BalanceLine>),
    /// The transaction that was queried, with all its details.
    Transaction(Box<Transaction>),
    /// One page of a wallet's postings.
    History(Page),
    /// The rules refused the command.
    Refused {
        /// The first rule that was broken, in order of precedence.
        code: ErrorCode,
        /// The transaction in status Error that records the refusal, if a balance had to be read for it.
        transaction_id: Option<Uuid>,
    },
}

impl Outcome {
    /// An answer given for the first time, not a replay.
    #[must_use]
    pub const fn fresh(answer: Answer) -> Self {
        Self { replayed: false, answer }
    }

    /// A refusal that leaves no transaction behind.
    #[must_use]
    pub const fn refused(code: ErrorCode) -> Self {
        Self::fresh(Answer::Refused { code, transaction_id: None })
    }

    /// The `code` of the reply: an HTTP status code, 202 for a new hold.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match &self.answer {
            Answer::Refused { code, .. } => code.status(),
            Answer::Opened { status: Status::Created, .. } => 202,
            _ => 200,
        }
    }

    /// The error code, if the command was refused.
    #[must_use]
    pub const fn refusal(&self) -> Option<ErrorCode> {
        match self.answer {
            Answer::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}

/// One balance of a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceLine {
    /// The ticker's name.
    pub ticker: String,
    /// Available to withdraw.
    pub actual: Decimal,
    /// Frozen by holds.
    pub frozen: Decimal,
}
