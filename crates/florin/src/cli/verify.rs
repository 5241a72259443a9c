//! `florin verify`: audits the whole database. `report` shows what was found.

mod report;

use std::num::NonZeroUsize;
use std::process;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::builder::RangedU64ValueParser;
use florin_store::{AuditOptions, AuditReport, Progress};
use indicatif::{ProgressBar, ProgressStyle};

use florin_service::cli::StoreArgs;
use florin_service::cli::signals;

/// How often the bar shows that time passes.
const TICK: Duration = Duration::from_millis(100);

/// The flags of `florin verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin verify
  florin verify --limit 100                     more of what is wrong
  florin verify --connections 4                 faster, where the database has cores to spare
  florin verify --json > audit.json

It reads everything in one snapshot, writes nothing, and may run while the service does; a replica will do.
Each connection keeps about one core of the database busy.

Exit codes: 0 sound, 1 something was found or the audit failed, 2 the command line is wrong, 130 interrupted.
Warnings alone are sound.")]
pub(crate) struct Args {
    /// How many findings of each check are shown; all are counted.
    #[arg(long, value_name = "FINDINGS", default_value_t = 10,
          value_parser = RangedU64ValueParser::<usize>::new().range(0..=10_000))]
    limit: usize,
    /// How many connections work at a time.
    #[arg(long, value_name = "NUMBER", default_value = "2", value_parser = connections)]
    connections: NonZeroUsize,
    /// Prints the result as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: StoreArgs,
}

/// Audits, shows what was found, and fails when something is wrong.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let store = args.database.store()?;
    let interruption = signals::interruption()?;
    let options = AuditOptions { connections: args.connections, limit: args.limit };
    let audit = store.audit(options).await.context("cannot begin the audit")?;
    let stopper = audit.stopper();
    let bar = Bar::new();
    let report = tokio::select! {
        report = audit.run(|progress| bar.show(progress)) => report.context("the audit is not finished")?,
        () = interruption => {
            drop(bar);
            stopper.stop().await;
            process::exit(signals::INTERRUPTED);
        }
    };
    drop(bar);
    florin_service::cli::print(&if args.json { report::json(&report)? } else { report::text(&report) })?;
    verdict(&report)
}

fn verdict(report: &AuditReport) -> anyhow::Result<()> {
    let checks = report.failed().count();
    let findings: i64 = report.failed().map(|check| check.findings).sum();
    match checks {
        0 => Ok(()),
        _ => bail!("the ledger is not sound: {findings} findings by {checks} checks"),
    }
}

fn connections(text: &str) -> anyhow::Result<NonZeroUsize> {
    let number = text.parse::<NonZeroUsize>().ok().filter(|number| number.get() <= 16);
    number.context("a whole number from 1 to 16")
}

/// How far the audit is, on a terminal. It disappears when it is dropped.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new(1);
        let style = ProgressStyle::with_template("{spinner} {elapsed} [{bar:40}] {percent} %");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    fn show(&self, progress: Progress) {
        self.0.set_length(progress.total);
        self.0.set_position(progress.done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_connections_are_needed() {
        assert_eq!(connections("16").unwrap().get(), 16);
        for text in ["0", "-1", "17", "two", ""] {
            assert!(connections(text).is_err(), "{text}");
        }
    }
}
