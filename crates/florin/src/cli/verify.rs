//! `florin verify`: audits the whole ledger. `report` shows the findings.

mod report;

use std::num::NonZeroUsize;
use std::process::{self, ExitCode};
use std::time::Duration;

use anyhow::Context;
use florin_service::cli::StoreArgs;
use florin_service::cli::output::OutputArgs;
use florin_service::cli::signals;
use florin_service::cli::values::number;
use florin_store::{AuditOptions, Progress};
use indicatif::{ProgressBar, ProgressStyle};

/// The exit code of an audit that was finished and has findings.
const FINDINGS: u8 = 3;
/// How often the bar shows that time passes.
const TICK: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin verify
  florin verify --limit 100                     more of what is wrong
  florin verify --connections 4                 faster, if the database has cores to spare
  florin verify --json > audit.json

It reads everything in one snapshot, writes nothing, and may run while the service does. It can
also run against a read replica. Each connection keeps about one core of the database busy.

The last line is the verdict: `Verdict: the ledger is sound: ...` or `Verdict: N findings ...`.

JSON: {\"sound\", \"verdict\", \"postings\", \"duration_seconds\", \"postings_per_second\", \"checks\":
[{\"check\", \"must_hold\", \"warning\", \"examined\", \"findings\", \"first\": [{\"subject\",
\"wallet_id\", \"ticker\", \"version\", \"transaction_id\", \"expected\", \"found\"}]}]}

Exit codes: 0 sound (warnings do not count), 1 the audit failed, 2 wrong command line or
configuration, 3 findings, 130 interrupted.")]
pub(crate) struct Args {
    /// Maximum number of findings to show per check; all are counted.
    #[arg(long, value_name = "FINDINGS", default_value_t = 10, value_parser = number(0..=10_000_usize))]
    limit: usize,
    /// Number of connections to read with in parallel, 1 to 16.
    #[arg(long, value_name = "CONNECTIONS", default_value = "2", value_parser = connections)]
    connections: NonZeroUsize,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    database: StoreArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let failed = "cannot begin the audit";
    let store = args.database.open_reader(failed).await?;
    let interruption = signals::interruption()?;
    let options = AuditOptions { connections: args.connections, limit: args.limit };
    let audit = store.audit(options).await.context(failed)?;
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
    let audit = report::Audit::new(&report);
    args.output.print(&audit, |_| report::text(&report))?;
    Ok(if audit.sound { ExitCode::SUCCESS } else { FINDINGS.into() })
}

fn connections(text: &str) -> Result<NonZeroUsize, String> {
    number(NonZeroUsize::MIN..=NonZeroUsize::MIN.saturating_add(15))(text)
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
