//! The result of a run: for people, and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::check::Verdict;
use crate::history::Line;
use crate::inject::Happened;
use crate::plan::Plan;
use crate::record::Records;

/// The name of the result in the folder of a run.
pub const FILE: &str = "report.json";
/// How many lines of the histories are shown of each violation.
const SHOWN: usize = 12;
/// How much of a line is shown.
const WIDTH: usize = 400;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    pub seed: u64,
    pub seconds: u64,
    /// Whether no violation was found and all queues were drained.
    pub clean: bool,
    /// The kinds that this machine does not support, and why.
    pub skipped: Vec<String>,
    pub faults: BTreeMap<String, Faults>,
    pub load: Counts,
    /// How often an instance of the service ended by itself.
    pub services_ended: u32,
    /// Whether all queues were drained before the end.
    pub drained: bool,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Counts {
    pub requests: u64,
    /// Requests with an answer in time.
    pub answers: u64,
    /// Attempts whose outcome was unknown at first.
    pub unknown: u64,
    /// Requests with such an attempt that were answered after a retry.
    pub resolved: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Faults {
    pub count: usize,
    /// How many did not happen as they should.
    pub failed: usize,
    /// From the end of the fault (or the beginning, if others take over) to the first answer to a request sent
    /// after it, in milliseconds, without those that another fault disturbed. In order.
    pub recovery_ms: Vec<u64>,
    /// The same from the beginning of the fault on, the time that it was to last included.
    pub outage_ms: Vec<u64>,
    /// How many were not over within the limit.
    pub not_recovered: usize,
}

#[must_use]
pub fn by_kind(happened: &[Happened]) -> BTreeMap<String, Faults> {
    let mut kinds: BTreeMap<String, Faults> = BTreeMap::new();
    for one in happened {
        let kind = kinds.entry(one.fault.kind.name()).or_default();
        kind.count += 1;
        kind.failed += usize::from(one.failed.is_some());
        match one.recovery_ms {
            Some(recovery) if !one.disturbed => {
                kind.recovery_ms.push(recovery);
                kind.outage_ms.push((one.healed_ms + recovery).saturating_sub(one.began_ms));
            }
            Some(_) => {}
            None => kind.not_recovered += 1,
        }
    }
    kinds.values_mut().for_each(Faults::sort);
    kinds
}

impl Faults {
    fn sort(&mut self) {
        self.recovery_ms.sort_unstable();
        self.outage_ms.sort_unstable();
    }
}

fn table(kinds: &BTreeMap<String, Faults>) -> String {
    let mut text =
        "milliseconds to the first answer, median and max:        after the end  from the beginning\n"
            .to_owned();
    let _ = writeln!(
        text,
        "{:<20} {:>5} {:>6} {:>9} {:>11} {:>7} {:>11} {:>7}",
        "fault", "count", "failed", "measured", "median", "max", "median", "max"
    );
    for (kind, faults) in kinds {
        let [median, max, outage, longest] = [&faults.recovery_ms, &faults.outage_ms]
            .map(|times| [times.get(times.len() / 2), times.last()])
            .concat()
            .try_into()
            .unwrap_or([None; 4])
            .map(|time: Option<&u64>| time.map_or_else(|| "-".to_owned(), u64::to_string));
        let late = match faults.not_recovered {
            0 => String::new(),
            late => format!("  {late} not recovered in time"),
        };
        let _ = writeln!(
            text,
            "{kind:<20} {:>5} {:>6} {:>9} {median:>11} {max:>7} {outage:>11} {longest:>7}{late}",
            faults.count,
            faults.failed,
            faults.recovery_ms.len(),
        );
    }
    text
}

/// What came of several runs together.
#[must_use]
pub fn sum(reports: &[Report]) -> String {
    let mut kinds: BTreeMap<String, Faults> = BTreeMap::new();
    for (kind, faults) in reports.iter().flat_map(|report| &report.faults) {
        let all = kinds.entry(kind.clone()).or_default();
        all.count += faults.count;
        all.failed += faults.failed;
        all.not_recovered += faults.not_recovered;
        all.recovery_ms.extend(&faults.recovery_ms);
        all.outage_ms.extend(&faults.outage_ms);
        all.sort();
    }
    let count = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let clean = reports.iter().filter(|report| report.clean).count();
    format!(
        "{}{} faults of {} kinds in {} runs of {} s in all\n{} requests; {} attempts of unknown outcome, {} requests \
         resolved by a retry\n{clean} of {} runs are clean\n",
        table(&kinds),
        kinds.values().map(|kind| kind.count).sum::<usize>(),
        kinds.len(),
        reports.len(),
        count(|report| report.seconds),
        count(|report| report.load.requests),
        count(|report| report.load.unknown),
        count(|report| report.load.resolved),
        reports.len(),
    )
}

impl Report {
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = table(&self.faults);
        for skipped in &self.skipped {
            let _ = writeln!(text, "skipped {skipped}");
        }
        let Counts { requests, answers, unknown, resolved } = self.load;
        let seen = &self.verdict.seen;
        let _ = writeln!(
            text,
            "{requests} requests, {answers} answered in time; {unknown} attempts of unknown outcome, {resolved} requests \
             resolved by a retry\n{} attempts, {} confirmed, {} answers ({} requests with several, {} with none), \
             {} queued, {} dead letters\n{} postings in {} chains, {} expired, {} events, {} reads compared",
            seen.attempts,
            seen.confirmed,
            seen.answers,
            seen.repeated,
            seen.unanswered,
            seen.queued,
            seen.dead,
            seen.postings,
            seen.chains,
            seen.expired,
            seen.events,
            seen.reads,
        );
        if self.services_ended > 0 {
            let _ = writeln!(text, "the service exited by itself {} times", self.services_ended);
        }
        if !self.drained {
            text.push_str("the queues were not drained in time\n");
        }
        let verdict = if self.clean { "clean" } else { "VIOLATED" };
        let _ = writeln!(text, "seed {}: {verdict}", self.seed);
        text
    }
}

/// The violations, with the schedule and the lines of the histories they are about.
#[must_use]
pub fn violations(verdict: &Verdict, plan: Option<&Plan>, records: &Records) -> String {
    let mut text = format!("seed {}: {:?}\n", records.settings.seed, verdict.violations);
    if let Some(plan) = plan {
        let mut schedule = Vec::new();
        if plan.print(&mut schedule).is_ok() {
            let _ = writeln!(text, "the schedule:\n{}", String::from_utf8_lossy(&schedule));
        }
    }
    for violation in &verdict.listed {
        let _ = writeln!(text, "{violation}");
        let about = |line: &&Line| violation.requests.contains(&line.request);
        for line in records.histories.values().flatten().filter(about).take(SHOWN) {
            let json = serde_json::to_string(line).unwrap_or_default();
            let _ = writeln!(text, "    {}", json.chars().take(WIDTH).collect::<String>());
        }
    }
    text
}
