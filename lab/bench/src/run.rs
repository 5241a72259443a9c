//! One run: servers, scenarios one after the other, results after each of them.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use devstack::{Options, Stack};
use jiff::Timestamp;

use crate::catalogue::{self, Definition, Kind};
use crate::process::{Children, Interrupt};
use crate::results::{FORM, LeftOut, Run, Scenario, Settings};
use crate::stats::time;
use crate::ui::Ui;
use crate::world::Ground;
use crate::{allocations, facts, flamegraph, growth, overload, rounds, soak, tuning};

/// The fact that the broker tells of the service's queues: name, type, durable.
const QUEUES: &str = "RabbitMQ queues";

/// What to run, and where the results go.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) scenarios: Vec<Definition>,
    pub(crate) settings: Settings,
    pub(crate) postgres_settings: Vec<(String, String)>,
    pub(crate) out: PathBuf,
    pub(crate) florin: Option<PathBuf>,
}

/// Measures everything that was ordered, and returns where the results are.
pub(crate) fn run(order: &Order) -> anyhow::Result<PathBuf> {
    let florin = florin(order.florin.as_deref())?;
    std::fs::create_dir_all(&order.out).with_context(|| format!("cannot create {}", order.out.display()))?;
    let interrupt = Interrupt::listen()?;
    let children = Children::new(interrupt.clone())?;
    let total: f64 = order.scenarios.iter().map(|definition| estimate(*definition, &order.settings)).sum();
    eprintln!("{} scenarios, about {}: starting PostgreSQL and RabbitMQ", order.scenarios.len(), time(total));
    let postgres_settings = tuning::settings(&order.postgres_settings);
    let stack = Stack::start(&Options { postgres_settings, ..Options::default() })?;
    tuning::compress_pages(&stack.postgres)?;
    interrupt.check()?;

    let started_at = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let path = order.out.join(format!("{}.json", started_at.replace(':', "-")));
    let mut results = Run {
        form: FORM,
        started_at,
        ended_at: None,
        settings: order.settings.clone(),
        facts: facts::collect(&stack, &florin),
        scenarios: Vec::new(),
        left_out: Vec::new(),
    };
    let mut ground = Ground::new(children, stack, &florin);
    let mut ui = Ui::new(total);
    for definition in &order.scenarios {
        let measured = measure(*definition, &mut ground, order, &path, &mut ui, &mut results.left_out);
        let interrupted = match measured {
            Ok(scenario) => {
                results.scenarios.push(scenario);
                None
            }
            // What Ctrl-C broke may look like a failure.
            Err(error) if error.is_interruption() || interrupt.check().is_err() => Some(error),
            Err(error) => {
                let (what, why) = (definition.name.to_owned(), error.to_string());
                ui.note(format!("{what} failed: {why}"));
                results.left_out.push(LeftOut { what, why });
                None
            }
        };
        let known = results.facts.settings.iter().any(|(name, _)| name == QUEUES);
        if let Some(queues) = ground.queues.clone().filter(|_| !known) {
            results.facts.settings.push((QUEUES.to_owned(), queues));
        }
        results.ended_at = Some(Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        results.write(&path)?;
        if let Some(error) = interrupted {
            drop(ui);
            return Err(error).with_context(|| format!("what was measured before is in {}", path.display()));
        }
    }
    Ok(path)
}

fn measure(
    definition: Definition,
    ground: &mut Ground,
    order: &Order,
    results: &Path,
    ui: &mut Ui,
    left_out: &mut Vec<LeftOut>,
) -> Result<Scenario, rounds::Error> {
    let (name, settings) = (definition.name, &order.settings);
    match definition.kind {
        Kind::Rounds(plan) => rounds::run(name, &plan(), ground, settings, ui, left_out),
        Kind::Growth => growth::run(ground, settings, ui),
        Kind::Allocations => allocations::run(ground, settings, ui, left_out),
        Kind::FlameGraph => flamegraph::run(ground, settings, &results.with_extension(""), ui, left_out),
        Kind::Overload => overload::run(ground, settings, ui),
        Kind::Soak => soak::run(ground, settings, ui),
    }
}

/// How many seconds a scenario takes, about.
pub(crate) fn estimate(definition: Definition, settings: &Settings) -> f64 {
    match definition.kind {
        Kind::Rounds(plan) => rounds::estimate(&plan(), settings),
        Kind::Growth => growth::estimate(settings),
        Kind::Allocations => allocations::SECONDS,
        Kind::FlameGraph => flamegraph::SECONDS,
        Kind::Overload => overload::estimate(settings),
        Kind::Soak => soak::estimate(settings),
    }
}

/// The scenarios of these names, in the order in which they run; all when there are no names.
pub(crate) fn select(names: &[String]) -> anyhow::Result<Vec<Definition>> {
    let all: Vec<Definition> = catalogue::all().collect();
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|known| known.name != **name)) {
        let known: Vec<&str> = all.iter().map(|definition| definition.name).collect();
        bail!("there is no scenario {unknown:?}; there are {}", known.join(", "));
    }
    let wanted =
        |definition: &Definition| names.is_empty() || names.iter().any(|name| name == definition.name);
    Ok(all.into_iter().filter(wanted).collect())
}

/// The given program, or that beside this one.
fn florin(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => env::current_exe()?.with_file_name("florin"),
    };
    let found = path.canonicalize();
    found.with_context(|| format!("{} is not there: `cargo build --release --bin florin`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_selected_by_name() {
        let names = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            select(&names).map(|found| found.iter().map(|one| one.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["pgbench", "single"]).unwrap(), ["single", "pgbench"]);
        assert_eq!(names(&[]).unwrap().len(), catalogue::all().count());
        let error = names(&["nonesuch"]).unwrap_err().to_string();
        assert!(error.contains("nonesuch") && error.contains("pgbench"), "{error}");
    }
}
