//! The goals, and whether they were met or not measured.

use std::fmt;

use super::tables::{added, ratio};
use crate::catalogue::CALLERS;
use crate::growth;
use crate::results::{Case, Run, Scenario, Subject, Way};
use crate::stats::{Spread, millis, whole};

/// Of the echo's throughput, for single messages.
const OF_THE_ECHO: f64 = 0.9;
/// What a single call may take beyond the echo and one commit.
const BEYOND_A_COMMIT_MICROS: f64 = 300.0;
const BATCHED_PER_SECOND: f64 = 100_000.0;
const OF_THE_COPY: f64 = 0.6;
const COALESCED_PER_SECOND: f64 = 50_000.0;
const AFTER_GROWTH: f64 = 0.9;
/// Transactions that the goal of growth is about.
const GROWN: u64 = 20_000_000;
const FLAT: f64 = 0.1;
const SOAKED_MINUTES: f64 = 30.0;
/// The backlog that counts as overload, in multiples of the prefetch.
const OVERLOAD: f64 = 10.0;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) wanted: String,
    pub(crate) measured: String,
    pub(crate) verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    NotMet,
    NotMeasured,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::NotMet => "**not met**",
            Self::NotMeasured => "not measured",
        })
    }
}

impl Goal {
    fn new(
        what: impl Into<String>,
        wanted: impl Into<String>,
        measured: impl Into<String>,
        met: bool,
    ) -> Self {
        let verdict = if met { Verdict::Met } else { Verdict::NotMet };
        Self { what: what.into(), wanted: wanted.into(), measured: measured.into(), verdict }
    }

    fn not_measured(what: &str, wanted: impl Into<String>, why: &str) -> Self {
        let (what, wanted, measured) = (what.to_owned(), wanted.into(), why.to_owned());
        Self { what, wanted, measured, verdict: Verdict::NotMeasured }
    }
}

/// All of them, in the order of the scenarios.
pub(crate) fn judge(run: &Run) -> Vec<Goal> {
    let mut goals = single(run);
    goals.extend(latency(run));
    goals.extend(batches(run));
    goals.push(coalescing(run));
    goals.extend(growth(run));
    goals.push(soak(run));
    goals.push(overload(run));
    goals
}

/// One request per message, at 1,000 and 4,000 in flight, for every operation.
fn single(run: &Run) -> Vec<Goal> {
    let wanted = format!("≥ {OF_THE_ECHO} of the echo");
    let mut goals = Vec::new();
    for scenario in ["single", "wallets", "operations"].iter().filter_map(|name| run.scenario(name)) {
        let alone = |case: &&Case| {
            case.subject == Subject::Florin
                && case.way == Way::Messages
                && case.batch == 1
                && case.in_flight >= 1000
        };
        // The answer of a history has many postings in it, that of the echo has none: there is no ratio to
        // reach.
        for case in scenario.cases.iter().filter(alone).filter(|case| case.name != "history") {
            if let Some(ratio) = ratio(case, scenario.echo_of(case)) {
                let what = format!("{}, {} in flight", case.name, whole(f64::from(case.in_flight)));
                goals.push(Goal::new(what, &wanted, format!("{ratio:.2}"), ratio >= OF_THE_ECHO));
            }
        }
    }
    if goals.is_empty() {
        let why = "needs `single`, `wallets`, `operations`";
        goals.push(Goal::not_measured("one request per message, 1,000 and 4,000 in flight", wanted, why));
    }
    goals
}

/// One call at a time: what it takes beyond the echo.
fn latency(run: &Run) -> Vec<Goal> {
    let what = "one call at a time, latency beyond the echo (p50)";
    let wanted = "≤ one commit + 0.30 ms";
    let measured = run.scenario("latency").and_then(|scenario| {
        let commit = scenario.case(Subject::Postgresql, "commit", 1)?.latency("p50")?.median;
        let mut goals = Vec::new();
        for name in ["invoice", "withdraw", "mix"] {
            let Some(case) = scenario.case(Subject::Florin, name, 1) else { continue };
            let Some(added) = added(case, scenario.echo_of(case)) else { continue };
            let wanted = format!("≤ {} + 0.30 ms", millis(commit));
            let met = added <= commit + BEYOND_A_COMMIT_MICROS;
            goals.push(Goal::new(format!("{what}: {name}"), wanted, format!("{} ms", millis(added)), met));
        }
        (!goals.is_empty()).then_some(goals)
    });
    measured.unwrap_or_else(|| vec![Goal::not_measured(what, wanted, "needs `latency`")])
}

/// 1,000 requests per message: the number in flight that was fastest.
fn batches(run: &Run) -> Vec<Goal> {
    let what = "batches of 1,000, many in flight";
    let wanted = format!("≥ {} a second", whole(BATCHED_PER_SECOND));
    let of_copy = format!("≥ {OF_THE_COPY} of the bare COPY");
    let Some(scenario) = run.scenario("batches") else {
        let missing = |wanted: String| Goal::not_measured(what, wanted, "needs `batches`");
        return vec![missing(wanted), missing(of_copy)];
    };
    let mut goals = Vec::new();
    for name in ["mix", "writes"] {
        match fastest(scenario, |case| {
            case.subject == Subject::Florin && case.name == name && case.batch == 1000
        }) {
            Some((_, rate)) => {
                let met = rate.median >= BATCHED_PER_SECOND;
                goals.push(Goal::new(format!("{what}: {name}"), &wanted, rate.show(whole), met));
            }
            None => goals.push(Goal::not_measured(what, &wanted, "no figure")),
        }
    }
    let writes = |case: &Case| case.subject == Subject::Florin && case.name == "writes" && case.batch == 1000;
    let bound = fastest(scenario, |case| case.subject == Subject::Postgresql);
    match (fastest(scenario, writes), bound) {
        (Some((_, writes)), Some((copy, bound))) => {
            let ratio = writes.median / bound.median;
            let measured = format!(
                "{ratio:.2} of {} ({}, {} connections)",
                whole(bound.median),
                copy.name,
                copy.in_flight
            );
            goals.push(Goal::new(format!("{what}: writes"), of_copy, measured, ratio >= OF_THE_COPY));
        }
        _ => goals.push(Goal::not_measured(what, of_copy, "no figure")),
    }
    goals
}

fn coalescing(run: &Run) -> Goal {
    let what = format!("{} callers through the coalescing client", whole(f64::from(CALLERS)));
    let wanted = format!("≥ {} a second", whole(COALESCED_PER_SECOND));
    let mix = run.scenario("coalescing").and_then(|scenario| scenario.case(Subject::Florin, "mix", CALLERS));
    match mix.and_then(Case::rate) {
        Some(rate) => Goal::new(what, wanted, rate.show(whole), rate.median >= COALESCED_PER_SECOND),
        None => Goal::not_measured(&what, wanted, "needs `coalescing`"),
    }
}

/// What was measured on the large database and on the small one, in turn.
fn growth(run: &Run) -> Vec<Goal> {
    let wanted = format!("≥ {AFTER_GROWTH} of the throughput of a small database");
    let Some((scenario, last)) = run.scenario("growth").and_then(|found| Some((found, found.growth.last()?)))
    else {
        return vec![Goal::not_measured("growth to 20 million", wanted, "needs `growth`")];
    };
    let rate = |load: &str, grown: bool| {
        let name = growth::case_name(load, grown);
        let case = scenario.cases.iter().find(|case| case.name == name)?;
        Spread::of(case.rounds.iter().map(|round| round.per_second))
    };
    let goal = |load: &str| {
        let ratio = rate(load, true)?.median / rate(load, false)?.median;
        let (transactions, wallets) = (whole(last.transactions as f64), run.settings.growth_wallets);
        let what = format!("growth to {transactions} transactions of {wallets} wallets: {load}");
        let goal = Goal::new(what, &wanted, format!("{ratio:.2}"), ratio >= AFTER_GROWTH);
        // Less than was asked for proves nothing.
        let grown = last.transactions >= GROWN;
        Some(if grown { goal } else { Goal { verdict: Verdict::NotMeasured, ..goal } })
    };
    growth::LOADS.into_iter().filter_map(goal).collect()
}

fn soak(run: &Run) -> Goal {
    let what = "memory of the service, first minute to last, at full load";
    let wanted = format!("within {:.0} %", 100.0 * FLAT);
    let soak = run.scenario("soak").and_then(|scenario| scenario.soak.as_ref());
    let Some((soak, (first, last))) = soak.and_then(|soak| Some((soak, soak.first_and_last()?))) else {
        return Goal::not_measured(what, wanted, "needs `soak`");
    };
    let change = last / first - 1.0;
    let minutes = soak.memory.last().map_or(0.0, |(second, _)| second / 60.0);
    let measured = format!("{:+.1} % in {minutes:.1} min", 100.0 * change);
    let goal = Goal::new(what, wanted, measured, change.abs() <= FLAT);
    // The last sample is a moment before the end.
    if minutes >= SOAKED_MINUTES - 0.1 { goal } else { Goal { verdict: Verdict::NotMeasured, ..goal } }
}

fn overload(run: &Run) -> Goal {
    let what = format!("recovers by itself from {OVERLOAD:.0} times as many messages as it takes at a time");
    let wanted = "all answered, then as fast as before";
    let Some(overload) = run.scenario("overload").and_then(|scenario| scenario.overload.as_ref()) else {
        return Goal::not_measured(&what, wanted, "needs `overload`");
    };
    let measured = match (overload.until_empty, overload.until_normal) {
        (Some(empty), Some(normal)) => {
            format!("all answered after {empty:.1} s, as fast as before after {normal:.1} s")
        }
        (Some(empty), None) => format!("all answered after {empty:.1} s, but never as fast again"),
        _ => format!("{} of {} answered", whole(overload.answered as f64), whole(overload.published as f64)),
    };
    let met = overload.until_normal.is_some() && overload.answered == overload.published;
    let goal = Goal::new(&what, wanted, measured, met);
    let was_overload = overload.most_waiting as f64 >= OVERLOAD * overload.prefetch as f64;
    if was_overload { goal } else { Goal { verdict: Verdict::NotMeasured, ..goal } }
}

/// The case with the highest median among those wanted.
fn fastest(scenario: &Scenario, wanted: impl Fn(&Case) -> bool) -> Option<(&Case, Spread)> {
    let rated =
        scenario.cases.iter().filter(|case| wanted(case)).filter_map(|case| Some((case, case.rate()?)));
    rated.max_by(|(_, one), (_, other)| one.median.total_cmp(&other.median))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::facts::Facts;
    use crate::results::{FORM, Growth, Overload, Round, Settings, Soak};

    pub(crate) fn case(subject: Subject, name: &str, in_flight: u32, rates: &[f64]) -> Case {
        let round = |rate: &f64| Round {
            per_second: *rate,
            latency_micros: BTreeMap::from([("p50".to_owned(), 1000), ("p99".to_owned(), 2000)]),
            ..Round::default()
        };
        let way = if subject == Subject::Postgresql { Way::Sql } else { Way::Messages };
        Case {
            name: name.to_owned(),
            subject,
            way,
            in_flight,
            batch: 1,
            rounds: rates.iter().map(round).collect(),
        }
    }

    pub(crate) fn scenario(name: &str, cases: Vec<Case>) -> Scenario {
        Scenario { cases, ..Scenario::named(name) }
    }

    pub(crate) fn run(scenarios: Vec<Scenario>) -> Run {
        let settings = Settings {
            rounds: 3,
            seconds: 1.0,
            warm_up_seconds: 0.0,
            quick: false,
            growth_to: 20_000_000,
            growth_wallets: 100_000,
            soak_minutes: 30.0,
            overload_minutes: 5.0,
        };
        let started_at = "2026-01-31T08:15:30Z".to_owned();
        let facts = Facts::default();
        Run { form: FORM, started_at, ended_at: None, settings, facts, scenarios, left_out: Vec::new() }
    }

    fn verdicts(run: &Run, what: &str) -> Vec<Verdict> {
        judge(run).into_iter().filter(|goal| goal.what.contains(what)).map(|goal| goal.verdict).collect()
    }

    #[test]
    fn what_was_not_measured_is_not_met_nor_missed() {
        assert!(judge(&run(Vec::new())).iter().all(|goal| goal.verdict == Verdict::NotMeasured));
    }

    #[test]
    fn single_messages_are_compared_with_the_echo_of_the_same_number() {
        let cases = vec![
            case(Subject::Echo, "echo", 1000, &[100.0]),
            case(Subject::Echo, "echo", 4000, &[200.0]),
            case(Subject::Florin, "mix", 1000, &[90.0]),
            case(Subject::Florin, "mix", 4000, &[90.0]),
            case(Subject::Florin, "mix", 10, &[1.0]),
        ];
        let run = run(vec![scenario("single", cases)]);
        assert_eq!(verdicts(&run, "mix"), [Verdict::Met, Verdict::NotMet]);
    }

    #[test]
    fn one_call_may_take_a_commit_longer_than_the_echo() {
        let mut slow = case(Subject::Florin, "mix", 1, &[1.0]);
        slow.rounds[0].latency_micros.insert("p50".to_owned(), 2301);
        let mut quick = slow.clone();
        quick.name = "invoice".to_owned();
        quick.rounds[0].latency_micros.insert("p50".to_owned(), 2300);
        let echo = case(Subject::Echo, "echo", 1, &[1.0]);
        let commit = case(Subject::Postgresql, "commit", 1, &[1.0]);
        let run = run(vec![scenario("latency", vec![echo, commit, slow, quick])]);
        assert_eq!(verdicts(&run, "one call at a time"), [Verdict::Met, Verdict::NotMet]);
    }

    #[test]
    fn growth_compares_the_databases_and_says_when_it_was_too_little() {
        let grown = |millions: u64| {
            let point = Growth {
                transactions: millions * 1_000_000,
                writes: Round::default(),
                wal_bytes: 0.0,
                database_bytes: 0,
                service_kib: 0,
                mix: Round::default(),
                reads: Round::default(),
            };
            let rates = [[100.0, 80.0], [10.0, 9.0], [10.0, 11.0]];
            let both = growth::LOADS.into_iter().zip(rates).flat_map(|(load, [small, grown])| {
                [(growth::case_name(load, false), small), (growth::case_name(load, true), grown)]
            });
            let cases = both.map(|(name, rate)| case(Subject::Florin, &name, 8, &[rate])).collect();
            run(vec![Scenario { growth: vec![point], ..scenario("growth", cases) }])
        };
        assert_eq!(verdicts(&grown(20), "growth"), [Verdict::NotMet, Verdict::Met, Verdict::Met]);
        assert_eq!(verdicts(&grown(19), "growth"), [Verdict::NotMeasured; 3]);
    }

    #[test]
    fn memory_has_to_be_flat_for_long_enough() {
        let soaked = |seconds: u32, last: u64| {
            let memory =
                (0..=seconds).map(|second| (f64::from(second), if second < 120 { 100 } else { last }));
            let soak = Some(Soak { minutes: Vec::new(), memory: memory.collect() });
            run(vec![Scenario { soak, ..Scenario::named("soak") }])
        };
        assert_eq!(verdicts(&soaked(1800, 109), "memory"), [Verdict::Met]);
        assert_eq!(verdicts(&soaked(1800, 112), "memory"), [Verdict::NotMet]);
        assert_eq!(verdicts(&soaked(600, 100), "memory"), [Verdict::NotMeasured]);
    }

    #[test]
    fn an_overload_is_one_only_when_enough_waited() {
        let overloaded = |most_waiting, answered| {
            let overload = Overload {
                prefetch: 2000,
                published: 50_000,
                answered,
                most_waiting,
                until_empty: Some(1.0),
                until_normal: Some(2.0),
                ..Overload::default()
            };
            run(vec![Scenario { overload: Some(overload), ..Scenario::named("overload") }])
        };
        assert_eq!(verdicts(&overloaded(20_000, 50_000), "recovers"), [Verdict::Met]);
        assert_eq!(verdicts(&overloaded(20_000, 49_999), "recovers"), [Verdict::NotMet]);
        assert_eq!(verdicts(&overloaded(19_999, 50_000), "recovers"), [Verdict::NotMeasured]);
    }

    #[test]
    fn batches_are_compared_with_the_fastest_copy() {
        let batched = |name: &str, rate: f64| Case { batch: 1000, ..case(Subject::Florin, name, 8, &[rate]) };
        let copies = [("COPY a", 100_000.0), ("COPY b", 200_000.0)]
            .map(|(name, rate)| case(Subject::Postgresql, name, 1, &[rate]));
        let mut cases = vec![batched("mix", 99_000.0), batched("writes", 119_000.0)];
        cases.extend(copies);
        let run = run(vec![scenario("batches", cases)]);
        assert_eq!(verdicts(&run, "1,000, many"), [Verdict::NotMet, Verdict::Met, Verdict::NotMet]);
    }
}
