//! `florin serve`: the service and its HTTP side, until a signal.

use std::time::Duration;

use anyhow::Context;
use florin::amqp::{Link, Topology};
use florin::config::{Config, Flag};
use florin::engine::BatchLimits;
use florin::http;
use florin::metrics::Metrics;
use florin::service;
use florin::store::{self, Store};
use florin_client::Address;
use florin_wire::Limits;
use tokio_util::sync::CancellationToken;

use super::config::{BrokerArgs, CommonArgs, DatabaseArgs, flag};
use super::signals;

/// How often a database that is not there yet is tried.
const MIGRATION_RETRY: Duration = Duration::from_secs(1);

/// The flags of `florin serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin serve
  AMQP_URL=amqp://... DATABASE_URL=postgres://... florin serve --port 9001
  florin serve --config /etc/florin.toml --no-migrate

SIGTERM or Ctrl-C stops after the requests at hand are answered; a second one stops at once.")]
// `florin config` takes the same flags, and the name of the group would be there twice.
#[group(skip)]
pub(crate) struct Args {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    /// The work queue.
    #[arg(long, value_name = "NAME", help_heading = "Settings")]
    queue: Option<String>,
    /// Requests that are taken from the queue before the first of them is answered.
    #[arg(long, value_name = "REQUESTS", help_heading = "Settings")]
    prefetch: Option<String>,
    /// The IP address that HTTP listens on.
    #[arg(long, value_name = "IP", help_heading = "Settings")]
    host: Option<String>,
    /// The port that HTTP listens on; 0 for a free one.
    #[arg(long, value_name = "PORT", help_heading = "Settings")]
    port: Option<String>,
    /// Leaves the schema of the database as it is.
    #[arg(long, help_heading = "Settings")]
    no_migrate: bool,
}

impl Args {
    /// What was given.
    pub(super) fn flags(self) -> (CommonArgs, Vec<Flag>) {
        let no_migrate = self.no_migrate.then(|| "false".to_owned());
        let flags = [
            self.broker.flags(),
            self.database.flags(),
            flag("--queue", "broker.queue", self.queue),
            flag("--prefetch", "broker.prefetch", self.prefetch),
            flag("--host", "http.host", self.host),
            flag("--port", "http.port", self.port),
            flag("--no-migrate", "database.migrate_on_start", no_migrate),
        ];
        (self.common, flags.into_iter().flatten().collect())
    }
}

/// Serves until a signal.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let (common, flags) = args.flags();
    let config = common.start(flags)?;
    let shutdown = signals::shutdown_token()?;
    let listener = http::listen(&config.http).await?;
    serve(&config, listener, Link::default(), shutdown).await
}

/// The service and its HTTP side. `link` tells the caller when the broker is connected.
pub(super) async fn serve(
    config: &Config,
    listener: http::Listener,
    link: Link,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), http = %listener.local_addr()?, "starting");
    // Wrong certificates are told now, where a broker that is not there yet would be waited for.
    Address::parse(&config.broker.url())?;
    let store = Store::new(&config.database.url(), config.database.pool_size)?;
    let metrics = Metrics::new();
    let parts = http::Parts { store: store.clone(), link: link.clone(), metrics: metrics.clone() };
    // HTTP outlives the service, so that what happens while it stops can be seen.
    let stop_http = CancellationToken::new();
    let mut http = tokio::spawn(http::serve(listener, parts, stop_http.clone()));
    let service = async {
        if config.database.migrate_on_start {
            migrate(&store, &shutdown).await?;
        }
        Ok(service::run(settings(config), store, link, metrics, shutdown.clone()).await?)
    };
    let served: anyhow::Result<()> = tokio::select! {
        served = service => served,
        ended = &mut http => return Err(ended?.err().map_or_else(|| anyhow::anyhow!("HTTP ended"), Into::into)),
    };
    stop_http.cancel();
    http.await??;
    served?;
    tracing::info!("stopped");
    Ok(())
}

/// Waits for a database that is not there yet, as the rest of the service does; any other failure is final.
async fn migrate(store: &Store, shutdown: &CancellationToken) -> anyhow::Result<()> {
    while !shutdown.is_cancelled() {
        match store.migrate().await {
            Ok(applied) => {
                tracing::info!(?applied, "the schema is up to date");
                return Ok(());
            }
            Err(error @ (store::Error::NoConnection(_) | store::Error::Broken(_))) => {
                tracing::warn!(%error, "the database is tried again");
            }
            Err(error) => return Err(error).context("the schema cannot be brought up to date"),
        }
        tokio::select! {
            () = tokio::time::sleep(MIGRATION_RETRY) => {}
            () = shutdown.cancelled() => {}
        }
    }
    Ok(())
}

/// The settings of the service.
pub(super) fn settings(config: &Config) -> service::Settings {
    let broker = &config.broker;
    service::Settings {
        amqp_url: broker.url(),
        topology: Topology::service(&broker.queue, broker.delivery_limit, broker.single_active_consumer),
        prefetch: broker.prefetch,
        body_limits: Limits {
            max_body_bytes: broker.max_body_bytes,
            max_batch_body_bytes: broker.max_batch_body_bytes,
        },
        with_events: config.events.enabled,
        batch: BatchLimits {
            commands: config.engine.max_batch_commands,
            bytes: config.engine.max_batch_bytes,
        },
        remembered_wallets: config.engine.remembered_wallets,
    }
}
