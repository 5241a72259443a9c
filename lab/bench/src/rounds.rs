//! Runs a plan: all steps in turn, round by round, so that a machine that gets slower or faster meanwhile is
//! unfair to none of them.

use std::time::Duration;

use crate::flood;
use crate::load::{self, Lasts};
use crate::plan::{Action, Load, Plan, Step, WRITES};
use crate::process;
use crate::results::{Case, LeftOut, Round, Scenario, Settings};
use crate::ui::Ui;
use crate::world::{self, Ground, World};
use crate::yardstick::copy::Rows;
use crate::yardstick::pgbench::PgBench;
use crate::yardstick::{self, commit};

/// What starting and ending a load takes, about.
const STEP_SECONDS: f64 = 0.8;
/// What starting and filling a world takes, about.
const WORLD_SECONDS: f64 = 3.0;
/// Wallets that are filled in a second, about.
const WALLETS_PER_SECOND: f64 = 40_000.0;
/// Rows for the bare COPY.
const COPY_ROWS: u32 = 500_000;
const COPY_ROWS_QUICK: u32 = 20_000;
/// 100,000 accounts for each.
const PGBENCH_SCALE: u32 = 50;
const PGBENCH_SCALE_QUICK: u32 = 2;

/// Why a scenario has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    World(#[from] world::Error),
    #[error(transparent)]
    Load(#[from] load::Error),
    #[error(transparent)]
    Yardstick(#[from] yardstick::Error),
    #[error(transparent)]
    Process(#[from] process::Error),
    #[error(transparent)]
    Server(#[from] devstack::Error),
    #[error(transparent)]
    Flood(#[from] flood::Error),
    #[error("{what} gave {text:?}")]
    Unreadable { what: String, text: String },
}

impl Error {
    /// Whether somebody wants the run to end; anything else ends a scenario only.
    pub(crate) fn is_interruption(&self) -> bool {
        let (Self::World(world::Error::Process(error))
        | Self::Load(load::Error::Process(error))
        | Self::Yardstick(yardstick::Error::Process(error))
        | Self::Process(error)) = self
        else {
            return false;
        };
        matches!(error, process::Error::Interrupted)
    }
}

/// What the steps need besides services.
#[derive(Debug, Default)]
struct Tools {
    pgbench: Option<PgBench>,
    rows: Option<Rows>,
}

impl Settings {
    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up_seconds)
    }

    pub(crate) fn lasts(&self) -> Lasts {
        Lasts::For { warm_up: self.warm_up(), duration: self.duration() }
    }
}

/// How many seconds a plan takes, about.
pub(crate) fn estimate(plan: &Plan, settings: &Settings) -> f64 {
    let world = |wallets: u32| WORLD_SECONDS + f64::from(wallets) / WALLETS_PER_SECOND;
    let worlds: f64 = plan.worlds.iter().map(|plan| world(plan.wallets)).sum();
    worlds + f64::from(settings.rounds) * plan.steps.len() as f64 * step_seconds(settings)
}

fn step_seconds(settings: &Settings) -> f64 {
    settings.seconds + settings.warm_up_seconds + STEP_SECONDS
}

/// Runs it. A step that fails is left out of the rounds that follow, and said so.
pub(crate) fn run(
    name: &str,
    plan: &Plan,
    ground: &mut Ground,
    settings: &Settings,
    ui: &mut Ui,
    left_out: &mut Vec<LeftOut>,
) -> Result<Scenario, Error> {
    ui.say(format!("{name}: starting the services"));
    let mut worlds = Vec::new();
    for plan in &plan.worlds {
        worlds.push(ground.world(plan)?);
    }
    let tools = prepare(name, plan, ground, &worlds, settings, ui, left_out)?;
    ui.advance(estimate(plan, &Settings { rounds: 0, ..settings.clone() }));
    let mut cases: Vec<Case> = plan.steps.iter().map(Step::case).collect();
    let mut failed = vec![false; cases.len()];
    for round in 1..=settings.rounds {
        for ((step, case), failed) in plan.steps.iter().zip(&mut cases).zip(&mut failed) {
            ui.say(format!("{name}: {}, round {round} of {}", step.describe(), settings.rounds));
            if !*failed {
                match step.measure(ground, &worlds, &tools, settings, round) {
                    Ok(Some(round)) => case.rounds.push(round),
                    Ok(None) => *failed = true,
                    Err(error) if error.is_interruption() => return Err(error),
                    Err(error) => {
                        *failed = true;
                        let what = format!("{name}: {}", step.describe());
                        ui.note(format!("{what} failed: {error}"));
                        left_out.push(LeftOut { what, why: error.to_string() });
                    }
                }
            }
            ui.advance(step_seconds(settings));
        }
    }
    for world in worlds {
        ground.end(world)?;
    }
    Ok(Scenario { cases, ..Scenario::named(name) })
}

/// Gets ready what single steps need. What is not installed is left out.
fn prepare(
    name: &str,
    plan: &Plan,
    ground: &mut Ground,
    worlds: &[World],
    settings: &Settings,
    ui: &Ui,
    left_out: &mut Vec<LeftOut>,
) -> Result<Tools, Error> {
    let mut tools = Tools::default();
    let needs = |wanted: fn(&Action) -> bool| plan.steps.iter().any(|step| wanted(&step.action));
    if needs(|action| matches!(action, Action::PgBench { .. })) {
        ui.say(format!("{name}: filling the tables of pgbench"));
        let postgres = &ground.stack.postgres;
        if postgres.program("pgbench").is_file() {
            let url = postgres.create_database("pgbench")?;
            let scale = if settings.quick { PGBENCH_SCALE_QUICK } else { PGBENCH_SCALE };
            tools.pgbench = Some(PgBench::prepare(postgres, &url, &ground.children, scale)?);
        } else {
            let why =
                "pgbench is not installed; it comes with PostgreSQL, on some systems as postgresql-contrib";
            ui.note(format!("{name}: {why}"));
            left_out.push(LeftOut { what: format!("{name}: pgbench"), why: why.to_owned() });
        }
    }
    let copies = needs(|action| matches!(action, Action::Copy { .. }));
    if let Some(world) = worlds.first().filter(|_| copies) {
        ui.say(format!("{name}: writing rows for the bare COPY"));
        let rows = if settings.quick { COPY_ROWS_QUICK } else { COPY_ROWS };
        let load = Load { batch: 1000, ..Load::florin(WRITES, 8) };
        load::run(ground, world, &load, Lasts::Requests(rows.into()), 1)?;
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        let rows = Rows::export(&world.database_url, rows)?;
        ui.note(format!("{name}: {} rows for the bare COPY", rows.count()));
        tools.rows = Some(rows);
    }
    Ok(tools)
}

impl Step {
    fn case(&self) -> Case {
        Case {
            name: self.name.clone(),
            subject: self.subject(),
            way: self.way(),
            in_flight: self.in_flight(),
            batch: self.batch(),
            rounds: Vec::new(),
        }
    }

    fn describe(&self) -> String {
        let batch = if self.batch() > 1 { format!(" of {}", self.batch()) } else { String::new() };
        format!("{}, {} in flight{batch}", self.name, self.in_flight())
    }

    /// None when what it needs is not there.
    fn measure(
        &self,
        ground: &Ground,
        worlds: &[World],
        tools: &Tools,
        settings: &Settings,
        round: u32,
    ) -> Result<Option<Round>, Error> {
        match &self.action {
            Action::Load { world, load } => {
                let measured = load::run(ground, &worlds[*world], load, settings.lasts(), round.into())?;
                Ok(Some(measured))
            }
            Action::Commit { whole } => {
                let (url, interrupt) = (ground.stack.postgres.url(), &ground.children.interrupt);
                Ok(Some(commit::measure(&url, *whole, settings.duration(), interrupt)?))
            }
            Action::PgBench { simple, connections } => {
                let Some(pgbench) = &tools.pgbench else { return Ok(None) };
                Ok(Some(pgbench.measure(*simple, *connections, settings.duration())?))
            }
            Action::Copy { rows_each, connections } => {
                let Some(rows) = &tools.rows else { return Ok(None) };
                Ok(Some(rows.copy(*rows_each, *connections)?))
            }
        }
    }
}
