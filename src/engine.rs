//! Between the broker and the database: forms batches and sees to it that each is executed.
//!
//! The loop awaits the first request and takes all that is ready with it: there is no timer. Under no load a
//! batch is one request; under load batches grow by themselves, for requests gather while the batch before
//! commits. A batch that the database cannot execute is tried again, with backoff, until it can: meanwhile
//! nothing is answered, the queue fills up, and the broker keeps the rest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use florin_ledger::{Change, Command, Outcome, Unit};
use florin_wire::Decoded;
use tokio::sync::mpsc::{Receiver, Sender};

use crate::answer::{Form, Rejection, Verdict};
use crate::metrics::Metrics;
use crate::store::{Error, Executed, Writer};

/// A short page of a history may have looked at many postings.
const LEAST_PAGE_WEIGHT: usize = 100;

/// A request on its way in, with the ticket of the one who waits for the answer.
#[derive(Debug)]
pub struct Job<T> {
    /// What is asked; or why it was rejected already: then it only waits for its turn to be answered.
    pub request: Result<Decoded, Rejection>,
    /// Memory that this job holds, about, in bytes.
    pub size_bytes: usize,
    /// What the answer needs to find its way.
    pub ticket: T,
}

impl<T> Job<T> {
    /// How many commands this job carries; a page of a history counts as its postings, for others wait for it.
    fn commands(&self) -> usize {
        let weight = |command: &Command| match command {
            Command::History(query) => usize::from(query.limit).max(LEAST_PAGE_WEIGHT),
            _ => 1,
        };
        match &self.request {
            Ok(Decoded::One(command)) => weight(command),
            Ok(Decoded::Batch(batch)) => {
                batch.items.iter().map(|item| item.command.as_ref().map_or(1, weight)).sum()
            }
            Err(_) => 0,
        }
    }
}

/// Requests on their way out.
#[derive(Debug)]
pub struct Answers<T> {
    /// The requests, in their order.
    pub done: Vec<Done<T>>,
    /// What became of transactions meanwhile, for those who listen.
    pub changes: Vec<Change>,
}

/// A request on its way out.
#[derive(Debug)]
pub struct Done<T> {
    /// What became of it.
    pub verdict: Verdict,
    /// As it came with the job.
    pub ticket: T,
}

/// The caps of a batch.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// No further request once so many commands are reached.
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
    pub async fn run<T>(mut self, mut jobs: Receiver<Job<T>>, done: Sender<Answers<T>>) {
        while let Some(batch) = self.next_batch(&mut jobs).await {
            if done.send(self.execute(batch).await).await.is_err() {
                break;
            }
        }
    }

    async fn next_batch<T>(&self, jobs: &mut Receiver<Job<T>>) -> Option<Vec<Job<T>>> {
        let first = jobs.recv().await?;
        let (mut commands, mut bytes) = (first.commands(), first.size_bytes);
        let mut batch = vec![first];
        while commands < self.limits.commands && bytes < self.limits.bytes {
            let Ok(job) = jobs.try_recv() else { break };
            commands += job.commands();
            bytes += job.size_bytes;
            batch.push(job);
        }
        Some(batch)
    }

    async fn execute<T>(&mut self, batch: Vec<Job<T>>) -> Answers<T> {
        let mut units = Vec::with_capacity(batch.len());
        let (forms, tickets): (Vec<Form>, Vec<T>) =
            batch.into_iter().map(|job| (Form::take_units(job.request, &mut units), job.ticket)).unzip();
        let (verdicts, changes) = self.decide(forms, units).await;
        let done = verdicts.into_iter().zip(tickets).map(|(verdict, ticket)| Done { verdict, ticket });
        Answers { done: done.collect(), changes }
    }

    async fn decide(&mut self, forms: Vec<Form>, mut units: Vec<Unit>) -> (Vec<Verdict>, Vec<Change>) {
        if units.is_empty() {
            let verdicts = forms.into_iter().map(|form| form.verdict(&mut std::iter::empty()));
            return (verdicts.collect(), Vec::new());
        }
        let started = Instant::now();
        let commands: usize = units.iter().map(|unit| unit.commands().len()).sum();
        let decided = match self.until_executed(&mut units).await {
            Ok(Executed { outcomes, changes }) => {
                let mut decided = decided(units, outcomes);
                let verdicts = forms.into_iter().map(|form| form.verdict(&mut decided));
                (verdicts.collect(), changes)
            }
            Err(_) => self.decide_one_by_one(forms, units).await,
        };
        self.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
        self.metrics.batch_commands.observe(commands as f64);
        self.metrics
            .remembered_wallets
            .set(i64::try_from(self.writer.remembered_wallets()).unwrap_or(i64::MAX));
        decided
    }

    /// One command that the database refuses for its data must not take its neighbours along, not even those of the
    /// same message: that cannot be answered, but they are done, and are answered when they are asked for again.
    async fn decide_one_by_one(
        &mut self,
        forms: Vec<Form>,
        mut units: Vec<Unit>,
    ) -> (Vec<Verdict>, Vec<Change>) {
        let mut verdicts = Vec::with_capacity(forms.len());
        let mut all_changes = Vec::new();
        for form in forms {
            let (mut all_decided, mut refused) = (Vec::new(), None);
            for unit in units.drain(..form.units()) {
                let mut own = vec![unit];
                match self.until_executed(&mut own).await {
                    Ok(Executed { outcomes, changes }) => {
                        all_changes.extend(changes);
                        all_decided.extend(decided(own, outcomes));
                    }
                    Err(error) => refused = Some(error.to_string()),
                }
            }
            verdicts.push(match refused {
                None => form.verdict(&mut all_decided.into_iter()),
                Some(reason) => Verdict::Unacceptable(reason),
            });
        }
        (verdicts, all_changes)
    }

    /// Tries until the database has decided. An error is left only when the data themselves are refused.
    async fn until_executed(&mut self, units: &mut [Unit]) -> Result<Executed, Error> {
        if units.is_empty() {
            return Ok(Executed::default());
        }
        let mut delays = backoff();
        loop {
            let taken_before = self.writer.taken_keys();
            let result = self.writer.execute(units).await;
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

/// Commands, each with what became of it.
fn decided(units: Vec<Unit>, outcomes: Vec<Outcome>) -> impl Iterator<Item = (Command, Outcome)> {
    units.into_iter().flat_map(Unit::into_commands).zip(outcomes)
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
