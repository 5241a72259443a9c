//! The command line.
//!
//! It is part of the library, so that a test can do what the program does.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::check::check;
use crate::kind::{Kind, Topology};
use crate::plan::Plan;
use crate::record::Records;
use crate::report::{Report, sum, violations};
use crate::scratch::Scratch;
use crate::world::Setup;
use crate::{disk, inject, plan, run, supervisor};

/// The exit code of an interrupted run, as in shells.
const INTERRUPTED: u8 = 130;

/// Runs the service under injected faults on private servers, and proves that nothing was lost or applied
/// twice.
#[derive(Debug, Parser)]
#[command(
    name = "florin-faults",
    after_help = "\
Examples:
  florin-faults run --minutes 3
  florin-faults run --seed 7 --minutes 10 --kinds kill-service,kill-postgres
  florin-faults run --topology cluster --kinds kill-node,lose-primary
  florin-faults plan --seed 7 --minutes 10        prints the schedule
  florin-faults check FOLDER                      checks the files of an earlier run again

Exit codes: 0 clean, 1 violated or no verdict, 2 usage error, 130 interrupted."
)]
enum Cli {
    /// Injects faults according to a schedule derived from the seed, then checks the histories.
    Run(RunArgs),
    /// Prints the schedule of a seed.
    Plan(PlanArgs),
    /// Checks the files of an earlier run.
    Check {
        /// The folder of that run.
        folder: PathBuf,
    },
    /// Adds up the results of several runs.
    Sum {
        /// Files named report.json in their folders.
        #[arg(required = true)]
        reports: Vec<PathBuf>,
    },
    /// Lists the kinds of faults.
    Kinds,
}

#[derive(Debug, clap::Args)]
struct PlanArgs {
    /// The seed of the schedule [default: random].
    #[arg(long)]
    seed: Option<u64>,
    /// Duration of the load.
    #[arg(long, default_value_t = 3, conflicts_with = "seconds")]
    minutes: u64,
    /// Duration of the load in seconds, instead of minutes.
    #[arg(long)]
    seconds: Option<u64>,
    /// Only these kinds of faults [default: all that this machine supports].
    #[arg(long, value_delimiter = ',', value_name = "KIND,...")]
    kinds: Vec<Kind>,
    /// What servers there are.
    #[arg(long, default_value = "single")]
    topology: Topology,
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    #[command(flatten)]
    plan: PlanArgs,
    /// Where the files go [default: a temporary folder, kept only if something was violated].
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Keeps the temporary folder even if the run is clean.
    #[arg(long)]
    keep: bool,
    /// The program of the service [default: `florin` beside this program].
    #[arg(long, value_name = "FILE")]
    florin: Option<PathBuf>,
    /// The program of the first instance, if that is the previous version: both work together all the time.
    #[arg(long, value_name = "FILE")]
    previous_florin: Option<PathBuf>,
    /// A further setting of PostgreSQL, such as fsync=off. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    postgres_setting: Vec<(String, String)>,
    /// An environment variable for the service. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    service_env: Vec<(String, String)>,
    /// Appended to the service's DATABASE_URL, such as ?options=-csynchronous_commit%3Doff.
    #[arg(long, value_name = "TEXT", default_value = "")]
    database_url_suffix: String,
}

/// To be called before there are threads: it unshares namespaces.
pub fn main(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> anyhow::Result<ExitCode> {
    match Cli::parse_from(arguments) {
        Cli::Run(args) => run_faults(&args),
        Cli::Plan(args) => {
            let (plan, _) = schedule(&args);
            plan.print(&mut stdout().lock())?;
            Ok(ExitCode::SUCCESS)
        }
        Cli::Check { folder } => check_folder(&folder),
        Cli::Sum { reports } => {
            let reports = reports.iter().map(|path| {
                let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                serde_json::from_slice(&text).with_context(|| format!("{} is no result", path.display()))
            });
            print!("{}", sum(&reports.collect::<anyhow::Result<Vec<Report>>>()?));
            Ok(ExitCode::SUCCESS)
        }
        Cli::Kinds => {
            for kind in Kind::value_variants() {
                println!("{:<20} {}", kind.name(), kind.about());
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn schedule(args: &PlanArgs) -> (Plan, Vec<(Kind, String)>) {
    let wanted: BTreeSet<Kind> = match args.kinds.as_slice() {
        // Why two of three nodes are lost only on demand is in decision 12.
        [] => Kind::value_variants()
            .iter()
            .copied()
            .filter(|kind| kind.fits(args.topology) && *kind != Kind::KillTwoNodes)
            .collect(),
        kinds => kinds.iter().copied().collect(),
    };
    let (possible, skipped) = inject::possible(args.topology, &wanted);
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(1..1_000_000));
    let seconds = args.seconds.unwrap_or(args.minutes * 60);
    (Plan::new(seed, seconds, args.topology, &possible), skipped)
}

fn run_faults(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,lapin=off,florin_faults=info"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr).init();
    let (plan, skipped) = schedule(&args.plan);
    for (kind, why) in &skipped {
        eprintln!("skipped: {} ({why})", kind.name());
    }
    let setup = Setup {
        florin: args.florin.as_deref().map_or_else(beside, |florin| Ok(std::path::absolute(florin)?))?,
        previous_florin: args.previous_florin.as_deref().map(std::path::absolute).transpose()?,
        postgres_settings: args.postgres_setting.clone(),
        database_url_suffix: args.database_url_suffix.clone(),
        service_environment: args.service_env.clone(),
        disks: plan.faults.iter().any(|fault| fault.kind.needs_disks()),
        clocks: plan.faults.iter().any(|fault| fault.kind == Kind::ClockStep),
    };
    if setup.disks {
        // Before there are threads.
        disk::keep_mounts_private()?;
    }
    supervisor::adopt_orphans()?;
    let code = run_in_folder(args, &plan, &setup, &skipped);
    let left = supervisor::clear();
    if left.is_empty() {
        return code;
    }
    eprintln!("left behind and killed: {}", left.join(", "));
    code.map(|_| ExitCode::FAILURE)
}

fn run_in_folder(
    args: &RunArgs,
    plan: &Plan,
    setup: &Setup,
    skipped: &[(Kind, String)],
) -> anyhow::Result<ExitCode> {
    let mut temporary = None;
    let folder = match &args.folder {
        Some(folder) => {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
            let used = folder.join(plan::FILE).exists();
            anyhow::ensure!(!used, "{} holds an earlier run", folder.display());
            folder.clone()
        }
        None => {
            let scratch = Scratch::new(&format!("florin-faults-{}-", plan.settings.seed))?;
            temporary.insert(scratch).path().to_owned()
        }
    };
    eprintln!("seed {}, {} faults, in {}", plan.settings.seed, plan.faults.len(), folder.display());
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(until_signal(run::run(plan, setup, skipped, &folder)));
    drop(runtime);
    let Some(outcome) = outcome? else { return Ok(ExitCode::from(INTERRUPTED)) };
    let keep = args.keep || outcome.as_ref().map_or(true, |report| !report.clean);
    if let Some(temporary) = temporary.as_mut().filter(|_| keep) {
        temporary.keep()?;
        eprintln!("the files stay in {}", folder.display());
    }
    say(&outcome?, plan, &folder)
}

/// None when there was a signal: then what was started has ended by the time this returns.
async fn until_signal<T>(run: impl Future<Output = T>) -> std::io::Result<Option<T>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(tokio::select! {
        outcome = run => Some(outcome),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    })
}

fn say(report: &Report, plan: &Plan, folder: &Path) -> anyhow::Result<ExitCode> {
    if !report.clean {
        println!("{}", violations(&report.verdict, Some(plan), &Records::read(folder)?));
    }
    print!("{}", report.text());
    Ok(if report.clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_folder(folder: &Path) -> anyhow::Result<ExitCode> {
    let records = Records::read(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let verdict = check(&records);
    println!("{}", serde_json::to_string_pretty(&verdict.seen)?);
    if verdict.is_clean() {
        println!("seed {}: clean", records.settings.seed);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}", violations(&verdict, None, &records));
    Ok(ExitCode::FAILURE)
}

/// The service's program beside this one.
fn beside() -> anyhow::Result<PathBuf> {
    let florin = std::env::current_exe()?.with_file_name("florin");
    anyhow::ensure!(
        florin.is_file(),
        "{} is not there: build it, or name it with --florin",
        florin.display()
    );
    Ok(florin)
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    Ok((name.to_owned(), value.to_owned()))
}
