//! What to do when a batch was not committed: retry at once, retry later, or stop.

use std::time::{Duration, Instant};

use florin_amqp::Backoff;
use florin_metrics::{Health, Metrics};
use florin_store::{Class, Error, Store};

/// A batch that fails for longer is logged as an error, and `/readyz` fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to do after an error.
pub(super) enum Next {
    /// Try the same batch again.
    Again,
    /// The error is permanent, and the database can execute other batches: this batch causes it.
    GiveUp(Error),
}

/// The attempts at one batch.
pub(super) struct Retries<'a> {
    store: &'a Store,
    health: &'a Health,
    metrics: &'a Metrics,
    /// When the oldest request of the batch was delivered.
    oldest: Instant,
    started: Instant,
    attempt: u32,
    backoff: Backoff,
}

impl<'a> Retries<'a> {
    pub(super) fn new(store: &'a Store, health: &'a Health, metrics: &'a Metrics, oldest: Instant) -> Self {
        Self { store, health, metrics, oldest, started: Instant::now(), attempt: 0, backoff: Backoff::new() }
    }

    /// The database executes batches: clears the fault, if there was one.
    pub(super) fn succeeded(&self) {
        if self.attempt > 0 {
            self.health.clear();
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
                    return Next::GiveUp(error);
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
            self.health.set_fault(&error.to_string());
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
