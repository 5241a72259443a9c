//! The figures as tables of Markdown.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::goals::Goal;
use crate::facts::Facts;
use crate::results::{Case, Scenario, Subject, Way};
use crate::stats::{Spread, millis, whole};

/// A table whose columns after the first are aligned to the right.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|---|{}\n", header.join(" | "), "--:|".repeat(header.len() - 1));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

/// The goals, and whether they were met.
pub(crate) fn goals(goals: &[Goal]) -> String {
    let row = |goal: &Goal| {
        vec![goal.what.clone(), goal.wanted.clone(), goal.measured.clone(), goal.verdict.to_string()]
    };
    table(&["Goal", "wanted", "measured", ""], goals.iter().map(row))
}

/// Throughput, latency and the ratio to the echo.
pub(crate) fn cases(scenario: &Scenario) -> String {
    let header =
        ["", "in flight", "per message", "requests/s", "p50 ms", "p99 ms", "of the echo", "added p50 ms"];
    let measured = scenario.cases.iter().filter(|case| !case.rounds.is_empty());
    table(&header, measured.map(|case| row(scenario, case)))
}

fn row(scenario: &Scenario, case: &Case) -> Vec<String> {
    let show = |spread: Option<Spread>, number: fn(f64) -> String| {
        spread.map_or_else(|| "–".to_owned(), |spread| spread.show(number))
    };
    let echo = scenario.echo_of(case).filter(|_| case.subject == Subject::Florin);
    let per_message = match case.way {
        Way::Coalescing => "as they come".to_owned(),
        Way::Sql => "–".to_owned(),
        Way::Messages | Way::Http => case.batch.to_string(),
    };
    let p50 = case.latency("p50").or_else(|| case.latency("mean"));
    vec![
        name(case),
        case.in_flight.to_string(),
        per_message,
        show(case.rate(), whole),
        show(p50, millis),
        show(case.latency("p99"), millis),
        ratio(case, echo).map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
        added(case, echo).map_or_else(|| "–".to_owned(), millis),
    ]
}

fn name(case: &Case) -> String {
    match case.subject {
        Subject::Echo => "*echo*".to_owned(),
        Subject::Florin => case.name.clone(),
        Subject::Postgresql => format!("PostgreSQL: {}", case.name),
    }
}

/// Of the medians of throughput.
pub(crate) fn ratio(case: &Case, other: Option<&Case>) -> Option<f64> {
    Some(case.rate()?.median / other?.rate()?.median)
}

/// Microseconds between the medians of the latency.
pub(crate) fn added(case: &Case, other: Option<&Case>) -> Option<f64> {
    Some(case.latency("p50")?.median - other?.latency("p50")?.median)
}

/// Processor time for 1,000 requests, by who spent it.
pub(crate) fn costs(scenario: &Scenario) -> String {
    let rows: Vec<Vec<String>> = scenario.cases.iter().filter_map(cost).collect();
    if rows.is_empty() {
        return String::new();
    }
    let header =
        ["", "in flight", "per message", "service", "PostgreSQL", "RabbitMQ", "client", "service MiB"];
    let table = table(&header, rows);
    format!(
        "\nMilliseconds of processor time for 1,000 requests (the echo counts as client), and memory of the service:\n\n{table}"
    )
}

fn cost(case: &Case) -> Option<Vec<String>> {
    let cpus: Vec<_> =
        case.rounds.iter().filter_map(|round| round.cpu).filter(|cpu| cpu.requests > 0).collect();
    let per_thousand = |seconds: fn(&crate::results::Cpu) -> f64| {
        let spread = Spread::of(cpus.iter().map(|cpu| seconds(cpu) * 1e6 / cpu.requests as f64));
        spread.map_or_else(|| "–".to_owned(), |spread| format!("{:.1}", spread.median))
    };
    let memory =
        Spread::of(case.rounds.iter().filter_map(|round| round.service_kib).map(|kib| kib as f64 / 1024.0));
    let is_florin = case.subject == Subject::Florin;
    (!cpus.is_empty()).then(|| {
        vec![
            name(case),
            case.in_flight.to_string(),
            if case.way == Way::Coalescing { "as they come".to_owned() } else { case.batch.to_string() },
            if is_florin { per_thousand(|cpu| cpu.service) } else { "–".to_owned() },
            per_thousand(|cpu| cpu.postgresql),
            per_thousand(|cpu| cpu.rabbitmq),
            per_thousand(|cpu| cpu.client),
            memory.map_or_else(|| "–".to_owned(), |spread| format!("{:.0}", spread.median)),
        ]
    })
}

/// Answers that are not 200 or 202: a refusal is cheaper than a transaction.
pub(crate) fn refusals(scenario: &Scenario) -> String {
    let mut refused: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for case in scenario.cases.iter().filter(|case| case.subject == Subject::Florin) {
        for (operation, codes) in case.rounds.iter().flat_map(|round| &round.answers) {
            for (code, count) in codes.iter().filter(|(code, _)| !code.starts_with('2')) {
                *refused.entry((&case.name, operation, code)).or_default() += count;
            }
        }
    }
    if refused.is_empty() {
        return String::new();
    }
    let row = |((case, operation, code), count): (&(&str, &str, &str), &u64)| {
        vec![(*case).to_owned(), (*operation).to_owned(), (*code).to_owned(), whole(*count as f64)]
    };
    format!("\nRefused:\n\n{}", table(&["", "operation", "code", "answers"], refused.iter().map(row)))
}

/// The machine, the versions, the settings.
pub(crate) fn facts(facts: &Facts) -> String {
    let all = facts.machine.iter().chain(&facts.versions).chain(&facts.settings);
    let mut text = "| | |\n|---|---|\n".to_owned();
    for (name, value) in all {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::goals::tests::{case, scenario};
    use super::*;

    #[test]
    fn a_case_is_shown_with_its_ratio() {
        let scenario = scenario(
            "single",
            vec![
                case(Subject::Echo, "echo", 1000, &[1000.0, 3000.0, 2000.0]),
                case(Subject::Florin, "mix", 1000, &[1500.0, 1400.0, 1600.0]),
            ],
        );
        let text = cases(&scenario);
        assert!(text.contains("| *echo* | 1000 | 1 | 2,000 [1,000–3,000] |"), "{text}");
        assert!(text.contains("| mix | 1000 | 1 | 1,500 [1,400–1,600] |"), "{text}");
        assert!(text.contains("| 0.75 |"), "{text}");
    }

    #[test]
    fn refusals_are_told() {
        let mut refused = case(Subject::Florin, "mix", 1, &[1.0]);
        let codes = BTreeMap::from([("200".to_owned(), 5), ("400".to_owned(), 1234)]);
        refused.rounds[0].answers.insert("withdraw".to_owned(), codes);
        let text = refusals(&scenario("single", vec![refused]));
        assert!(text.contains("| mix | withdraw | 400 | 1,234 |") && !text.contains("200"), "{text}");
    }
}
