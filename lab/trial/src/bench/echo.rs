//! `florin echo`, hidden: the path of a request without the database, as a process of its own, to compare
//! with.
//!
//! It ends when its standard input does, so it cannot outlive the one who started it, and takes its queue and
//! exchange with it.

use std::env;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use florin_broker::Topology;
use florin_client::{Addresses, Client, ClientOptions, Route};
use florin_service::cli::CommonArgs;
use florin_service::config::Config;
use florin_service::serve;
use florin_service::service::{self, Settings};
use lapin::ConnectionProperties;
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Its exchange, and its queue.
pub(super) const NAME: &str = "florin.echo";
const READY_LIMIT: Duration = Duration::from_secs(30);
const READY_CHECK: Duration = Duration::from_millis(50);
/// How long the broker may take to remove what was declared.
const REMOVE_LIMIT: Duration = Duration::from_secs(10);

/// The flags of `florin echo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: CommonArgs,
}

/// Answers until the end of the standard input.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let config = args.common.start([])?;
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    // A thread of its own, for nothing can wake one that reads.
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        token.cancel();
    });
    let broker = &config.broker;
    let topology = Topology::echo(NAME, broker.delivery_limit, broker.single_active_consumer);
    service::run_echo(Settings { topology, ..serve::settings(&config) }, shutdown).await?;
    timeout(REMOVE_LIMIT, remove(&broker.url()))
        .await
        .context("the broker did not remove the queue in time")?
}

async fn remove(amqp_url: &str) -> anyhow::Result<()> {
    let connection =
        Addresses::parse(amqp_url)?.connect(ConnectionProperties::default(), REMOVE_LIMIT).await?;
    let channel = connection.create_channel().await?;
    channel.queue_delete(NAME.into(), QueueDeleteOptions::default()).await?;
    channel.exchange_delete(NAME.into(), ExchangeDeleteOptions::default()).await?;
    Ok(connection.close(200, "done".into()).await?)
}

/// The process.
#[derive(Debug)]
pub(super) struct Echo(Child);

impl Echo {
    /// Starts it with the settings in effect here.
    pub(super) fn start(config: &Config) -> anyhow::Result<Self> {
        let broker = &config.broker;
        let child = Command::new(env::current_exe()?)
            .arg("echo")
            .env("AMQP_URL", broker.url())
            .env("FLORIN_BROKER_PREFETCH", broker.prefetch.to_string())
            .env("FLORIN_BROKER_DELIVERY_LIMIT", broker.delivery_limit.to_string())
            .env("FLORIN_BROKER_SINGLE_ACTIVE_CONSUMER", broker.single_active_consumer.to_string())
            .env("FLORIN_ENGINE_MAX_BATCH_COMMANDS", config.engine.max_batch_commands.to_string())
            .env("RUST_LOG", "warn")
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start florin echo")?;
        Ok(Self(child))
    }

    /// Ends it and waits for that.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.0.stdin.take());
        let status = tokio::task::spawn_blocking(move || self.0.wait()).await??;
        if !status.success() {
            bail!("florin echo failed: {status}");
        }
        Ok(())
    }
}

/// Waits until it answers.
pub(super) async fn wait_ready(config: &Config) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_LIMIT;
    let options = ClientOptions { route: Route::Queue(NAME.to_owned()), ..ClientOptions::default() };
    let client = Client::connect(&config.broker.url(), options).await?;
    while let Err(error) = client.balance(1).await {
        if Instant::now() >= deadline {
            return Err(error).context("florin echo does not answer");
        }
        sleep(READY_CHECK).await;
    }
    client.close().await;
    Ok(())
}
