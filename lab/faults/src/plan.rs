//! The schedule of a run: derived from one seed, and written to a file before the run begins.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::kind::{Kind, Topology};

/// The name of the schedule in the folder of a run.
pub const FILE: &str = "plan.jsonl";
/// Load without faults at the start, so that there is something to lose.
const START_MS: u64 = 3000;
/// No fault begins this close to the end.
const END_MS: u64 = 6000;
/// One fault in this many begins before the previous one is over.
const OVERLAPS: u32 = 6;
/// The nodes of the RabbitMQ cluster.
#[allow(clippy::cast_possible_wrap, reason = "it is three")]
const NODES: i64 = devstack::NODES as i64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The first line of the file.
    pub settings: Settings,
    /// The faults, by their time: a line each.
    pub faults: Vec<Fault>,
}

/// What holds for a whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub seed: u64,
    pub seconds: u64,
    #[serde(default)]
    pub topology: Topology,
    /// Whether one instance is active and the other is a standby; else both are active.
    pub single_active_consumer: bool,
    /// The most commands that the service commits together. If it is small, batches are full, and the next
    /// one is planned while one commits.
    pub max_batch_commands: u32,
    pub clients: u32,
    /// How many clients use HTTP. Their numbers follow those of the others.
    pub http_clients: u32,
    /// Whether some requests have no identity. Those need clocks that agree, so not in a run that steps
    /// clocks.
    pub bare_requests: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its place in the schedule, from 1.
    pub number: u32,
    /// When it begins, in milliseconds from the beginning of the load.
    pub at_ms: u64,
    pub kind: Kind,
    pub for_ms: u64,
    /// The instances it affects, for faults of the service.
    pub instances: Instances,
    /// Milliseconds of a delay, bytes per second of a throttle, seconds of a clock step, the node of a cluster.
    pub amount: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Instances {
    First,
    Second,
    Both,
}

impl Instances {
    #[must_use]
    pub const fn places(self) -> &'static [usize] {
        match self {
            Self::First => &[0],
            Self::Second => &[1],
            Self::Both => &[0, 1],
        }
    }
}

impl Plan {
    /// Derives a schedule from a seed. The same arguments give the same schedule.
    #[must_use]
    pub fn new(seed: u64, seconds: u64, topology: Topology, kinds: &BTreeSet<Kind>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let settings = Settings {
            seed,
            seconds,
            topology,
            single_active_consumer: rng.u32(0..3) > 0,
            max_batch_commands: if seed.is_multiple_of(2) { 1000 } else { 2 },
            clients: 6,
            http_clients: 2,
            bare_requests: !kinds.contains(&Kind::ClockStep) || rng.bool(),
        };
        let usable = |kind: &&Kind| **kind != Kind::ClockStep || !settings.bare_requests;
        let kinds: Vec<Kind> = kinds.iter().filter(usable).copied().collect();
        let faults = faults(&mut rng, seconds * 1000, &kinds);
        Self { settings, faults }
    }

    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let mut file = io::BufWriter::new(fs::File::create(folder.join(FILE))?);
        self.print(&mut file)?;
        file.flush()
    }

    /// Prints it: one line of JSON for the settings, and one for each fault.
    pub fn print(&self, to: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *to, &self.settings)?;
        writeln!(to)?;
        for fault in &self.faults {
            serde_json::to_writer(&mut *to, fault)?;
            writeln!(to)?;
        }
        Ok(())
    }
}

/// Every kind comes once before any comes twice.
fn faults(rng: &mut Rng, end_ms: u64, kinds: &[Kind]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut bag: Vec<Kind> = Vec::new();
    let mut at_ms = START_MS;
    for number in 1.. {
        if bag.is_empty() {
            bag = kinds.to_vec();
            rng.shuffle(&mut bag);
        }
        let Some(kind) = bag.pop() else { break };
        let for_ms = rng.u64(kind.lasts());
        if at_ms + for_ms + kind.recovery_ms() + END_MS > end_ms {
            break;
        }
        let instances = [Instances::First, Instances::Second, Instances::Both][rng.usize(0..3)];
        faults.push(Fault { number, at_ms, kind, for_ms, instances, amount: amount(rng, kind) });
        let overlaps = rng.u32(0..OVERLAPS) == 0;
        let rest = if overlaps { 0 } else { kind.recovery_ms() + rng.u64(500..3000) };
        at_ms += if overlaps { for_ms / 2 } else { for_ms } + rest;
    }
    faults
}

fn amount(rng: &mut Rng, kind: Kind) -> i64 {
    match kind {
        Kind::DelayDatabase | Kind::DelayBroker | Kind::DelayClients => rng.i64(20..600),
        Kind::ThrottleDatabase | Kind::ThrottleBroker | Kind::ThrottleClients => rng.i64(2000..60_000),
        Kind::KillNode | Kind::RestartNode | Kind::FreezeNode | Kind::CutNode | Kind::KillTwoNodes => {
            rng.i64(0..NODES)
        }
        Kind::ClockStep => [-3600, -30, -3, 3, 30, 3600][rng.usize(0..6)],
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    fn all(topology: Topology) -> BTreeSet<Kind> {
        Kind::value_variants().iter().copied().filter(|kind| kind.fits(topology)).collect()
    }

    fn single(seed: u64, seconds: u64) -> Plan {
        Plan::new(seed, seconds, Topology::Single, &all(Topology::Single))
    }

    #[test]
    fn a_seed_has_one_schedule() {
        assert_eq!(single(7, 600), single(7, 600));
        assert_ne!(single(7, 600), single(8, 600));
    }

    #[test]
    fn a_long_run_has_every_kind() {
        for topology in [Topology::Single, Topology::Cluster] {
            let mut found = BTreeSet::new();
            for seed in 0..2 {
                let plan = Plan::new(seed, 900, topology, &all(topology));
                found.extend(plan.faults.iter().map(|fault| fault.kind));
            }
            assert_eq!(found, all(topology));
        }
    }

    #[test]
    fn clocks_are_stepped_only_where_every_request_has_an_identity() {
        let mut stepped = 0;
        for seed in 0..20 {
            let plan = single(seed, 900);
            let steps = plan.faults.iter().filter(|fault| fault.kind == Kind::ClockStep).count();
            assert!(steps == 0 || !plan.settings.bare_requests);
            stepped += steps;
        }
        assert!(stepped > 0);
    }

    #[test]
    fn faults_are_over_before_the_end() {
        let plan = single(3, 120);
        assert!(!plan.faults.is_empty());
        assert!(plan.faults.iter().all(|fault| fault.at_ms + fault.for_ms < 120_000));
    }
}
