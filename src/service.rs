//! The service: a consumer, an engine and a publisher, joined by bounded queues.
//!
//! It starts without waiting for the broker or the database: both are tried until they are there. It stops in
//! the order of a request's path: no more requests are taken, those at hand are executed and answered, and
//! then the connections are closed. A part that ends on its own takes the service down.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::amqp::{Consumer, Link, Publisher, Topology};
use crate::engine::{BatchLimits, Engine};
use crate::metrics::Metrics;
use crate::store::{Store, Writer};

/// How long the requests at hand may take to be finished.
const GRACE: Duration = Duration::from_secs(20);
/// Executed batches that wait for the publisher at a time.
const EXECUTED_BATCHES: usize = 4;

/// The settings of the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the broker is.
    pub amqp_url: String,
    /// Its exchanges and queues.
    pub topology: Topology,
    /// At most so many requests are in the service at a time.
    pub prefetch: u16,
    /// Longer bodies are refused.
    pub max_body_bytes: usize,
    /// The caps of a batch.
    pub batch: BatchLimits,
    /// How many wallets' tails are remembered.
    pub remembered_wallets: NonZeroUsize,
}

/// What makes the service fail.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part of the service ended on its own.
    #[error("the {0} ended: the service cannot go on")]
    PartEnded(&'static str),
    /// A part of the service panicked.
    #[error("a part of the service failed: {0}")]
    PartFailed(#[from] tokio::task::JoinError),
    /// The requests at hand were not finished in time.
    #[error("requests were not finished within {} s: the broker keeps them", GRACE.as_secs())]
    GraceOver,
}

/// Runs the service until `shutdown`.
///
/// # Errors
///
/// When a part of it ends or fails, or requests are left unfinished after `shutdown`. None is lost: the broker
/// keeps what was not answered.
pub async fn run(
    settings: Settings,
    store: Store,
    link: Link,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let (jobs_in, jobs_out) = mpsc::channel(settings.prefetch.into());
    let (done_in, done_out) = mpsc::channel(EXECUTED_BATCHES);
    let consumer = Consumer {
        url: settings.amqp_url.clone(),
        topology: settings.topology,
        prefetch: settings.prefetch,
        max_body_bytes: settings.max_body_bytes,
        link: link.clone(),
        metrics: Arc::clone(&metrics),
    };
    let writer = Writer::new(store, settings.remembered_wallets);
    let engine = Engine::new(writer, settings.batch, Arc::clone(&metrics), shutdown.clone());
    let publisher = Publisher { url: settings.amqp_url, link, metrics };

    let mut parts = JoinSet::new();
    let token = shutdown.clone();
    parts.spawn(async { named("consumer", consumer.run(jobs_in, token)).await });
    parts.spawn(async { named("engine", engine.run(jobs_out, done_in)).await });
    let token = shutdown.clone();
    parts.spawn(async { named("publisher", publisher.run(done_out, token)).await });
    supervise(parts, &shutdown).await
}

async fn named(name: &'static str, part: impl Future<Output = ()>) -> &'static str {
    part.await;
    name
}

/// Any part that ends before `shutdown` is a failure; after it, all have to end within the grace.
async fn supervise(mut parts: JoinSet<&'static str>, shutdown: &CancellationToken) -> Result<(), Error> {
    tokio::select! {
        () = shutdown.cancelled() => {}
        Some(ended) = parts.join_next() => {
            let name = ended?;
            if !shutdown.is_cancelled() {
                return Err(Error::PartEnded(name));
            }
        }
    }
    let all = async {
        while let Some(ended) = parts.join_next().await {
            ended?;
        }
        Ok(())
    };
    timeout(GRACE, all).await.unwrap_or(Err(Error::GraceOver))
}
