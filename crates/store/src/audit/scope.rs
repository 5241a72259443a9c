//! What one statement examines, and the conditions that it examines it by.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use super::{Check, Finding, chains, identities, rows, transactions};
use crate::Error;

/// A part of the work. The order is that of the findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Postings by themselves, in a range of blocks of the table: from the first on, up to before the second.
    Rows(Option<i64>, Option<i64>),
    /// The chains of a range of wallets, both ends included.
    Chains(i64, i64),
    /// What belongs to one transaction.
    Transactions,
    /// Legs of transactions that are there twice.
    Identities,
}

/// What must hold for every row of a scope.
#[derive(Debug)]
pub(super) struct Condition {
    /// Leg of which check.
    pub(super) check: Check,
    /// An expression of SQL; null counts as broken.
    pub(super) sound: String,
    /// For people: what should be there. A text in SQL.
    pub(super) expected: &'static str,
    /// For people: what is there. A text in SQL.
    pub(super) found: &'static str,
}

/// Rows of a scope that break the same conditions.
#[derive(Debug, Clone)]
pub(super) struct Count {
    /// Of this ticker, where the scope tells them apart.
    pub(super) ticker_id: Option<i32>,
    /// The conditions that they break: bit 0 is the first one.
    pub(super) broken: i32,
    /// How many rows.
    pub(super) rows: i64,
    /// How many of what the scope examines.
    pub(super) examined: i64,
    /// The sum that the scope makes of them.
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
        Ok(session.query(&sql, &[]).await?.iter().map(Count::of).collect())
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
        Ok(session.query(&sql, &[]).await?.iter().map(finding).collect())
    }
}

impl Count {
    fn of(row: &Row) -> Self {
        Self {
            ticker_id: row.get(0),
            broken: row.get(1),
            rows: row.get(2),
            examined: row.get(3),
            amount: row.get(4),
        }
    }
}

fn finding(row: &Row) -> Finding {
    Finding {
        subject: None,
        wallet_id: row.get(0),
        ticker: row.get(1),
        version: row.get(2),
        transaction_id: row.get(3),
        expected: row.get(4),
        found: row.get(5),
    }
}

/// A number in SQL whose bits, from this one on, say which of the conditions are broken.
pub(super) fn broken(conditions: &[Condition], first_bit: usize) -> String {
    let bit = |(index, condition): (usize, &Condition)| {
        format!("CASE WHEN {} THEN 0 ELSE {} END", condition.sound, 1 << (first_bit + index))
    };
    conditions.iter().enumerate().map(bit).collect::<Vec<_>>().join("\n + ")
}
