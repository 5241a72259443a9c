//! The scenario `allocations`: how often the service calls the allocator for a request.
//!
//! heaptrack's library counts them: it writes a line for each call. A service that was started and stopped
//! without a request is subtracted. What heaptrack costs does not matter, for nothing is timed here.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::load::{self, Lasts};
use crate::plan::{Load, MIX, WorldPlan};
use crate::process::{self, io};
use crate::results::{Allocations, LeftOut, Scenario, Settings};
use crate::rounds::Error;
use crate::ui::Ui;
use crate::world::{self, Ground, World};

const LIBRARY: &str = "libheaptrack_preload.so";
const PLACES: [&str; 5] = [
    "/usr/lib/heaptrack",
    "/usr/lib/x86_64-linux-gnu/heaptrack",
    "/usr/lib/aarch64-linux-gnu/heaptrack",
    "/usr/lib64/heaptrack",
    "/usr/local/lib/heaptrack",
];
const REQUESTS: u64 = 20_000;
const REQUESTS_QUICK: u64 = 2_000;
const IN_FLIGHT: u32 = 1000;
/// Fewer calls per request than this cannot be all of the service's.
const LEAST: f64 = 1.0;

/// How many seconds it takes, about.
pub(crate) const SECONDS: f64 = 30.0;

pub(crate) fn run(
    ground: &mut Ground,
    settings: &Settings,
    ui: &mut Ui,
    left_out: &mut Vec<LeftOut>,
) -> Result<Scenario, Error> {
    let mut scenario = Scenario::named("allocations");
    match PLACES.iter().map(|place| Path::new(place).join(LIBRARY)).find(|path| path.is_file()) {
        Some(library) => {
            ui.say("allocations: counting");
            let counted = measure(ground, settings, &library)?;
            if counted.per_request() < LEAST {
                let why = "heaptrack counted almost nothing: the service has an allocator of its own";
                left_out.push(LeftOut { what: "allocations".to_owned(), why: why.to_owned() });
            } else {
                scenario.allocations = Some(counted);
            }
        }
        None => {
            let why = "heaptrack is not installed (Debian: apt install heaptrack)".to_owned();
            ui.note(format!("allocations: {why}"));
            left_out.push(LeftOut { what: "allocations".to_owned(), why });
        }
    }
    ui.advance(SECONDS);
    Ok(scenario)
}

fn measure(ground: &mut Ground, settings: &Settings, library: &Path) -> Result<Allocations, Error> {
    let plan = WorldPlan::default();
    let mut world = ground.world(&plan)?;
    // It was needed only to create the wallets.
    world.services.clear();
    let requests = if settings.quick { REQUESTS_QUICK } else { REQUESTS };
    let (at_rest, _) = count(ground, &world, &plan, library, None)?;
    let (at_work, answered) = count(ground, &world, &plan, library, Some(requests))?;
    ground.end(world)?;
    Ok(Allocations { requests: answered, at_rest, at_work })
}

/// Calls of the allocator until the service ends, and the requests that it answered.
fn count(
    ground: &Ground,
    world: &World,
    plan: &WorldPlan,
    library: &Path,
    requests: Option<u64>,
) -> Result<(u64, u64), Error> {
    let written = ground.children.folder().join("heaptrack.raw");
    let mut command = ground.serve_command(world, plan);
    command.env("LD_PRELOAD", library).env("DUMP_HEAPTRACK_OUTPUT", &written);
    let mut service = ground.children.start(&command)?;
    world::wait_ready(&mut service)?;
    let mut answered = 0;
    if let Some(requests) = requests {
        let round = load::run(ground, world, &Load::florin(MIX, IN_FLIGHT), Lasts::Requests(requests), 1)?;
        answered = round.cpu.map_or(round.requests, |cpu| cpu.requests);
    }
    // SIGTERM, so that heaptrack's file is complete.
    drop(service);
    let calls = calls(&written)?;
    std::fs::remove_file(&written).map_err(io("remove what heaptrack wrote"))?;
    Ok((calls, answered))
}

/// Lines that begin with `+` are calls that allocate; a reallocation is one more.
fn calls(written: &PathBuf) -> Result<u64, process::Error> {
    let failed = || io(format!("read {}", written.display()));
    let mut reader = BufReader::with_capacity(1 << 20, File::open(written).map_err(failed())?);
    let (mut calls, mut line) = (0, Vec::new());
    while reader.read_until(b'\n', &mut line).map_err(failed())? > 0 {
        calls += u64::from(line.first() == Some(&b'+'));
        line.clear();
    }
    Ok(calls)
}

impl Allocations {
    pub(crate) fn per_request(&self) -> f64 {
        self.at_work.saturating_sub(self.at_rest) as f64 / self.requests.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_lines_that_begin_with_a_plus() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("raw");
        std::fs::write(&path, "v 10300\ns 3 a+b\n+ 10 1 a\n- a\n+ 20 1 b\n").unwrap();
        assert_eq!(calls(&path).unwrap(), 2);
        let counted = Allocations { requests: 10, at_rest: 100, at_work: 350 };
        assert!((counted.per_request() - 25.0).abs() < 1e-9);
    }
}
