//! `florin-benchmarks`: measures Florin, its broker and its database side by side, and writes a report.
//!
//! From the top: `run` goes through the scenarios of the `catalogue`; most are a `plan`, which `rounds` runs:
//! loads of `florin bench` (`load`) on services of their own (`world`), and the database alone (`yardstick`).
//! Those that are about something else have a module each: `growth`, `allocations`, `flamegraph` (drawn by
//! `flames`), `overload` (by a `flood`), `soak`. `tuning` sets up PostgreSQL, `process` makes sure that
//! no child is left behind. `results` is the file of a run, `report` the page made from it.

mod allocations;
mod catalogue;
mod facts;
mod flamegraph;
mod flames;
mod flood;
mod growth;
mod load;
mod overload;
mod plan;
mod process;
mod report;
mod results;
mod rounds;
mod run;
mod soak;
mod stats;
mod tuning;
mod ui;
mod usage;
mod world;
mod yardstick;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Parser, Subcommand};

use results::{Run, Settings};

/// No case is measured for longer: a thousand hours.
const LONGEST_SECONDS: f64 = 3_600_000.0;

const EXAMPLES: &str = "\
Examples:
  florin-benchmarks list
  florin-benchmarks run                                   everything: takes hours
  florin-benchmarks run --quick                           a few minutes, to see that it works
  florin-benchmarks run --only single,batches --rounds 5
  florin-benchmarks report target/bench/2026-01-31T08-15-30Z.json

It starts a private PostgreSQL and RabbitMQ, and ends them whatever happens. PostgreSQL is set up as docs/guides/production.md advises for a
busy ledger (a large log, a quarter of the memory as shared buffers); all that makes data durable is as it is by default. The load
generator, the service and both servers share the machine: keep everything else off it.";

/// Measures Florin, its broker and its database side by side.
#[derive(Debug, Parser)]
#[command(name = "florin-benchmarks", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the scenarios, and how long each takes.
    List,
    /// Measures, writes the results, and makes the report.
    Run(RunArgs),
    /// Makes the report again from the results of a run.
    Report {
        /// What a run wrote.
        results: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Only these scenarios.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Without these scenarios.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    skip: Vec<String>,
    /// How often each case is measured; the figures are the medians [default: 3, or 1 if quick].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// How long each case is measured: `500ms`, `10s`, `2m` [default: 5s, or 500ms if quick].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Small and short: shows that everything works, the figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// How many transactions `growth` goes up to [default: 20000000, or 100000 if quick].
    #[arg(long, value_name = "TRANSACTIONS", value_parser = clap::value_parser!(u64).range(1000..))]
    growth_to: Option<u64>,
    /// How many wallets `growth` spreads them over [default: 100000, or 1000 if quick].
    #[arg(long, value_name = "WALLETS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    growth_wallets: Option<u32>,
    /// How long `soak` takes [default: 30, or 0.1 if quick].
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<f64>,
    /// How long `overload` publishes more than can be answered [default: 5, or 0.1 if quick].
    #[arg(long, value_name = "MINUTES")]
    overload_minutes: Option<f64>,
    /// Folder for the results.
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
    /// A setting of PostgreSQL in place of the advised one, such as max_wal_size=1GB. May be repeated. Settings
    /// that make data less durable are refused.
    #[arg(long, value_name = "NAME=VALUE", value_parser = postgres_setting)]
    postgres_setting: Vec<(String, String)>,
    /// The service to measure [default: florin beside this program].
    #[arg(long, value_name = "PROGRAM")]
    florin: Option<PathBuf>,
}

impl RunArgs {
    fn settings(&self) -> anyhow::Result<Settings> {
        let minutes = |given: Option<f64>, full: f64| given.unwrap_or(if self.quick { 0.1 } else { full });
        let settings = Settings {
            rounds: self.rounds.unwrap_or(if self.quick { 1 } else { 3 }),
            seconds: self.duration.map_or(if self.quick { 0.5 } else { 5.0 }, |time| time.as_secs_f64()),
            warm_up_seconds: if self.quick { 0.2 } else { 1.0 },
            quick: self.quick,
            growth_to: self.growth_to.unwrap_or(if self.quick { 100_000 } else { 20_000_000 }),
            // As many as the service caches: what grows is the database alone.
            growth_wallets: self.growth_wallets.unwrap_or(if self.quick { 1_000 } else { 100_000 }),
            soak_minutes: minutes(self.minutes, 30.0),
            overload_minutes: minutes(self.overload_minutes, 5.0),
        };
        for minutes in [settings.soak_minutes, settings.overload_minutes] {
            if !(0.01..=10_000.0).contains(&minutes) {
                bail!("minutes are a number from 0.01 to 10000, not {minutes}");
            }
        }
        if !(0.1..=LONGEST_SECONDS).contains(&settings.seconds) {
            bail!("a case is measured for 100ms at least, and for 1000h at most");
        }
        Ok(settings)
    }
}

fn main() -> ExitCode {
    match start(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> anyhow::Result<()> {
    let results = match cli.command {
        Command::List => {
            list();
            return Ok(());
        }
        Command::Report { results } => results,
        Command::Run(args) => {
            let settings = args.settings()?;
            let skipped = run::select(&args.skip)?;
            let mut scenarios = run::select(&args.only)?;
            if !args.skip.is_empty() {
                scenarios.retain(|one| skipped.iter().all(|other| other.name != one.name));
            }
            let RunArgs { out, florin, postgres_setting: postgres_settings, .. } = args;
            run::run(&run::Order { scenarios, settings, postgres_settings, out, florin })?
        }
    };
    let report = report::write(&Run::read(&results)?, &results)?;
    println!("results: {}\nreport:  {}", results.display(), report.display());
    Ok(())
}

fn list() {
    let settings = Settings {
        rounds: 3,
        seconds: 5.0,
        warm_up_seconds: 1.0,
        quick: false,
        growth_to: 20_000_000,
        growth_wallets: 100_000,
        soak_minutes: 30.0,
        overload_minutes: 5.0,
    };
    for definition in catalogue::all() {
        let takes = stats::time(run::estimate(definition, &settings));
        println!("{:<12} {:<70} {takes:>7}", definition.name, definition.about);
    }
}

/// Reads `max_wal_size=16GB`.
fn postgres_setting(text: &str) -> anyhow::Result<(String, String)> {
    const DURABLE: [&str; 4] = ["fsync", "synchronous_commit", "full_page_writes", "wal_sync_method"];
    let Some((name, value)) = text.split_once('=') else { bail!("a setting is NAME=VALUE") };
    if DURABLE.contains(&name.to_ascii_lowercase().as_str()) {
        bail!("{name} cannot be changed: only durable settings are measured");
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn settings_follow_the_flags() {
        let settings = |flags: &[&str]| {
            let cli = Cli::parse_from([&["florin-benchmarks", "run"], flags].concat());
            let Command::Run(args) = cli.command else { panic!("run was given") };
            args.settings()
        };
        let full = settings(&[]).unwrap();
        assert_eq!((full.rounds, full.growth_to), (3, 20_000_000));
        let quick = settings(&["--quick", "--duration", "300ms"]).unwrap();
        assert_eq!(quick.rounds, 1);
        assert!((quick.seconds - 0.3).abs() < 1e-9);
        assert!(settings(&["--minutes", "NaN"]).is_err());
        assert!(settings(&["--duration", "1ms"]).is_err());
    }

    #[test]
    fn no_setting_makes_data_less_durable() {
        let pair = ("max_wal_size".to_owned(), "16GB".to_owned());
        assert_eq!(postgres_setting("max_wal_size=16GB").unwrap(), pair);
        for refused in ["fsync=off", "Synchronous_Commit=off", "full_page_writes=off", "max_wal_size"] {
            assert!(postgres_setting(refused).is_err(), "{refused}");
        }
    }
}
