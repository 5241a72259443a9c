//! The scenario `soak`: whether the service needs more and more memory at full load.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::load::{self, Lasts};
use crate::plan::{Load, MIX, WorldPlan};
use crate::results::{Scenario, Settings, Soak};
use crate::rounds::Error;
use crate::ui::Ui;
use crate::usage::Watched;
use crate::world::Ground;

const MINUTE: f64 = 60.0;
const WALLETS: u32 = 100_000;
const IN_FLIGHT: u32 = 1000;
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

/// How many seconds it takes, about.
pub(crate) fn estimate(settings: &Settings) -> f64 {
    settings.soak_minutes * MINUTE + 8.0
}

/// The minutes; of a short run two parts, to have something to compare.
fn parts(minutes: f64) -> (u32, Duration) {
    let mut parts = 2;
    while f64::from(parts) < minutes.round() {
        parts += 1;
    }
    (parts, Duration::from_secs_f64(minutes * MINUTE / f64::from(parts)))
}

pub(crate) fn run(ground: &mut Ground, settings: &Settings, ui: &mut Ui) -> Result<Scenario, Error> {
    ui.say("soak: starting the service");
    let world = ground.world(&WorldPlan { wallets: WALLETS, ..WorldPlan::default() })?;
    let load = Load { wallets: WALLETS, ..Load::florin(MIX, IN_FLIGHT) };
    let (parts, duration) = parts(settings.soak_minutes);
    let watched = ground.watched(&world);
    let (minutes, memory) = while_sampled(&watched, || {
        let mut minutes = Vec::new();
        for minute in 1..=parts {
            ui.say(format!("soak: minute {minute} of {parts}"));
            let lasts = Lasts::For { warm_up: Duration::ZERO, duration };
            minutes.push(load::run(ground, &world, &load, lasts, minute.into())?);
            ui.advance(duration.as_secs_f64());
        }
        Ok::<_, Error>(minutes)
    });
    let minutes = minutes?;
    ground.end(world)?;
    Ok(Scenario { soak: Some(Soak { minutes, memory }), ..Scenario::named("soak") })
}

/// Runs something, and meanwhile samples the memory of the services each second.
pub(crate) fn while_sampled<T>(watched: &Watched, work: impl FnOnce() -> T) -> (T, Vec<(f64, u64)>) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let started = Instant::now();
            let mut samples: Vec<(f64, u64)> = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let due = SAMPLE_EVERY * u32::try_from(samples.len()).unwrap_or(u32::MAX);
                if started.elapsed() >= due {
                    samples.push((started.elapsed().as_secs_f64(), watched.service_kib()));
                }
                thread::sleep(PAUSE);
            }
            samples
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        (result, sampler.join().unwrap_or_default())
    })
}

impl Soak {
    /// Mean memory in KiB of the first minute and of the last; of the first and last quarter when it was
    /// shorter. The first seconds, in which everything is allocated for the first time, do not count.
    pub(crate) fn first_and_last(&self) -> Option<(f64, f64)> {
        let end = self.memory.last()?.0;
        let span = MINUTE.min(end / 4.0);
        let settled = 10.0_f64.min(end / 8.0);
        let mean = |from: f64, to: f64| {
            let inside: Vec<f64> = self
                .memory
                .iter()
                .filter(|(second, _)| (from..=to).contains(second))
                .map(|(_, kib)| *kib as f64)
                .collect();
            (!inside.is_empty()).then(|| inside.iter().sum::<f64>() / inside.len() as f64)
        };
        Some((mean(settled, settled + span)?, mean(end - span, end)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_whole_and_at_least_two() {
        assert_eq!(parts(30.0), (30, Duration::from_secs(60)));
        assert_eq!(parts(0.1), (2, Duration::from_secs(3)));
    }

    #[test]
    fn the_first_minute_is_compared_with_the_last() {
        let memory = (0..600_u32).map(|second| (f64::from(second), if second < 300 { 100 } else { 120 }));
        let soak = Soak { minutes: Vec::new(), memory: memory.collect() };
        let (first, last) = soak.first_and_last().unwrap();
        assert!((first - 100.0).abs() < 1e-9 && (last - 120.0).abs() < 1e-9);
        assert_eq!(Soak { minutes: Vec::new(), memory: Vec::new() }.first_and_last(), None);
    }

    #[test]
    fn memory_is_sampled_while_something_is_done() {
        let watched = Watched { services: vec![std::process::id()], ..Watched::default() };
        let ((), samples) = while_sampled(&watched, || thread::sleep(Duration::from_millis(100)));
        assert_eq!(samples.len(), 1);
        assert!(samples[0].1 > 0);
    }
}
