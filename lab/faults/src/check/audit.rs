//! What `florin verify` found.
//!
//! Where a clock was put forward, it finds rows that are dated later than now; `ledger` checks that they are
//! in order all the same.

use serde::Deserialize;

use super::{Rule, Verdict};
use crate::record::{Records, Verified};

#[derive(Deserialize)]
struct Audit {
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct Check {
    check: String,
    findings: u64,
    #[serde(default)]
    first: Vec<Finding>,
}

#[derive(Deserialize)]
struct Finding {
    expected: String,
}

impl Check {
    fn is_about_rows_dated_ahead(&self) -> bool {
        self.check == "times" && self.first.iter().all(|finding| finding.expected.starts_with("not after "))
    }
}

pub(super) fn check(records: &Records, verdict: &mut Verdict) {
    let Verified { code, text } = &records.verified;
    if *code != Some(0) && !(records.dated_ahead && finds_only_rows_dated_ahead(text)) {
        verdict.add(Rule::Verify, &[], format!("exit code {code:?}: {}", text.trim()));
    }
}

/// The audit is followed by words for people.
fn finds_only_rows_dated_ahead(text: &str) -> bool {
    let audit = serde_json::Deserializer::from_str(text).into_iter::<Audit>().next();
    let Some(Ok(Audit { checks })) = audit else { return false };
    let mut found = checks.iter().filter(|check| check.findings > 0).peekable();
    found.peek().is_some() && found.all(Check::is_about_rows_dated_ahead)
}
