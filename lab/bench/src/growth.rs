//! The scenario `growth`: whether speed depends on how much is in the database.
//!
//! Batches make it grow in equal steps; after each step single messages and reads are measured for a moment.
//! That takes minutes, in which servers and machine change as well. So the goal is checked at the end: the
//! same loads on the large database and on one that stayed small, in turn.

use crate::load::{self, Lasts};
use crate::plan::{Load, MIX, WRITES, WorldPlan};
use crate::results::{Case, Growth, Round, Scenario, Settings, Subject, Way};
use crate::rounds::Error;
use crate::ui::Ui;
use crate::world::{Ground, World};

const STEP: u64 = 1_000_000;
/// The fewest steps of a quick run, to have something to compare.
const LEAST_STEPS: u64 = 5;
const WRITES_PER_SECOND: f64 = 60_000.0;
const BATCH: u32 = 1000;
const BATCHES_IN_FLIGHT: u32 = 8;
const SINGLE_IN_FLIGHT: u32 = 1000;

/// What is measured, after each step and at the end.
pub(crate) const LOADS: [&str; 3] = ["batches", "single messages, mix", "single messages, balance"];

/// The case of one of the [`LOADS`] at the end, on the database that has grown or on the small one.
pub(crate) fn case_name(load: &str, grown: bool) -> String {
    format!("{load}, {} database", if grown { "grown" } else { "small" })
}

/// The loads, in the order of [`LOADS`].
fn loads(wallets: u32) -> [Load; LOADS.len()] {
    let load = |mix, batch, in_flight| Load { wallets, batch, ..Load::florin(mix, in_flight) };
    [
        load(WRITES, BATCH, BATCHES_IN_FLIGHT),
        load(MIX, 1, SINGLE_IN_FLIGHT),
        load("balance=1", 1, SINGLE_IN_FLIGHT),
    ]
}

fn step(settings: &Settings) -> u64 {
    STEP.min(settings.growth_to.div_ceil(LEAST_STEPS)).max(1)
}

/// How many seconds it takes, about.
pub(crate) fn estimate(settings: &Settings) -> f64 {
    let steps = settings.growth_to.div_ceil(step(settings)) as f64;
    let measured = settings.seconds + settings.warm_up_seconds + 1.0;
    let beside = f64::from(settings.rounds) * (2 * LOADS.len()) as f64;
    settings.growth_to as f64 / WRITES_PER_SECOND + (steps * 2.0 + beside) * measured + 30.0
}

pub(crate) fn run(ground: &mut Ground, settings: &Settings, ui: &mut Ui) -> Result<Scenario, Error> {
    let total = estimate(settings);
    ui.say("growth: starting the service");
    let wallets = settings.growth_wallets;
    let small = ground.world(&WorldPlan { wallets, ..WorldPlan::default() })?;
    let [batches, ..] = loads(wallets);
    load::run(ground, &small, &batches, Lasts::Requests(step(settings)), 0)?;
    let world = ground.world(&WorldPlan { wallets, ..WorldPlan::default() })?;
    let mut growth: Vec<Growth> = Vec::new();
    // The invoices that funded the wallets.
    let mut transactions = u64::from(wallets);
    let step = step(settings);
    let mut reached = 0;
    while reached < settings.growth_to {
        ui.say(format!("growth: {transactions} transactions of {}", settings.growth_to));
        let seed = growth.len() as u64 + 1;
        let point = grow(ground, &world, settings, wallets, transactions, seed)?;
        reached = point.transactions;
        transactions = reached + written(&point.mix);
        growth.push(point);
        ui.advance(total * step as f64 / settings.growth_to.max(step) as f64);
    }
    ui.say("growth: the large database and a small one in turn");
    let cases = in_turn(ground, &small, &world, settings)?;
    ground.end(small)?;
    ground.end(world)?;
    Ok(Scenario { growth, cases, ..Scenario::named("growth") })
}

fn grow(
    ground: &Ground,
    world: &World,
    settings: &Settings,
    wallets: u32,
    before: u64,
    seed: u64,
) -> Result<Growth, Error> {
    let [batches, mix, reads] = loads(wallets);
    let wal_before = wal_bytes(ground, world)?;
    let writes = load::run(ground, world, &batches, Lasts::Requests(step(settings)), seed)?;
    let wal = wal_bytes(ground, world)? - wal_before;
    let written = writes.cpu.map_or(writes.requests, |cpu| cpu.requests);
    let database_bytes = number(ground, world, "SELECT pg_database_size(current_database())")?;
    let single = |load: &Load| load::run(ground, world, load, settings.lasts(), seed);
    let mix = single(&mix)?;
    let reads = single(&reads)?;
    Ok(Growth {
        transactions: before + written,
        wal_bytes: wal / written.max(1) as f64,
        database_bytes,
        service_kib: ground.watched(world).service_kib(),
        writes,
        mix,
        reads,
    })
}

/// All loads on both databases, round by round.
fn in_turn(ground: &Ground, small: &World, grown: &World, settings: &Settings) -> Result<Vec<Case>, Error> {
    let loads = loads(settings.growth_wallets);
    let both = loads.iter().zip(LOADS).flat_map(|(load, name)| [(load, name, false), (load, name, true)]);
    let case = |(load, name, is_grown): (&Load, &str, bool)| Case {
        name: case_name(name, is_grown),
        subject: Subject::Florin,
        way: Way::Messages,
        in_flight: load.in_flight,
        batch: load.batch,
        rounds: Vec::new(),
    };
    let mut cases: Vec<Case> = both.clone().map(case).collect();
    for round in 1..=settings.rounds {
        for ((load, _, is_grown), case) in both.clone().zip(&mut cases) {
            let world = if is_grown { grown } else { small };
            case.rounds.push(load::run(ground, world, load, settings.lasts(), round.into())?);
        }
    }
    Ok(cases)
}

/// The transactions of a mixed load, warm-up included.
fn written(mix: &Round) -> u64 {
    let count = |names: &[&str]| -> u64 {
        let codes = names.iter().filter_map(|name| mix.answers.get(*name));
        codes.flat_map(|codes| codes.values()).sum()
    };
    let unrecorded = mix.cpu.map_or(0, |cpu| cpu.requests.saturating_sub(mix.requests));
    let written = count(&["invoice", "withdraw"]);
    // The warm-up is not counted by operation, but had the same mix.
    written + unrecorded * written / mix.requests.max(1)
}

/// Bytes written to the log since the server was set up.
fn wal_bytes(ground: &Ground, world: &World) -> Result<f64, Error> {
    Ok(number(ground, world, "SELECT (pg_current_wal_lsn() - '0/0')::bigint")? as f64)
}

fn number(ground: &Ground, world: &World, sql: &str) -> Result<u64, Error> {
    let text = ground.ask(world, sql)?;
    text.trim().parse().map_err(|_| Error::Unreadable { what: sql.to_owned(), text })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::results::Cpu;

    #[test]
    fn what_a_mix_wrote_is_counted_with_its_warm_up() {
        let answers = [("invoice", 40), ("withdraw", 40), ("balance", 20)];
        let codes = |count| BTreeMap::from([("200".to_owned(), count)]);
        let mix = Round {
            requests: 100,
            answers: answers.map(|(name, count)| (name.to_owned(), codes(count))).into(),
            cpu: Some(Cpu { requests: 150, ..Cpu::default() }),
            ..Round::default()
        };
        assert_eq!(written(&mix), 120);
        assert_eq!(written(&Round::default()), 0);
    }
}
