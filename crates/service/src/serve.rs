//! Runs the service and HTTP in one process, made from the configuration.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use florin_amqp::Address;
use florin_broker::{Access, Link, Topology};
use florin_http as http;
use florin_metrics::{Health, Metrics};
use florin_store::{self as store, Store};
use florin_wire::Limits;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::asyncapi;
use crate::config::{Broker, Config, ReplyTo};
use crate::engine::BatchLimits;
use crate::http_database;
use crate::service;

const DATABASE_RETRY: Duration = Duration::from_secs(1);
const NO_KEY: &str = "HTTP would listen beyond this machine without an active API key: create one with \
                      `florin key create --role operator --name ...`, or listen on 127.0.0.1 (--host), or \
                      let everybody in (--no-auth)";

/// Runs until `shutdown`. `link` tells the caller when the broker is connected.
pub async fn serve(
    config: &Config,
    listener: http::Listener,
    link: Link,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), http = %listener.local_addr()?, "starting");
    // Wrong certificates are an error at once; an unreachable broker is waited for.
    Address::parse(&config.broker.url())?;
    let store = Store::new(&config.database.url(), config.database.pool_size)?;
    let metrics = Metrics::new();
    let health = Health::default();
    let (database, requests) = mpsc::channel(http::DATABASE_REQUESTS);
    tokio::spawn(http_database::answer(store.clone(), requests, config.database.pool_size, metrics.clone()));
    let parts = http_parts(config, database, link.clone(), health.clone(), metrics.clone());
    // HTTP outlives the service, so that its metrics can be read while it stops.
    let stop_http = CancellationToken::new();
    let mut http = tokio::spawn(http::serve(listener, parts, stop_http.clone()));
    let service = async {
        prepare_database(config, &store, &shutdown).await?;
        Ok(service::run(settings(config), store, link, health, metrics, shutdown.clone()).await?)
    };
    let served: anyhow::Result<()> = tokio::select! {
        served = service => served,
        ended = &mut http => {
            ended?;
            bail!("HTTP ended unexpectedly");
        }
    };
    stop_http.cancel();
    http.await?;
    served?;
    tracing::info!("stopped");
    Ok(())
}

fn http_parts(
    config: &Config,
    database: mpsc::Sender<http::DatabaseRequest>,
    link: Link,
    health: Health,
    metrics: Arc<Metrics>,
) -> http::Parts {
    http::Parts {
        database,
        asyncapi: asyncapi::document(),
        link,
        health,
        metrics,
        amqp_url: config.broker.url(),
        work_queue: config.broker.queue.clone(),
        limits: limits(config),
        key_requests_per_second: config.http.auth.then_some(config.http.key_requests_per_second),
        max_requests: config.http.max_requests,
        timeout: Duration::from_secs(config.http.timeout_secs),
    }
}

/// Runs a step before the service starts. A database that is not there yet is waited for, as the rest of the
/// service does; any other failure is final. None on shutdown.
async fn prepare<T>(
    shutdown: &CancellationToken,
    step: impl AsyncFn() -> Result<T, store::Error>,
) -> anyhow::Result<Option<T>> {
    while !shutdown.is_cancelled() {
        match step().await {
            Ok(done) => return Ok(Some(done)),
            Err(error @ (store::Error::NoConnection(_) | store::Error::Broken(_))) => {
                tracing::warn!(%error, "database unavailable, retrying");
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = tokio::time::sleep(DATABASE_RETRY) => {}
            () = shutdown.cancelled() => {}
        }
    }
    Ok(None)
}

/// Migrates the database, and refuses to listen beyond this machine before there is a key.
async fn prepare_database(
    config: &Config,
    store: &Store,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    if config.database.migrate_on_start {
        let applied = prepare(shutdown, async || store.migrate().await);
        let applied = applied.await.context("cannot bring the schema up to date")?;
        tracing::info!(applied = applied.unwrap_or_default().join(", "), "the schema is up to date");
    }
    if config.http.auth && !config.http.host.is_loopback() {
        let has_key = prepare(shutdown, async || store.has_active_key().await).await?;
        if has_key == Some(false) {
            bail!(NO_KEY);
        }
    }
    Ok(())
}

fn limits(config: &Config) -> Limits {
    Limits {
        max_body_bytes: config.broker.max_body_bytes,
        max_batch_body_bytes: config.broker.max_batch_body_bytes,
    }
}

/// The settings of the service, from the configuration.
#[must_use]
pub fn settings(config: &Config) -> service::Settings {
    let broker = &config.broker;
    service::Settings {
        amqp_url: broker.url(),
        topology: Topology::service(&broker.queue, broker.delivery_limit, broker.single_active_consumer),
        prefetch: broker.prefetch,
        body_limits: limits(config),
        access: access(broker),
        with_events: config.events.enabled,
        batch: BatchLimits {
            commands: config.engine.max_batch_commands,
            bytes: config.engine.max_batch_bytes,
        },
        cached_wallets: config.engine.cached_wallets,
    }
}

/// The service trusts its own user: HTTP and the expiry worker send requests as that user.
fn access(broker: &Broker) -> Access {
    Access {
        trusted_users: broker.trusted_users.iter().cloned().chain([broker.own_user()]).collect(),
        require_user_id: broker.require_user_id,
        own_replies_only: broker.reply_to == ReplyTo::Own,
    }
}
