//! The service: a consumer, an engine and a publisher, joined by bounded queues.
//!
//! It starts without waiting for the broker or the database, and keeps trying to connect to both. It stops in
//! the order of a request's path: no more requests are taken, those taken are executed and answered, then the
//! connections are closed. A part that ends on its own takes the service down.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use florin_wire::Limits;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::echo;
use crate::engine::{BatchLimits, Engine, Inbox};
use crate::expiry::ExpiryWorker;
use florin_broker::{
    Access, Completed, Consumer, Job, Link, ParkedEvents, Parking, Publisher, QueueOwner, Ticket, Topology,
};
use florin_metrics::{Health, Metrics};
use florin_store::{Planner, Store};

/// How long the requests taken may need to be answered at shutdown.
const GRACE: Duration = Duration::from_secs(20);
/// At most so many executed batches wait for the publisher.
const EXECUTED_BATCHES: usize = 4;

/// The settings of the service.
#[derive(Debug, Clone)]
pub struct Settings {
    pub amqp_url: String,
    /// Exchanges and queues.
    pub topology: Topology,
    /// At most so many requests are in the service at a time.
    pub prefetch: u16,
    /// Longer bodies are refused.
    pub body_limits: Limits,
    /// What is required of a request's sender.
    pub access: Access,
    /// The ledger that the work queue has to belong to; none where there is no ledger.
    pub owner: Option<QueueOwner>,
    /// How long requests wait for a queue that refuses their events, before these are parked.
    pub park_events_after: Duration,
    pub batch: BatchLimits,
    /// How many wallets' balances are cached.
    pub cached_wallets: NonZeroUsize,
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
    /// The addresses of the broker cannot be used.
    #[error(transparent)]
    Broker(#[from] florin_broker::Error),
    /// The requests taken were not answered in time.
    #[error("requests were not answered within {} s: the broker keeps them", GRACE.as_secs())]
    GraceOver,
}

/// Runs the service until `shutdown`.
///
/// # Errors
///
/// When a part of it ends or fails, or requests are not answered in time after `shutdown`. None is lost: the
/// broker keeps what was not acked.
pub async fn run(
    settings: Settings,
    store: Store,
    link: Link,
    health: Health,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let planner = Planner::new(store.clone(), settings.cached_wallets, settings.topology.with_events);
    let engine = Engine::new(store.clone(), planner, health.clone(), Arc::clone(&metrics));
    let limits = settings.batch;
    let work = move |jobs, done, acked| engine.run(Inbox::new(jobs, acked, limits), done);
    let expiry = ExpiryWorker {
        store,
        amqp_url: settings.amqp_url.clone(),
        work_queue: settings.topology.work_queue.clone(),
    };
    let mut parts = connect(settings, work, link, health, metrics, &shutdown)?;
    parts.spawn(named("expiry worker", expiry.run(shutdown.clone())));
    supervise(parts, &shutdown).await
}

/// Answers requests on the same path, with the same settings, but without a database: the ceiling that the
/// broker sets. For measurements only.
///
/// # Errors
///
/// As [`run`].
pub async fn run_echo(settings: Settings, shutdown: CancellationToken) -> Result<(), Error> {
    let limit = settings.batch.commands;
    let work = move |jobs, done, _| echo::answer(jobs, done, limit);
    let parts = connect(settings, work, Link::default(), Health::default(), Metrics::new(), &shutdown)?;
    supervise(parts, &shutdown).await
}

/// Joins the broker's side and what works on the requests.
fn connect<W: Future<Output = ()> + Send + 'static>(
    settings: Settings,
    work: impl FnOnce(Receiver<Job<Ticket>>, Sender<Completed<Ticket>>, watch::Receiver<u64>) -> W,
    link: Link,
    health: Health,
    metrics: Arc<Metrics>,
    shutdown: &CancellationToken,
) -> Result<JoinSet<&'static str>, Error> {
    let addresses = florin_broker::addresses(&settings.amqp_url)?;
    let with_events = settings.topology.with_events;
    let parking = Parking::new(settings.park_events_after, health.clone(), Arc::clone(&metrics));
    let (jobs_in, jobs_out) = mpsc::channel(settings.prefetch.into());
    let (done_in, done_out) = mpsc::channel(EXECUTED_BATCHES);
    let (acked_in, acked_out) = watch::channel(0);
    let consumer = Consumer {
        addresses: addresses.clone(),
        topology: settings.topology,
        prefetch: settings.prefetch,
        body_limits: settings.body_limits,
        access: settings.access,
        owner: settings.owner,
        link: link.clone(),
        health,
        metrics: Arc::clone(&metrics),
    };
    let publisher = Publisher {
        addresses: addresses.clone(),
        with_events,
        parking: parking.clone(),
        link,
        metrics: Arc::clone(&metrics),
    };

    let mut parts = JoinSet::new();
    parts.spawn(named("consumer", consumer.run(jobs_in, shutdown.clone())));
    parts.spawn(named("engine", work(jobs_out, done_in, acked_out)));
    parts.spawn(named("publisher", publisher.run(done_out, acked_in)));
    if with_events {
        let parked = ParkedEvents { addresses, parking, metrics };
        parts.spawn(named("parked events", parked.run(shutdown.clone())));
    }
    Ok(parts)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(ending: bool) -> JoinSet<&'static str> {
        let mut parts = JoinSet::new();
        parts.spawn(named("engine", async move {
            if !ending {
                std::future::pending::<()>().await;
            }
        }));
        parts.spawn(named("consumer", std::future::pending()));
        parts
    }

    #[tokio::test]
    async fn a_part_that_ends_on_its_own_fails_the_service() {
        let ended = supervise(parts(true), &CancellationToken::new()).await;
        assert!(matches!(ended, Err(Error::PartEnded("engine"))), "{ended:?}");
    }

    #[tokio::test]
    async fn a_part_that_panics_fails_the_service() {
        let mut parts = parts(false);
        parts.spawn(async { panic!("on purpose") });
        let failed = supervise(parts, &CancellationToken::new()).await;
        assert!(matches!(failed, Err(Error::PartFailed(_))), "{failed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn parts_that_do_not_end_in_time_fail_the_service() {
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        let failed = supervise(parts(false), &shutdown).await;
        assert!(matches!(failed, Err(Error::GraceOver)), "{failed:?}");
    }
}
