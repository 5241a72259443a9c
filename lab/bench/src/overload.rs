//! The scenario `overload`: requests arrive faster than they can be answered; then they stop. How long until
//! all are answered, and a call is as fast as before?

use std::sync::Arc;

use std::time::{Duration, Instant};

use crate::facts;
use crate::flood::{self, Flood};
use crate::load::{self, Lasts};
use crate::plan::{Load, WorldPlan};
use crate::process::Interrupt;
use crate::results::{Overload, Scenario, Settings};
use crate::rounds::Error;
use crate::soak::while_sampled;
use crate::ui::Ui;
use crate::world::{Ground, World};

const WALLETS: u32 = 1000;
/// How long it may take until everything is answered, for each second of overload.
const RECOVERY_FACTOR: f64 = 10.0;
const LEAST_RECOVERY: f64 = 60.0;
/// A call counts as fast as before when it takes at most this many times as long.
const NORMAL: u64 = 2;
const PROBE: Duration = Duration::from_millis(500);
const PROBES: u32 = 60;
const PAUSE: Duration = Duration::from_millis(50);

/// How many seconds it takes, about.
pub(crate) fn estimate(settings: &Settings) -> f64 {
    settings.overload_minutes * 60.0 * 2.0 + 12.0
}

pub(crate) fn run(ground: &mut Ground, settings: &Settings, ui: &mut Ui) -> Result<Scenario, Error> {
    let total = estimate(settings);
    ui.say("overload: starting the service");
    let world = ground.world(&WorldPlan { wallets: WALLETS, ..WorldPlan::default() })?;
    let before = probe(ground, &world, 1)?;
    let seconds = settings.overload_minutes * 60.0;
    let own = facts::own_settings(&ground.florin).unwrap_or_default();
    let prefetch = own.get("broker.prefetch").and_then(|value| value.parse().ok()).unwrap_or_default();
    let watched = ground.watched(&world);
    let (flooded, memory) = while_sampled(&watched, || flood(ground, &world, seconds, before, ui));
    let overload = Overload { memory, prefetch, ..flooded? };
    ui.advance(total);
    ground.end(world)?;
    Ok(Scenario { overload: Some(overload), ..Scenario::named("overload") })
}

fn flood(ground: &Ground, world: &World, seconds: f64, p50_before: u64, ui: &Ui) -> Result<Overload, Error> {
    let interrupt = &ground.children.interrupt;
    let counts = Arc::new(flood::Counts::default());
    let flood = Flood::start(&world.amqp_url, WALLETS, Arc::clone(&counts))?;
    let mut overload = Overload {
        seconds,
        requests_per_message: flood::REQUESTS,
        p50_before_micros: p50_before,
        ..Overload::default()
    };
    let started = Instant::now();
    let watch = |overload: &mut Overload| -> Result<u64, Error> {
        interrupt.sleep(PAUSE)?;
        flood.check()?;
        let (second, waiting) = (started.elapsed().as_secs_f64(), counts.waiting());
        overload.most_waiting = overload.most_waiting.max(waiting);
        if second >= overload.waiting.len() as f64 {
            overload.waiting.push((second, waiting));
            ui.say(format!("overload: {waiting} messages unanswered"));
        }
        Ok(waiting)
    };
    while started.elapsed().as_secs_f64() < seconds {
        watch(&mut overload)?;
    }
    flood.stop_publishing();
    let stopped = Instant::now();
    let limit = (seconds * RECOVERY_FACTOR).max(LEAST_RECOVERY);
    while stopped.elapsed().as_secs_f64() < limit && overload.until_empty.is_none() {
        if watch(&mut overload)? == 0 && flood.has_stopped() {
            overload.until_empty = Some(stopped.elapsed().as_secs_f64());
        }
    }
    (overload.published, overload.answered) = counts.totals();
    drop(flood);
    if overload.until_empty.is_some() {
        recover(ground, world, &mut overload, stopped, interrupt)?;
    }
    Ok(overload)
}

/// Waits until a call is as fast as before.
fn recover(
    ground: &Ground,
    world: &World,
    overload: &mut Overload,
    stopped: Instant,
    interrupt: &Interrupt,
) -> Result<(), Error> {
    for attempt in 0..PROBES {
        interrupt.check()?;
        overload.p50_after_micros = probe(ground, world, u64::from(attempt) + 2)?;
        if overload.p50_after_micros <= NORMAL * overload.p50_before_micros {
            overload.until_normal = Some(stopped.elapsed().as_secs_f64());
            break;
        }
    }
    Ok(())
}

/// The median latency of single calls, in microseconds.
fn probe(ground: &Ground, world: &World, seed: u64) -> Result<u64, Error> {
    let lasts = Lasts::For { warm_up: PROBE / 5, duration: PROBE };
    let round = load::run(ground, world, &Load::florin("invoice=1", 1), lasts, seed)?;
    Ok(round.latency_micros.get("p50").copied().unwrap_or_default())
}
