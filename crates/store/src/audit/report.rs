//! The findings of an audit.

use std::fmt;
use std::time::Duration;

use florin_ledger::WalletId;
use uuid::Uuid;

/// An invariant of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// What protects the tables exists and works.
    Schema,
    Versions,
    Balances,
    Limits,
    Times,
    Held,
    Frozen,
    Amounts,
    Fields,
    Errors,
    Catalog,
    Legs,
    Resolutions,
    Holds,
    Expiry,
    Identities,
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
        Self::Resolutions,
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
            Self::Resolutions => "resolutions",
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
            Self::Schema => "keys, constraints and triggers exist and work",
            Self::Versions => "the postings of a balance are numbered 1, 2, 3...",
            Self::Balances => "each balance is the previous one plus its change",
            Self::Limits => "no balance is negative or too large",
            Self::Times => "times never go back from posting to posting",
            Self::Held => "`held` says whether a balance ever held anything",
            Self::Frozen => "frozen balances are the sums of the open holds",
            Self::Amounts => "amounts are positive and as precise as their ticker",
            Self::Fields => "the fields of a posting are consistent",
            Self::Errors => "error codes are known and occur only where they may",
            Self::Catalog => "the wallet and the ticker of each posting exist",
            Self::Legs => "the postings of a transaction agree",
            Self::Resolutions => "only holds were resolved, once, for no more than they held",
            Self::Holds => "the list of holds is the transactions in status Created",
            Self::Expiry => "overdue holds are expired within a minute",
            Self::Identities => "each leg of a transaction occurs once",
            Self::Money => "invoices minus withdrawals equal the sum of all balances",
        }
    }

    /// Whether its findings are only warnings: the ledger is sound all the same.
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

/// A violation of an invariant, and where to look it up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Finding {
    /// What it is about, if not a posting.
    pub subject: Option<String>,
    pub wallet_id: Option<WalletId>,
    /// The ticker; `#` and its key if there is no such ticker.
    pub ticker: Option<String>,
    /// The posting's number in its chain.
    pub version: Option<i64>,
    pub transaction_id: Option<Uuid>,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    pub check: Check,
    /// How many rows it examined; none if a key of the table guarantees it.
    pub examined: Option<i64>,
    /// How many of them violate the invariant.
    pub findings: i64,
    /// The first of these.
    pub first: Vec<Finding>,
}

impl CheckReport {
    pub(super) const fn new(check: Check) -> Self {
        Self { check, examined: None, findings: 0, first: Vec::new() }
    }
}

/// The result of an audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditReport {
    pub checks: Vec<CheckReport>,
    pub postings: i64,
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
