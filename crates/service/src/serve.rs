//! Runs the service and HTTP in one process, made from the configuration.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, bail};
use florin_broker::{Access, Link, QueueOwner, Topology};
use florin_http as http;
use florin_metrics::{Health, Metrics};
use florin_store::{self as store, Store};
use florin_wire::{Limits, ProofKey};
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

/// Runs until `shutdown`. `link` tells the caller when the broker is connected. With `new_ledger` the work queue
/// may have been that of another ledger.
pub async fn serve(
    config: &Config,
    listener: http::Listener,
    link: Link,
    new_ledger: bool,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), http = %listener.local_addr()?, "starting");
    // Wrong certificates fail here and now, where an unreachable broker would be waited for.
    florin_broker::addresses(&config.broker.url())?;
    let store = Store::new(&config.database.url(), config.database.pool_size)?;
    let metrics = Metrics::new();
    let health = Health::default();
    let (database, requests) = mpsc::channel(http::DATABASE_REQUESTS);
    tokio::spawn(http_database::answer(store.clone(), requests, config.database.pool_size, metrics.clone()));
    let proof_key = Arc::new(OnceLock::new());
    let parts = http::Parts {
        proof_key: Arc::clone(&proof_key),
        ..http_parts(config, database, link.clone(), health.clone(), metrics.clone())
    };
    let stop_http = shutdown.child_token();
    let mut http = tokio::spawn(http::serve(listener, parts, stop_http.clone()));
    // The service outlives HTTP: it answers what HTTP has taken.
    let stop_service = CancellationToken::new();
    let mut service = pin!(async {
        let ledger = prepare_database(config, &store, &shutdown).await?;
        let Some(ledger) = ledger.filter(|_| !shutdown.is_cancelled()) else { return Ok(()) };
        let mut settings = settings(config);
        settings.owner = Some(QueueOwner { ledger: ledger.id, takes_over: new_ledger });
        settings.access.proof_key = Some(proof_key.get_or_init(|| ProofKey::new(ledger.secret)).clone());
        Ok(service::run(settings, store, link, health, metrics, stop_service.clone()).await?)
    });
    let served: anyhow::Result<()> = tokio::select! {
        served = &mut service => {
            stop_http.cancel();
            http.await?;
            served
        }
        ended = &mut http => {
            ended?;
            if !shutdown.is_cancelled() {
                bail!("HTTP ended unexpectedly");
            }
            stop_service.cancel();
            service.await
        }
    };
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
        key_limits: config.http.auth.then_some(http::KeyLimits {
            requests_per_second: config.http.key_requests_per_second,
            max_in_flight: config.http.max_in_flight_per_key,
        }),
        allowed_hosts: config.http.allowed_hosts.clone(),
        max_requests: config.http.max_requests,
        proof_key: Arc::default(),
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
            Err(
                error @ (store::Error::NoConnection(_) | store::Error::Broken(_) | store::Error::ReadOnly),
            ) => {
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

/// Checks and migrates the database, refuses to listen beyond this machine before there is an API key, and
/// returns which ledger it is. None on shutdown.
async fn prepare_database(
    config: &Config,
    store: &Store,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<store::Ledger>> {
    let warnings = prepare(shutdown, async || store.check_requirements().await);
    for warning in warnings.await.context("this database cannot be used")?.unwrap_or_default() {
        tracing::warn!("{warning}");
    }
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
    let ledger = prepare(shutdown, async || store.ledger().await);
    let ledger =
        ledger.await.context("cannot read which ledger this is (`florin migrate` makes the table)")?;
    if let Some(ledger) = &ledger {
        tracing::info!(ledger = %ledger.id, "the database is ready");
    }
    Ok(ledger)
}

fn limits(config: &Config) -> Limits {
    Limits {
        max_body_bytes: config.broker.max_body_bytes,
        max_batch_body_bytes: config.broker.max_batch_body_bytes,
    }
}

/// What the configuration says of the service.
#[must_use]
pub fn settings(config: &Config) -> service::Settings {
    let broker = &config.broker;
    service::Settings {
        amqp_url: broker.url(),
        topology: Topology::service(
            &broker.queue,
            broker.delivery_limit,
            broker.single_active_consumer,
            config.events.enabled,
        ),
        prefetch: broker.prefetch,
        body_limits: limits(config),
        access: access(broker),
        owner: None,
        park_events_after: Duration::from_secs(config.events.park_after_secs),
        batch: BatchLimits {
            commands: config.engine.max_batch_commands,
            bytes: config.engine.max_batch_bytes,
        },
        cached_wallets: config.engine.cached_wallets,
    }
}

/// The service's own user is none of the trusted ones, for others may connect as the same user. What HTTP sends
/// carries a proof instead.
fn access(broker: &Broker) -> Access {
    Access {
        trusted_users: broker.trusted_users.clone(),
        proof_key: None,
        require_user_id: broker.require_user_id,
        own_replies_only: broker.reply_to == ReplyTo::Own,
    }
}
