//! What an audit finds.

use std::fmt;
use std::time::Duration;

use florin_ledger::WalletId;
use uuid::Uuid;

/// An invariant, by the name that travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// What protects the tables is there and works.
    Schema,
    /// Postings are numbered without a gap.
    Versions,
    /// Each balance follows from the one before.
    Balances,
    /// Balances are within their limits.
    Limits,
    /// Times never go back.
    Times,
    /// It is known which balances ever held anything.
    Held,
    /// Frozen balances are what waits.
    Frozen,
    /// Amounts are what amounts can be.
    Amounts,
    /// The fields of a posting fit each other.
    Fields,
    /// Error codes are known and stand where they belong.
    Errors,
    /// Wallets and tickers exist.
    Catalog,
    /// The postings of a transaction fit each other.
    Legs,
    /// Only what waits is ended.
    Endings,
    /// The list of what waits.
    Holds,
    /// What has expired is ended.
    Expiry,
    /// Each leg of a transaction is there once.
    Identities,
    /// Money comes and goes by invoices and withdrawals only.
    Money,
}

impl Check {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Schema,
        Self::Versions,
        Self::Balances,
        Self::Limits,
        Self::Times,
        Self::Held,
        Self::Frozen,
        Self::Amounts,
        Self::Fields,
        Self::Errors,
        Self::Catalog,
        Self::Legs,
        Self::Endings,
        Self::Holds,
        Self::Expiry,
        Self::Identities,
        Self::Money,
    ];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Versions => "versions",
            Self::Balances => "balances",
            Self::Limits => "limits",
            Self::Times => "times",
            Self::Held => "held",
            Self::Frozen => "frozen",
            Self::Amounts => "amounts",
            Self::Fields => "fields",
            Self::Errors => "errors",
            Self::Catalog => "catalog",
            Self::Legs => "legs",
            Self::Endings => "endings",
            Self::Holds => "holds",
            Self::Expiry => "expiry",
            Self::Identities => "identities",
            Self::Money => "money",
        }
    }

    /// What must hold, for people.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Schema => "keys, constraints and triggers are there and work",
            Self::Versions => "the postings of a balance are numbered 1, 2, 3...",
            Self::Balances => "each balance is the one before plus its change",
            Self::Limits => "no balance is below zero or too large",
            Self::Times => "times never go back from posting to posting",
            Self::Held => "`held` says whether a balance ever held anything",
            Self::Frozen => "what is frozen is the sum of the open holds",
            Self::Amounts => "amounts are above zero and as precise as their ticker",
            Self::Fields => "the fields of a posting fit each other",
            Self::Errors => "error codes are known and stand where they belong",
            Self::Catalog => "wallets and tickers of postings exist",
            Self::Legs => "the postings of a transaction fit each other",
            Self::Endings => "only what waited was ended, later, by no more than it held",
            Self::Holds => "holds are the transactions in status Created",
            Self::Expiry => "what has expired is ended within a minute",
            Self::Identities => "each leg of a transaction is there once",
            Self::Money => "invoices less withdrawals are the sum of all balances",
        }
    }

    /// Whether its findings are no fault of the data.
    #[must_use]
    pub const fn is_warning(self) -> bool {
        matches!(self, Self::Expiry)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something that breaks an invariant, and where to look it up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Finding {
    /// What it is, when it is not a posting.
    pub subject: Option<String>,
    /// The wallet of the posting.
    pub wallet_id: Option<WalletId>,
    /// The ticker of the posting; `#` and its number when there is no such ticker.
    pub ticker: Option<String>,
    /// The number of the posting in its chain.
    pub version: Option<i64>,
    /// The transaction.
    pub transaction_id: Option<Uuid>,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// What became of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// Which one.
    pub check: Check,
    /// How many rows it looked at; none when a key of the table answers for it.
    pub examined: Option<i64>,
    /// How many of them break it.
    pub findings: i64,
    /// The first of these.
    pub first: Vec<Finding>,
}

impl CheckReport {
    pub(super) const fn new(check: Check) -> Self {
        Self { check, examined: None, findings: 0, first: Vec::new() }
    }
}

/// What became of an audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditReport {
    /// One per check.
    pub checks: Vec<CheckReport>,
    /// How many postings there are.
    pub postings: i64,
    /// How long it took.
    pub duration: Duration,
}

impl AuditReport {
    pub(super) fn new(
        checks: impl IntoIterator<Item = CheckReport>,
        postings: i64,
        duration: Duration,
    ) -> Self {
        Self { checks: checks.into_iter().collect(), postings, duration }
    }

    /// The checks that failed, without those that only warn.
    pub fn failed(&self) -> impl Iterator<Item = &CheckReport> {
        self.checks.iter().filter(|report| report.findings > 0 && !report.check.is_warning())
    }
}
