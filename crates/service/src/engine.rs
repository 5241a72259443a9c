//! Between the broker and the database: takes batches from its [`Inbox`] and sees to it that each is executed.
//!
//! One batch commits at a time. When the next one is full by then, it is decided meanwhile, on what the one before
//! will leave behind; its postings are sent when that is committed. A batch that the database cannot execute is
//! tried again, with backoff, until it can: meanwhile nothing is answered, the queue fills up, and the broker keeps
//! the rest.

mod inbox;

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use florin_broker::{Answers, Done, Job, Verdict};
use florin_ledger::{Change, Command, Group, Outcome};
use tokio::sync::mpsc::Sender;

pub use inbox::{BatchLimits, Inbox};

use crate::answer::Form;
use florin_metrics::Metrics;
use florin_store::{Batch, Error, Executed, Following, Writer};

/// Executes batches.
#[derive(Debug)]
pub struct Engine {
    writer: Writer,
    metrics: Arc<Metrics>,
}

/// Requests that are executed together.
struct Gathered<T> {
    forms: Vec<Form>,
    tickets: Vec<T>,
    batch: Batch,
}

impl<T> Gathered<T> {
    fn new(jobs: Vec<Job<T>>) -> Self {
        let mut groups = Vec::with_capacity(jobs.len());
        let (forms, tickets) =
            jobs.into_iter().map(|job| (Form::take_groups(job.request, &mut groups), job.ticket)).unzip();
        Self { forms, tickets, batch: Batch::from(groups) }
    }
}

impl Engine {
    /// An engine on this writer.
    #[must_use]
    pub const fn new(writer: Writer, metrics: Arc<Metrics>) -> Self {
        Self { writer, metrics }
    }

    /// Executes what comes through `inbox` until that is closed and empty, or `done` is closed.
    pub async fn run<T: Send>(mut self, mut inbox: Inbox<T>, done: Sender<Answers<T>>) {
        let mut decided_ahead = None;
        loop {
            let next = match decided_ahead.take() {
                Some(next) => Some(next),
                None => inbox.next_batch().await.map(Gathered::new),
            };
            let Some(gathered) = next else { break };
            let answers;
            (answers, decided_ahead) = self.execute(gathered, &mut inbox).await;
            if done.send(answers).await.is_err() {
                break;
            }
        }
    }

    /// Executes a batch. If the next one is full already, it is decided meanwhile.
    async fn execute<T: Send>(
        &mut self,
        gathered: Gathered<T>,
        inbox: &mut Inbox<T>,
    ) -> (Answers<T>, Option<Gathered<T>>) {
        let Gathered { forms, tickets, batch } = gathered;
        let mut next = None;
        let mut look = || {
            let Gathered { forms, tickets, batch } = Gathered::new(inbox.full_batch()?);
            next = Some((forms, tickets));
            Some(batch)
        };
        let mut following = Following::new(&mut look);
        let (verdicts, changes) = self.decide(forms, batch, &mut following).await;
        let batch = following.into_batch();
        let done = verdicts.into_iter().zip(tickets).map(|(verdict, ticket)| Done { verdict, ticket });
        let next = next.zip(batch).map(|((forms, tickets), batch)| Gathered { forms, tickets, batch });
        (Answers { done: done.collect(), changes }, next)
    }

    async fn decide(
        &mut self,
        forms: Vec<Form>,
        mut batch: Batch,
        following: &mut Following<'_>,
    ) -> (Vec<Verdict>, Vec<Change>) {
        if batch.groups().is_empty() {
            let verdicts = forms.into_iter().map(|form| form.verdict(&mut std::iter::empty()));
            return (verdicts.collect(), Vec::new());
        }
        let started = Instant::now();
        let commands: usize = batch.groups().iter().map(|group| group.commands().len()).sum();
        self.metrics.batches_decided_ahead.inc_by(batch.is_decided().into());
        let decided = match self.until_executed(&mut batch, following).await {
            Ok(Executed { outcomes, changes }) => {
                let mut decided = decided(batch, outcomes);
                let verdicts = forms.into_iter().map(|form| form.verdict(&mut decided));
                (verdicts.collect(), changes)
            }
            Err(_) => self.decide_one_by_one(forms, batch).await,
        };
        self.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
        self.metrics.batch_commands.observe(commands as f64);
        self.metrics.cached_wallets.set(i64::try_from(self.writer.cached_wallets()).unwrap_or(i64::MAX));
        decided
    }

    /// One command that the database refuses for its data must not take its neighbours along, not even those of the
    /// same message: that cannot be answered, but they are done, and are answered when they are asked for again.
    async fn decide_one_by_one(&mut self, forms: Vec<Form>, batch: Batch) -> (Vec<Verdict>, Vec<Change>) {
        let mut groups = batch.into_groups().into_iter();
        let mut verdicts = Vec::with_capacity(forms.len());
        let mut all_changes = Vec::new();
        for form in forms {
            let (mut all_decided, mut refused) = (Vec::new(), None);
            for group in groups.by_ref().take(form.groups()) {
                let mut own = Batch::from(vec![group]);
                match self.until_executed(&mut own, &mut Following::default()).await {
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
    async fn until_executed(
        &mut self,
        batch: &mut Batch,
        following: &mut Following<'_>,
    ) -> Result<Executed, Error> {
        if batch.groups().is_empty() {
            return Ok(Executed::default());
        }
        let mut delays = backoff();
        loop {
            let taken_before = self.writer.conflicts();
            let result = self.writer.execute(batch, following).await;
            self.count_retries("conflict", self.writer.conflicts() - taken_before);
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
fn decided(batch: Batch, outcomes: Vec<Outcome>) -> impl Iterator<Item = (Command, Outcome)> {
    batch.into_groups().into_iter().flat_map(Group::into_commands).zip(outcomes)
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
