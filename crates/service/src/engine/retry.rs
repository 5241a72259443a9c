//! What to do when a batch was not committed: retry at once, retry later, or stop.

use std::time::{Duration, Instant};

use florin_amqp::Backoff;
use florin_metrics::{Condition, Health, Metrics};
use florin_store::{Class, Error, Store};

/// From then on the log calls it an error, and `/readyz` fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to do after an error.
pub(super) enum Next {
    /// Try the same batch again.
    Again,
    /// No further attempt.
    Stop(Stop),
}

/// Why a batch is not tried again.
#[derive(Debug)]
pub(super) enum Stop {
    /// The error is permanent, and the database works for others: it is of this batch.
    Permanent(Error),
    /// The database has been away for too long to hold the requests: sooner or later the broker takes them back, time
    /// and again, until it dead-letters them.
    Away,
}

/// The attempts at one batch.
pub(super) struct Retries<'a> {
    store: &'a Store,
    health: &'a Health,
    metrics: &'a Metrics,
    /// How long the database may be away before there is no further attempt.
    outage_limit: Duration,
    /// When the oldest request of the batch was delivered.
    oldest: Instant,
    started: Instant,
    attempt: u32,
    backoff: Backoff,
}

impl<'a> Retries<'a> {
    pub(super) fn new(
        store: &'a Store,
        health: &'a Health,
        metrics: &'a Metrics,
        outage_limit: Duration,
        oldest: Instant,
    ) -> Self {
        let started = Instant::now();
        Self { store, health, metrics, outage_limit, oldest, started, attempt: 0, backoff: Backoff::new() }
    }

    /// The database executes batches: clears the fault, if there was one.
    pub(super) fn succeeded(&self) {
        if self.attempt > 0 {
            self.health.clear(Condition::CommitsFailing);
            tracing::info!(attempts = self.attempt + 1, "the database executes requests again");
        }
    }

    /// Waits before the next attempt, if there is to be one.
    pub(super) async fn after(&mut self, error: Error) -> Next {
        let (error, concerns_all) = match error.class() {
            Class::Conflict => return Next::Again,
            Class::Transient => (error, false),
            Class::Permanent => match self.store.probe().await {
                Ok(()) => {
                    self.succeeded();
                    return Next::Stop(Stop::Permanent(error));
                }
                // No request is to blame, so none is dead-lettered.
                Err(cause) => (cause, true),
            },
        };
        let cause = if error.in_doubt() { "in_doubt" } else { "database" };
        self.metrics.batch_retries.with_label_values(&[cause]).inc();
        self.attempt += 1;
        let overdue = self.started.elapsed() >= PATIENCE;
        if overdue || concerns_all || matches!(error, Error::NotStored { .. }) {
            self.health.set(Condition::CommitsFailing, error.to_string());
        }
        if self.started.elapsed() >= self.outage_limit {
            self.health.set(Condition::CommitsFailing, error.to_string());
            return Next::Stop(Stop::Away);
        }
        let delay = self.backoff.next_delay();
        self.log(&error, overdue, delay);
        tokio::time::sleep(delay).await;
        Next::Again
    }

    fn log(&self, error: &Error, overdue: bool, delay: Duration) {
        let (attempt, database) = (self.attempt, self.store.address());
        let (oldest_age_secs, delay_ms) = (self.oldest.elapsed().as_secs(), delay.as_millis());
        let delay_ms = u64::try_from(delay_ms).unwrap_or(u64::MAX);
        if overdue {
            tracing::error!(%error, attempt, oldest_age_secs, database, delay_ms, "batch failed, retrying");
        } else {
            tracing::warn!(%error, attempt, oldest_age_secs, database, delay_ms, "batch failed, retrying");
        }
    }
}
