//! The scenario `flamegraph`: where the service spends its time while it answers the mix, as a picture.
//!
//! `perf` samples the stacks of the service; `flames` reads what it prints and draws it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::flames::Flames;
use crate::load::{self, Lasts};
use crate::plan::{Load, MIX, WorldPlan};
use crate::process::io;
use crate::results::{LeftOut, Scenario, Settings};
use crate::rounds::Error;
use crate::ui::Ui;
use crate::world::{Ground, World};

/// Samples per second: not in step with anything that happens every 10 ms.
const FREQUENCY: &str = "199";
/// How much of a stack is kept, in bytes: the program has no frame pointers.
const STACKS: &str = "dwarf,32768";
const TIME: Duration = Duration::from_secs(10);
const TIME_QUICK: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_secs(1);
const IN_FLIGHT: u32 = 1000;
/// Stacks are put together from debug information, which takes long.
const SCRIPT_LIMIT: Duration = Duration::from_secs(900);
const HOTTEST: usize = 25;
const FILE: &str = "flamegraph.svg";

/// How many seconds it takes, about.
pub(crate) const SECONDS: f64 = 40.0;

pub(crate) fn run(
    ground: &mut Ground,
    settings: &Settings,
    folder: &Path,
    ui: &mut Ui,
    left_out: &mut Vec<LeftOut>,
) -> Result<Scenario, Error> {
    let mut scenario = Scenario::named("flamegraph");
    let has_perf = Command::new("perf").arg("--version").output().is_ok_and(|output| output.status.success());
    if has_perf {
        ui.say("flamegraph: sampling stacks");
        let world = ground.world(&WorldPlan::default())?;
        let flames = record(ground, &world, settings);
        ground.end(world)?;
        let flames = flames?;
        let title = format!("florin serve, mix, {IN_FLIGHT} in flight");
        fs::create_dir_all(folder).map_err(io("create the folder of the pictures"))?;
        let svg = flames.svg(&title).map_err(io("draw the flame graph"))?;
        fs::write(folder.join(FILE), svg).map_err(io("write the flame graph"))?;
        scenario.flame_graph = Some(FILE.to_owned());
        scenario.hottest = flames.hottest(HOTTEST);
    } else {
        let why = "perf is not installed (Debian: apt install linux-perf)".to_owned();
        ui.note(format!("flamegraph: {why}"));
        left_out.push(LeftOut { what: "flamegraph".to_owned(), why });
    }
    ui.advance(SECONDS);
    Ok(scenario)
}

fn record(ground: &Ground, world: &World, settings: &Settings) -> Result<Flames, Error> {
    let time = if settings.quick { TIME_QUICK } else { TIME };
    let data = ground.children.folder().join("perf.data");
    let pids: Vec<String> = world.services.iter().map(|service| service.pid().to_string()).collect();
    let seconds = time.as_secs().to_string();
    // Hardware counters are not there in every virtual machine; this event is.
    let mut record = Command::new("perf");
    record.args(["record", "--event", "cpu-clock", "--freq", FREQUENCY, "--call-graph", STACKS, "--pid"]);
    record.arg(pids.join(",")).arg("--output").arg(&data).args(["--", "sleep", &seconds]);
    let recording = ground.children.start(&record)?;
    let lasts = Lasts::For { warm_up: WARM_UP, duration: time };
    let load = load::run(ground, world, &Load::florin(MIX, IN_FLIGHT), lasts, 1);
    recording.finish(SCRIPT_LIMIT)?;
    load?;
    let mut script = Command::new("perf");
    script.args(["script", "--no-inline", "--input"]).arg(&data);
    let printed = ground.children.run(&script, SCRIPT_LIMIT)?;
    fs::remove_file(&data).map_err(io("remove what perf wrote"))?;
    Ok(Flames::of(&printed).map_err(io("read the stacks"))?)
}
