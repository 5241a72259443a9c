//! `florin status`: whether the service can work, and how much work there is. `report` words it.

mod report;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use florin_broker::{BrokerStatus, Error as BrokerError};
use florin_service::cli::output::OutputArgs;
use florin_service::cli::{BrokerArgs, CommonArgs, DatabaseArgs, flag, no_broker, no_database};
use florin_service::config::Config;
use florin_service::serve;
use florin_store::{self as store, DatabaseStatus, Store};
use tokio::time::timeout;

use report::Report;

/// How long a server may take to answer everything.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin status
  florin status --json | jq .problems

It changes nothing. To see whether the broker accepts messages, it publishes one that goes to no
queue. AMQP does not show which instance is active, and RabbitMQ counts only active ones: its
management tools show the instances on standby.

JSON: {\"ok\", \"version\", \"problems\", \"notes\", \"broker\": {\"address\", \"virtual_host\",
\"reachable\", \"product\", \"blocked\"}, \"work_queue\": {\"name\", \"exists\", \"ready\",
\"differs\"}, \"dead_letters\": the same, \"parked_events\": the same, or null without events,
\"active_instances\", \"database\": {\"address\", \"name\", \"reachable\",
\"version\", \"encoding\", \"read_only\", \"schema_version\", \"expected_schema_version\"}, \"pending\":
{\"count\", \"oldest\"}}
What cannot be told is null. problems and notes are lists of sentences; problems is empty if ok is
true. pending.count stops at 10000.

Exit codes: 0 the service can work, 1 it cannot, 2 wrong command line or configuration.")]
pub(crate) struct Args {
    /// Name of the work queue.
    #[arg(long, value_name = "NAME", help_heading = "Settings")]
    queue: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let queue = flag("--queue", "broker.queue", args.queue);
    let flags = args.broker.flags().into_iter().chain(args.database.flags()).chain(queue);
    let config = args.common.start(flags)?;
    let (broker, database) = tokio::join!(broker(&config), database(&config));
    let report = Report::new(&config, broker, database);
    args.output.print(&report, report::text)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn broker(config: &Config) -> anyhow::Result<BrokerStatus> {
    let (url, topology) = (config.broker.url(), serve::settings(config).topology);
    match timeout(PATIENCE, BrokerStatus::ask(&url, &topology)).await {
        Ok(Ok(status)) => Ok(status),
        Ok(Err(error @ BrokerError::Address(_))) => Err(error.into()),
        Ok(Err(error)) => Err(no_broker(config, &error)),
        Err(_) => Err(silent("RabbitMQ", &config.broker.address())),
    }
}

async fn database(config: &Config) -> anyhow::Result<DatabaseStatus> {
    let store = Store::reader(&config.database.url(), config.database.pool_size)?;
    match timeout(PATIENCE, store.status()).await {
        Ok(Ok(status)) => Ok(status),
        Ok(Err(error @ (store::Error::NoConnection(_) | store::Error::Broken(_)))) => {
            Err(no_database(config, &error))
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(silent("PostgreSQL", &config.database.address())),
    }
}

fn silent(server: &str, address: &str) -> anyhow::Error {
    anyhow!("{server} at {address} does not answer within {} s", PATIENCE.as_secs())
}
