//! What an audit found, as tables for people and as JSON for programs.

use comfy_table::Table;
use florin_service::cli::output::table;
use florin_store::{AuditReport, CheckReport, Finding};
use serde::Serialize;

/// An audit, as programs get it.
#[derive(Serialize)]
pub(super) struct Audit<'a> {
    pub(super) sound: bool,
    verdict: String,
    postings: i64,
    duration_seconds: f64,
    postings_per_second: f64,
    checks: Vec<Checked<'a>>,
}

#[derive(Serialize)]
struct Checked<'a> {
    check: &'static str,
    must_hold: &'static str,
    /// Whether its findings only warn.
    warning: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    examined: Option<i64>,
    findings: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    first: Vec<Found<'a>>,
}

#[derive(Serialize)]
struct Found<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wallet_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticker: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<String>,
    expected: &'a str,
    found: &'a str,
}

impl<'a> Audit<'a> {
    pub(super) fn new(report: &'a AuditReport) -> Self {
        Self {
            sound: report.failed().next().is_none(),
            verdict: verdict(report),
            postings: report.postings,
            duration_seconds: report.duration.as_secs_f64(),
            postings_per_second: rate(report),
            checks: report.checks.iter().map(Checked::new).collect(),
        }
    }
}

impl<'a> Checked<'a> {
    fn new(report: &'a CheckReport) -> Self {
        Self {
            check: report.check.as_str(),
            must_hold: report.check.meaning(),
            warning: report.check.is_warning(),
            examined: report.examined,
            findings: report.findings,
            first: report.first.iter().map(Found::new).collect(),
        }
    }
}

impl<'a> Found<'a> {
    fn new(finding: &'a Finding) -> Self {
        Self {
            subject: finding.subject.as_deref(),
            wallet_id: finding.wallet_id,
            ticker: finding.ticker.as_deref(),
            version: finding.version,
            transaction_id: finding.transaction_id.map(|id| id.to_string()),
            expected: &finding.expected,
            found: &finding.found,
        }
    }
}

fn rate(report: &AuditReport) -> f64 {
    report.postings as f64 / report.duration.as_secs_f64().max(f64::EPSILON)
}

/// The verdict in one line, without warnings unless there are any.
fn verdict(report: &AuditReport) -> String {
    let sum =
        |checks: &mut dyn Iterator<Item = &CheckReport>| checks.map(|check| check.findings).sum::<i64>();
    let failed = report.failed().count();
    let findings = sum(&mut report.failed());
    let warnings = sum(&mut report.checks.iter().filter(|check| check.check.is_warning()));
    let warnings = match warnings {
        0 => String::new(),
        _ => format!(", {}", counted(warnings, "warning")),
    };
    let postings = counted(report.postings, "posting");
    match findings {
        0 => {
            format!("the ledger is sound: {postings}, {} checks, no findings{warnings}", report.checks.len())
        }
        _ => format!(
            "{} by {} of {} checks in {postings}{warnings}: the ledger is not sound",
            counted(findings, "finding"),
            failed,
            report.checks.len()
        ),
    }
}

fn counted(number: i64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// The result for people: all checks, then the findings of each, then the verdict.
pub(super) fn text(report: &AuditReport) -> String {
    let mut text = format!("{}\n\n", checks(report));
    for check in report.checks.iter().filter(|check| check.findings > 0) {
        let (findings, shown) = (check.findings, check.first.len());
        let kind = if check.check.is_warning() { "warning" } else { "finding" };
        text += &format!("{}: {}, {shown} shown\n", check.check, counted(findings, kind));
        if shown > 0 {
            text += &format!("{}\n", findings_table(&check.first));
        }
        text += "\n";
    }
    let (seconds, rate) = (report.duration.as_secs_f64(), rate(report));
    text + &format!("{} postings in {seconds:.1} s, {rate:.0} a second\n\n", report.postings)
        + &format!("Verdict: {}\n", verdict(report))
}

fn checks(report: &AuditReport) -> Table {
    let mut table = table(&["CHECK", "MUST HOLD", "EXAMINED", "FINDINGS"], &[2, 3]);
    for check in &report.checks {
        let examined = check.examined.map_or("-".to_owned(), |examined| examined.to_string());
        let findings = check.findings.to_string();
        table.add_row([check.check.as_str(), check.check.meaning(), &examined, &findings]);
    }
    table
}

fn findings_table(findings: &[Finding]) -> Table {
    if findings.iter().any(|finding| finding.subject.is_some()) {
        let mut table = table(&["SUBJECT", "EXPECTED", "FOUND"], &[]);
        for Finding { subject, expected, found, .. } in findings {
            table.add_row([subject.as_deref().unwrap_or("-"), expected, found]);
        }
        return table;
    }
    let header = ["WALLET", "TICKER", "VERSION", "TRANSACTION", "EXPECTED", "FOUND"];
    let mut table = table(&header, &[0, 2]);
    for finding in findings {
        table.add_row([
            or_dash(finding.wallet_id),
            or_dash(finding.ticker.as_deref()),
            or_dash(finding.version),
            or_dash(finding.transaction_id),
            finding.expected.clone(),
            finding.found.clone(),
        ]);
    }
    table
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use florin_store::Check;

    use super::*;

    fn report() -> AuditReport {
        let finding = Finding {
            wallet_id: Some(7),
            ticker: Some("USD".into()),
            version: Some(3),
            expected: "actual 10, frozen 0".into(),
            found: "actual 11, frozen 0".into(),
            ..Finding::default()
        };
        let check = |check, examined, findings, first| CheckReport { check, examined, findings, first };
        AuditReport {
            checks: vec![
                check(Check::Balances, Some(3000), 2, vec![finding]),
                check(Check::Identities, None, 0, Vec::new()),
            ],
            postings: 3000,
            duration: Duration::from_millis(1500),
        }
    }

    #[test]
    fn people_see_where_to_look() {
        let text = text(&report());
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let has = |words: &[&str]| lines.iter().any(|line| line.as_slice() == words);
        assert!(
            lines.iter().any(|line| line.starts_with(&["balances"]) && line.ends_with(&["3000", "2"])),
            "{text}"
        );
        assert!(
            lines.iter().any(|line| line.starts_with(&["identities"]) && line.ends_with(&["-", "0"])),
            "{text}"
        );
        assert!(has(&["balances:", "2", "findings,", "1", "shown"]), "{text}");
        assert!(
            has(&["7", "USD", "3", "-", "actual", "10,", "frozen", "0", "actual", "11,", "frozen", "0"]),
            "{text}"
        );
        assert!(text.contains("\n3000 postings in 1.5 s, 2000 a second\n"), "{text}");
        let verdict = "Verdict: 2 findings by 1 of 2 checks in 3000 postings: the ledger is not sound\n";
        assert!(text.ends_with(verdict), "{text}");
    }

    #[test]
    fn a_sound_ledger_has_a_verdict_too() {
        let mut sound = report();
        sound.checks[0].findings = 0;
        assert_eq!(verdict(&sound), "the ledger is sound: 3000 postings, 2 checks, no findings");
        let warning = CheckReport { check: Check::Expiry, examined: None, findings: 1, first: Vec::new() };
        sound.checks.push(warning);
        assert_eq!(verdict(&sound), "the ledger is sound: 3000 postings, 3 checks, no findings, 1 warning");
    }

    #[test]
    fn programs_get_the_same() {
        let json: serde_json::Value = serde_json::to_value(Audit::new(&report())).unwrap();
        assert_eq!(json["sound"], false);
        assert_eq!(json["postings_per_second"], 2000.0);
        assert_eq!(json["checks"][0]["check"], "balances");
        assert_eq!(json["checks"][0]["first"][0]["wallet_id"], 7);
        assert!(json["checks"][1].get("examined").is_none() && json["checks"][1].get("first").is_none());
    }
}
