//! Proves from the records of a run that nothing was lost, applied twice or invented; or lists what was.
//!
//! A pure function over the files: no clock, no network, and none of the service's own rules. `ledger` makes
//! chains and transactions of the rows and checks them by themselves; `asked` reads the requests; then the
//! rows are compared with the requests (`origin`), the answers against both (`answers`), what clients read
//! against the order of their histories (`reads`), and the events against the rows (`events`).

mod answers;
mod asked;
mod audit;
mod events;
mod ledger;
mod origin;
mod reads;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use self::asked::Requests;
use self::ledger::Ledger;
use crate::record::Records;

/// How many violations of one rule are listed. All are counted.
const LISTED: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    pub rule: Rule,
    pub what: String,
    /// The requests that it is about.
    pub requests: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A request that the broker confirmed is answered, or queued, or a dead letter.
    Lost,
    /// All answers to a request are the same.
    TwoAnswers,
    /// A request is applied at most once.
    AppliedTwice,
    /// Every row belongs to a request, and does what it asked for.
    Invented,
    /// An answer agrees with what was committed.
    AnswerWithoutRow,
    /// An answer is possible for its request.
    WrongAnswer,
    /// The versions of a chain are 1, 2, 3... and each row follows from the one before.
    Chain,
    /// No balance is below zero.
    Negative,
    /// The legs of a transaction belong together, and a final status stays.
    Transaction,
    /// Per ticker, the sum of balances is what was invoiced less what was withdrawn.
    Conservation,
    /// Reads of a client never go back, and include what was confirmed to it before.
    Read,
    /// Every row has its event, with the same values.
    Event,
    /// `florin verify` finds nothing.
    Verify,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)?;
        if !self.requests.is_empty() {
            write!(f, " [{}]", self.requests.join(", "))?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// How many violations there are, by rule.
    pub violations: BTreeMap<Rule, usize>,
    /// The first of each rule.
    pub listed: Vec<Violation>,
    pub seen: Seen,
}

/// Counts of what was checked: a check of nothing would find nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub requests: usize,
    pub attempts: usize,
    /// Attempts that the broker confirmed.
    pub confirmed: usize,
    /// Answers, copies included.
    pub answers: usize,
    /// Requests with more than one answer.
    pub repeated: usize,
    pub unanswered: usize,
    /// Those left in the work queue.
    pub queued: usize,
    pub dead: usize,
    pub postings: usize,
    /// Balances.
    pub chains: usize,
    pub expired: usize,
    /// Events, repetitions included.
    pub events: usize,
    /// Reads that were compared with the ledger.
    pub reads: usize,
}

impl Verdict {
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    fn add(&mut self, rule: Rule, requests: &[&str], what: impl Into<String>) {
        let count = self.violations.entry(rule).or_default();
        *count += 1;
        if *count <= LISTED {
            let requests = requests.iter().copied().map(str::to_owned).collect();
            self.listed.push(Violation { rule, what: what.into(), requests });
        }
    }
}

/// Checks the records of a run.
#[must_use]
pub fn check(records: &Records) -> Verdict {
    let mut verdict = Verdict::default();
    let ledger = Ledger::read(records, &mut verdict);
    ledger.check(&mut verdict);
    let requests = Requests::read(records, &mut verdict);
    let origins = origin::check(&ledger, &requests, &mut verdict);
    answers::check(records, &ledger, &requests, &origins, &mut verdict);
    reads::check(records, &ledger, &requests, &mut verdict);
    events::check(records, &ledger, &origins, &mut verdict);
    audit::check(records, &mut verdict);
    verdict.seen.queued = records.work.len();
    verdict.seen.dead = records.dead.len();
    verdict
}
