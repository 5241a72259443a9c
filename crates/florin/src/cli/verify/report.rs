//! What an audit found, as tables for people and as JSON for programs.

use comfy_table::{CellAlignment, Table, presets};
use florin_store::{AuditReport, CheckReport, Finding};
use serde::Serialize;

/// An audit, as programs get it.
#[derive(Serialize)]
struct Audit<'a> {
    sound: bool,
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
    fn new(report: &'a AuditReport) -> Self {
        Self {
            sound: report.failed().next().is_none(),
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

/// The result for programs.
pub(super) fn json(report: &AuditReport) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(&Audit::new(report))? + "\n")
}

/// The result for people: all checks, then what each of them found.
pub(super) fn text(report: &AuditReport) -> String {
    let mut text = format!("{}\n\n", checks(report));
    for check in report.checks.iter().filter(|check| check.findings > 0) {
        let (findings, shown) = (check.findings, check.first.len());
        let kind = if check.check.is_warning() { "warnings" } else { "findings" };
        text += &format!("{}: {findings} {kind}, {shown} shown\n", check.check);
        if shown > 0 {
            text += &format!("{}\n", findings_table(&check.first));
        }
        text += "\n";
    }
    let (seconds, rate) = (report.duration.as_secs_f64(), rate(report));
    text + &format!("{} postings in {seconds:.1} s, {rate:.0} a second\n", report.postings)
}

fn checks(report: &AuditReport) -> Table {
    let mut table = new_table(&["CHECK", "MUST HOLD", "EXAMINED", "FINDINGS"], &[2, 3]);
    for check in &report.checks {
        let examined = check.examined.map_or("-".to_owned(), |examined| examined.to_string());
        let findings = check.findings.to_string();
        table.add_row([check.check.as_str(), check.check.meaning(), &examined, &findings]);
    }
    table
}

fn findings_table(findings: &[Finding]) -> Table {
    if findings.iter().any(|finding| finding.subject.is_some()) {
        let mut table = new_table(&["WHAT", "EXPECTED", "FOUND"], &[]);
        for Finding { subject, expected, found, .. } in findings {
            table.add_row([subject.as_deref().unwrap_or("-"), expected, found]);
        }
        return table;
    }
    let header = ["WALLET", "TICKER", "VERSION", "TRANSACTION", "EXPECTED", "FOUND"];
    let mut table = new_table(&header, &[0, 2]);
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

fn new_table(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for index in right {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
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
        assert!(text.ends_with("3000 postings in 1.5 s, 2000 a second\n"), "{text}");
    }

    #[test]
    fn programs_get_the_same() {
        let json: serde_json::Value = serde_json::from_str(&json(&report()).unwrap()).unwrap();
        assert_eq!(json["sound"], false);
        assert_eq!(json["postings_per_second"], 2000.0);
        assert_eq!(json["checks"][0]["check"], "balances");
        assert_eq!(json["checks"][0]["first"][0]["wallet_id"], 7);
        assert!(json["checks"][1].get("examined").is_none() && json["checks"][1].get("first").is_none());
    }
}
