//! What became of a command.

use uuid::Uuid;

use crate::{Decimal, ErrorCode, Page, Status, Transaction};

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether this repeats the answer of an earlier request.
    pub replayed: bool,
    /// The answer itself.
    pub answer: Answer,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The transaction was opened: it is done, or it waits.
    Opened {
        /// Its id.
        transaction_id: Uuid,
        /// `Success` or `Created`.
        status: Status,
    },
    /// The transaction, which waited, has ended.
    Resolved {
        /// Its id.
        transaction_id: Uuid,
        /// How much was settled; none when it was cancelled or has expired.
        settled: Option<Decimal>,
        /// Why it was not done.
        error: Option<ErrorCode>,
    },
    /// The balances of a wallet, sorted by ticker name; only those that ever held anything.
    Balance(Vec<BalanceLine>),
    /// A transaction.
    Transaction(Box<Transaction>),
    /// Postings of a wallet.
    History(Page),
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

    /// The numeric code of the reply, in the sense of HTTP.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match &self.answer {
            Answer::Refused { code, .. } => code.status(),
            Answer::Opened { status: Status::Created, .. } => 202,
            _ => 200,
        }
    }

    /// Why it was refused.
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
    /// What can be withdrawn.
    pub actual: Decimal,
    /// What waits on transactions in status Created.
    pub frozen: Decimal,
}
