//! Between the broker and the database: forms batches and sees to it that each is executed.
//!
//! The loop awaits the first request and takes all that is ready with it: there is no timer. Under no load a
//! batch is one request; under load batches grow by themselves, for requests gather while the batch before
//! commits. A batch that the database cannot execute is tried again, with backoff, until it can: meanwhile
//! nothing is answered, the queue fills up, and the broker keeps the rest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use florin_ledger::{Command, Outcome};
use florin_wire::Refusal;
use tokio::sync::mpsc::{Receiver, Sender};

use crate::metrics::Metrics;
use crate::store::{Error, Writer};

/// A request on its way in, with the ticket of the one who waits for the answer.
#[derive(Debug)]
pub struct Job<T> {
    /// What is asked; or why it was refused already: then it only waits for its turn to be answered.
    pub request: Result<Command, Refusal>,
    /// Memory that this job holds, about, in bytes.
    pub size_bytes: usize,
    /// What the answer needs to find its way.
    pub ticket: T,
}

/// A request on its way out.
#[derive(Debug)]
pub struct Done<T> {
    /// What became of it.
    pub verdict: Verdict,
    /// As it came with the job.
    pub ticket: T,
}

/// What became of a request.
#[derive(Debug)]
pub enum Verdict {
    /// The rules decided, and the decision is committed.
    Decided(Command, Outcome),
    /// It was refused before the rules saw it.
    Refused(Refusal),
    /// The database refuses it for a reason that the rules do not know: it cannot be answered.
    Unacceptable(String),
}

/// The caps of a batch.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// At most so many requests.
    pub commands: usize,
    /// No further request once so many bytes are reached.
    pub bytes: usize,
}

/// Forms and executes batches.
#[derive(Debug)]
pub struct Engine {
    writer: Writer,
    limits: BatchLimits,
    metrics: Arc<Metrics>,
}

impl Engine {
    /// An engine on this writer.
    #[must_use]
    pub const fn new(writer: Writer, limits: BatchLimits, metrics: Arc<Metrics>) -> Self {
        Self { writer, limits, metrics }
    }

    /// Executes what comes through `jobs` until that is closed and empty, or `done` is closed.
    pub async fn run<T>(mut self, mut jobs: Receiver<Job<T>>, done: Sender<Vec<Done<T>>>) {
        while let Some(batch) = self.next_batch(&mut jobs).await {
            if done.send(self.execute(batch).await).await.is_err() {
                break;
            }
        }
    }

    async fn next_batch<T>(&self, jobs: &mut Receiver<Job<T>>) -> Option<Vec<Job<T>>> {
        let first = jobs.recv().await?;
        let mut bytes = first.size_bytes;
        let mut batch = vec![first];
        while batch.len() < self.limits.commands && bytes < self.limits.bytes {
            let Ok(job) = jobs.try_recv() else { break };
            bytes += job.size_bytes;
            batch.push(job);
        }
        Some(batch)
    }

    async fn execute<T>(&mut self, batch: Vec<Job<T>>) -> Vec<Done<T>> {
        let mut commands = Vec::with_capacity(batch.len());
        let mut waiting = Vec::with_capacity(batch.len());
        for job in batch {
            let refusal = job.request.map(|command| commands.push(command)).err();
            waiting.push((refusal, job.ticket));
        }
        let verdicts = self.decide(commands).await;
        let mut verdicts = verdicts.into_iter();
        let done = waiting.into_iter().map(|(refusal, ticket)| {
            let verdict = match refusal {
                Some(refusal) => Verdict::Refused(refusal),
                None => verdicts.next().expect("there is one verdict per command"),
            };
            Done { verdict, ticket }
        });
        done.collect()
    }

    async fn decide(&mut self, mut commands: Vec<Command>) -> Vec<Verdict> {
        if commands.is_empty() {
            return Vec::new();
        }
        let started = Instant::now();
        let verdicts = match self.until_executed(&mut commands).await {
            Ok(outcomes) => {
                let decided = commands.into_iter().zip(outcomes);
                decided.map(|(command, outcome)| Verdict::Decided(command, outcome)).collect()
            }
            Err(_) => self.decide_one_by_one(commands).await,
        };
        self.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
        self.metrics.batch_commands.observe(verdicts.len() as f64);
        self.metrics
            .remembered_wallets
            .set(i64::try_from(self.writer.remembered_wallets()).unwrap_or(i64::MAX));
        verdicts
    }

    /// One command that the database refuses for its data must not take its neighbours along.
    async fn decide_one_by_one(&mut self, commands: Vec<Command>) -> Vec<Verdict> {
        let mut verdicts = Vec::with_capacity(commands.len());
        for command in commands {
            let mut alone = [command];
            let result = self.until_executed(&mut alone).await;
            let [command] = alone;
            verdicts.push(match result {
                Ok(mut outcomes) => {
                    Verdict::Decided(command, outcomes.pop().expect("there is one outcome per command"))
                }
                Err(error) => Verdict::Unacceptable(error.to_string()),
            });
        }
        verdicts
    }

    /// Tries until the database has decided. An error is left only when the data themselves are refused.
    async fn until_executed(&mut self, commands: &mut [Command]) -> Result<Vec<Outcome>, Error> {
        let mut delays = backoff();
        loop {
            let taken_before = self.writer.taken_keys();
            let result = self.writer.execute(commands).await;
            self.count_retries("taken_key", self.writer.taken_keys() - taken_before);
            let error = match result {
                Err(error) if !matches!(error, Error::Unacceptable(_)) => error,
                decided => return decided,
            };
            self.count_retries(if error.in_doubt() { "in_doubt" } else { "database" }, 1);
            let delay = delays.next().unwrap_or(MAX_DELAY);
            tracing::warn!(%error, delay_ms = delay.as_millis(), "the batch is tried again");
            tokio::time::sleep(delay).await;
        }
    }

    fn count_retries(&self, cause: &str, count: u64) {
        self.metrics.batch_retries.with_label_values(&[cause]).inc_by(count);
    }
}

const MAX_DELAY: Duration = Duration::from_secs(2);

/// From 20 ms, doubled each time up to two seconds, with jitter.
fn backoff() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(20))
        .with_max_delay(MAX_DELAY)
        .with_jitter()
        .without_max_times()
        .build()
}
