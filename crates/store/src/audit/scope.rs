//! What one statement examines, and its conditions.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use super::{Check, Finding, chains, identities, rows, transactions};
use crate::Error;
use crate::rows::get;

/// A part of the work, in the order of the findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Postings by themselves, in a range of blocks of the table: from the first, up to but not including the
    /// second.
    Rows(Option<i64>, Option<i64>),
    /// The chains of a range of wallets, both ends included.
    Chains(i64, i64),
    /// What belongs to one transaction.
    Transactions,
    /// Duplicate legs of transactions.
    Identities,
}

/// What must hold for every row of a scope.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) check: Check,
    /// An SQL expression; null counts as broken.
    pub(super) sound: String,
    /// What should be there, for people: an SQL expression of type text.
    pub(super) expected: &'static str,
    /// What is there, for people: an SQL expression of type text.
    pub(super) found: &'static str,
}

/// Rows of a scope that break the same conditions.
#[derive(Debug, Clone)]
pub(super) struct Count {
    /// The ticker, where the scope groups by it.
    pub(super) ticker_id: Option<i32>,
    /// The conditions that they break: bit 0 is the first one.
    pub(super) broken: i32,
    pub(super) rows: i64,
    /// How many of the things that the scope examines.
    pub(super) examined: i64,
    /// The sum that the scope calculates.
    pub(super) amount: Option<String>,
}

impl Condition {
    pub(super) fn new(
        check: Check,
        sound: impl Into<String>,
        expected: &'static str,
        found: &'static str,
    ) -> Self {
        Self { check, sound: sound.into(), expected, found }
    }
}

impl Scope {
    /// The conditions, in the order of their bits.
    pub(super) fn conditions(self) -> Vec<Condition> {
        match self {
            Self::Rows(..) => rows::conditions(),
            Self::Chains(..) => chains::conditions(),
            Self::Transactions => transactions::conditions(),
            Self::Identities => identities::conditions(),
        }
    }

    /// Counts the rows by the conditions that they break.
    pub(super) async fn count(self, session: &ClientWrapper) -> Result<Vec<Count>, Error> {
        let sql = match self {
            Self::Rows(from, to) => rows::count(from, to),
            Self::Chains(from, to) => chains::count(from, to),
            Self::Transactions => transactions::count(),
            Self::Identities => identities::count(),
        };
        session.query(&sql, &[]).await?.iter().map(Count::of).collect()
    }

    /// The first rows that break the condition of this bit.
    pub(super) async fn list(
        self,
        session: &ClientWrapper,
        bit: usize,
        limit: usize,
    ) -> Result<Vec<Finding>, Error> {
        let conditions = self.conditions();
        let condition = &conditions[bit];
        let sql = match self {
            Self::Rows(from, to) => rows::list(from, to, condition, limit),
            Self::Chains(from, to) => chains::list(from, to, bit, condition, limit),
            Self::Transactions => transactions::list(bit, condition, limit),
            Self::Identities => identities::list(condition, limit),
        };
        session.query(&sql, &[]).await?.iter().map(finding).collect()
    }
}

impl Count {
    fn of(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            ticker_id: get(row, "ticker_id")?,
            broken: get(row, "broken")?,
            rows: get(row, "rows")?,
            examined: get(row, "examined")?,
            amount: get(row, "amount")?,
        })
    }
}

fn finding(row: &Row) -> Result<Finding, Error> {
    Ok(Finding {
        subject: None,
        wallet_id: get(row, "wallet_id")?,
        ticker: get(row, "ticker")?,
        version: get(row, "version")?,
        transaction_id: get(row, "transaction_id")?,
        expected: get(row, "expected")?,
        found: get(row, "found")?,
    })
}

/// A number in SQL whose bits, from this one on, say which of the conditions are broken.
pub(super) fn broken(conditions: &[Condition], first_bit: usize) -> String {
    let bit = |(index, condition): (usize, &Condition)| {
        format!("CASE WHEN {} THEN 0 ELSE {} END", condition.sound, 1 << (first_bit + index))
    };
    conditions.iter().enumerate().map(bit).collect::<Vec<_>>().join("\n + ")
}
