//! The scenarios: their names, what they are for, and their steps.

use crate::plan::{Action, Load, MIX, Plan, WRITES, WorldPlan};
use crate::results::Way;

const IN_FLIGHT: [u32; 5] = [1, 10, 100, 1000, 4000];
/// The numbers in flight that the goals are about.
const BUSY: [u32; 2] = [1000, 4000];
const MANY_WALLETS: u32 = 1_000_000;
/// The callers of the coalescing client.
pub(crate) const CALLERS: u32 = 1024;
/// Sizes of batches, each with numbers of messages in flight.
const BATCHES: [(u32, &[u32]); 3] = [(10, &[100]), (100, &[32]), (1000, &[1, 8, 32])];

/// Something that can be measured by its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Cases in turn, round by round.
    Rounds(fn() -> Plan),
    Growth,
    Allocations,
    FlameGraph,
    Overload,
    Soak,
}

/// All of them, in the order in which they run.
pub(crate) const ALL: [Definition; 15] = [
    rounds("single", "one request per message, 1 to 4,000 in flight, beside the echo", single),
    rounds("latency", "one call at a time, beside the echo and a bare commit", latency),
    rounds("wallets", "1,000 and 1,000,000 wallets, Zipf, one hot wallet", wallets),
    rounds("operations", "transfers, pending and settle, histories", operations),
    rounds("batches", "10, 100 and 1,000 requests per message, beside the bare COPY of such rows", batches),
    rounds("coalescing", "1,024 callers whose calls share messages", coalescing),
    rounds("instances", "two instances: active and standby, or both active", instances),
    rounds("events", "with and without events", events),
    rounds("http", "the same over HTTP", http),
    rounds("pgbench", "pgbench on the same server", pgbench),
    define("growth", "speed, size and memory while the database grows", Kind::Growth),
    define("allocations", "calls of the allocator per request", Kind::Allocations),
    define("flamegraph", "where the service spends its time", Kind::FlameGraph),
    define("overload", "more requests than can be answered, and the recovery", Kind::Overload),
    define("soak", "memory of the service at full load", Kind::Soak),
];

const fn define(name: &'static str, about: &'static str, kind: Kind) -> Definition {
    Definition { name, about, kind }
}

const fn rounds(name: &'static str, about: &'static str, plan: fn() -> Plan) -> Definition {
    define(name, about, Kind::Rounds(plan))
}

/// In the order in which they run.
pub(crate) fn all() -> impl Iterator<Item = Definition> {
    ALL.into_iter()
}

fn single() -> Plan {
    let mut plan = Plan::new([WorldPlan::default()]);
    for in_flight in IN_FLIGHT {
        plan.load("echo", Load::echo(in_flight));
        for (name, mix) in
            [("invoice", "invoice=1"), ("withdraw", "withdraw=1"), ("balance", "balance=1"), ("mix", MIX)]
        {
            plan.load(name, Load::florin(mix, in_flight));
        }
    }
    plan
}

fn latency() -> Plan {
    let mut plan = Plan::new([WorldPlan::default()]);
    plan.load("echo", Load::echo(1));
    plan.load("invoice", Load::florin("invoice=1", 1));
    plan.load("withdraw", Load::florin("withdraw=1", 1));
    plan.load("mix", Load::florin(MIX, 1));
    plan.add("commit", Action::Commit { whole: false });
    plan.add("insert and commit", Action::Commit { whole: true });
    plan
}

fn wallets() -> Plan {
    let mut plan = Plan::new([WorldPlan { wallets: MANY_WALLETS, ..WorldPlan::default() }]);
    for in_flight in BUSY {
        let mix = Load::florin(MIX, in_flight);
        plan.load("echo", Load::echo(in_flight));
        plan.load("mix, 1,000 wallets", mix.clone());
        plan.load("mix, 1,000 wallets, Zipf", Load { zipf: true, ..mix.clone() });
        plan.load("mix, one wallet", Load { wallets: 1, ..mix.clone() });
        plan.load("mix, 1,000,000 wallets", Load { wallets: MANY_WALLETS, ..mix.clone() });
        plan.load("mix, 1,000,000 wallets, Zipf", Load { wallets: MANY_WALLETS, zipf: true, ..mix });
    }
    plan
}

fn operations() -> Plan {
    let mut plan = Plan::new([WorldPlan::default()]);
    for in_flight in BUSY {
        plan.load("echo", Load::echo(in_flight));
        plan.load("transfer", Load::florin("transfer=1", in_flight));
        plan.load("pending and settle", Load::florin("pending=1,settle=1", in_flight));
        plan.load("history", Load::florin("history=1", in_flight));
    }
    plan
}

fn batches() -> Plan {
    let mut plan = Plan::new([WorldPlan::default()]);
    for (batch, numbers) in BATCHES {
        for in_flight in numbers {
            plan.load("echo", Load { batch, ..Load::echo(*in_flight) });
            plan.load("mix", Load { batch, ..Load::florin(MIX, *in_flight) });
            plan.load("writes", Load { batch, ..Load::florin(WRITES, *in_flight) });
        }
    }
    for connections in [1, 2] {
        plan.add("COPY, 1,000 rows each", Action::Copy { rows_each: Some(1000), connections });
        plan.add("COPY, all at once", Action::Copy { rows_each: None, connections });
    }
    plan
}

fn coalescing() -> Plan {
    let mut plan = Plan::new([WorldPlan::default()]);
    let way = Way::Coalescing;
    plan.load("echo", Load { way, ..Load::echo(CALLERS) });
    for (name, mix) in [("invoice", "invoice=1"), ("balance", "balance=1"), ("mix", MIX)] {
        plan.load(name, Load { way, ..Load::florin(mix, CALLERS) });
    }
    plan
}

fn instances() -> Plan {
    let two = WorldPlan { instances: 2, ..WorldPlan::default() };
    let both = WorldPlan { single_active: false, ..two.clone() };
    let mut plan = Plan::new([WorldPlan::default(), two, both]);
    for in_flight in BUSY {
        plan.load("echo", Load::echo(in_flight));
        let names = ["mix, one instance", "mix, with a standby", "mix, two on one queue"];
        for (world, name) in names.into_iter().enumerate() {
            plan.load_on(world, name, Load::florin(MIX, in_flight));
        }
    }
    for (world, name) in
        ["writes, one instance", "writes, with a standby", "writes, two on one queue"].into_iter().enumerate()
    {
        plan.load_on(world, name, Load { batch: 1000, ..Load::florin(WRITES, 8) });
    }
    plan
}

fn events() -> Plan {
    let mut plan = Plan::new([WorldPlan::default(), WorldPlan { events: false, ..WorldPlan::default() }]);
    for in_flight in BUSY {
        plan.load("echo", Load::echo(in_flight));
        plan.load_on(0, "mix, events on", Load::florin(MIX, in_flight));
        plan.load_on(1, "mix, events off", Load::florin(MIX, in_flight));
    }
    let batch = Load { batch: 1000, ..Load::florin(WRITES, 8) };
    plan.load_on(0, "writes, events on", batch.clone());
    plan.load_on(1, "writes, events off", batch);
    plan
}

fn http() -> Plan {
    let mut plan = Plan::new([WorldPlan::default()]);
    let way = Way::Http;
    for in_flight in [1, 100, 1000] {
        plan.load("echo", Load::echo(in_flight));
        plan.load("mix", Load { way, ..Load::florin(MIX, in_flight) });
        plan.load("balance", Load { way, ..Load::florin("balance=1", in_flight) });
    }
    plan.load("echo", Load { batch: 100, ..Load::echo(16) });
    plan.load("mix", Load { way, batch: 100, ..Load::florin(MIX, 16) });
    plan
}

fn pgbench() -> Plan {
    let mut plan = Plan::new([WorldPlan::default()]);
    for connections in [1, 8] {
        plan.add("pgbench, TPC-B-like", Action::PgBench { simple: false, connections });
        plan.add("pgbench -N", Action::PgBench { simple: true, connections });
    }
    plan.load("transfer", Load::florin("transfer=1", 1000));
    plan.load("mix", Load::florin(MIX, 1000));
    plan
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::results::Subject;

    #[test]
    fn names_are_unique_and_plain() {
        let names: HashSet<&str> = all().map(|definition| definition.name).collect();
        assert_eq!(names.len(), all().count());
        assert!(names.iter().all(|name| name.chars().all(|letter| letter.is_ascii_lowercase())));
    }

    #[test]
    fn every_case_is_told_apart_and_has_its_world_and_echo() {
        for definition in all() {
            let Kind::Rounds(plan) = definition.kind else { continue };
            let plan = plan();
            let mut seen = HashSet::new();
            for step in &plan.steps {
                let key = (step.name.clone(), step.subject() as u8, step.in_flight(), step.batch());
                assert!(seen.insert(key), "{}: {} is there twice", definition.name, step.name);
                if let Action::Load { world, load } = &step.action {
                    let world = &plan.worlds[*world];
                    assert!(load.wallets <= world.wallets, "{}: {}", definition.name, step.name);
                }
            }
            let has_echo = plan.steps.iter().any(|step| step.subject() == Subject::Echo);
            assert!(has_echo || definition.name == "pgbench", "{}", definition.name);
        }
    }
}
