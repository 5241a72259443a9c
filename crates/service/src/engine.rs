//! The engine, between the broker and the database: takes batches of requests from the [`Inbox`], and has
//! each planned and committed.
//!
//! One batch is committed at a time. If the next batch is full, it is planned meanwhile, on the balances
//! that the present plan leaves behind, and committed after it:
//!
//! ```text
//! commit:   | batch 1 | batch 2 | batch 3 |
//! plan:   1 | 2       | 3       | 4       |
//! ```
//!
//! If a commit fails, the batch is tried again ([`retry`]) until the database takes it: meanwhile nothing is
//! answered, the inbox fills up, and the broker keeps the rest. If that lasts too long, the requests are
//! requeued, and none are taken until the database answers. A request that can never be executed is taken out
//! of its batch and dead-lettered.

mod inbox;
mod retry;

use std::sync::Arc;
use std::time::{Duration, Instant};

use florin_amqp::Backoff;
use florin_broker::{Completed, Completion, Done, Job};
use florin_ledger::{Change, Command, Group, Outcome};
use florin_metrics::{Condition, Health, Metrics};
use florin_store::{Error, Executed, Plan, Planner, Store, execute};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::watch;
use tokio::task::yield_now;

pub use inbox::{BatchLimits, Inbox};

use crate::answer::Form;
use retry::{Next, Retries, Stop};

/// Executes batches.
#[derive(Debug)]
pub struct Engine {
    store: Store,
    planner: Planner,
    health: Health,
    metrics: Arc<Metrics>,
    /// How long requests wait for the database before they are requeued.
    outage_limit: Duration,
    /// Whether the consumer is to take no requests.
    paused: watch::Sender<bool>,
}

/// Requests that are executed together.
struct JobBatch<T> {
    forms: Vec<Form>,
    tickets: Vec<T>,
    groups: Vec<Group>,
    oldest: Instant,
    /// Set when it was planned while the batch before it was committed.
    plan: Option<Plan>,
}

impl<T> JobBatch<T> {
    fn new(jobs: Vec<Job<T>>) -> Self {
        let oldest = jobs.iter().map(|job| job.received_at).min().unwrap_or_else(Instant::now);
        let mut groups = Vec::with_capacity(jobs.len());
        let (forms, tickets) =
            jobs.into_iter().map(|job| (Form::take_groups(job.request, &mut groups), job.ticket)).unzip();
        Self { forms, tickets, groups, oldest, plan: None }
    }

    fn commands(&self) -> usize {
        self.groups.iter().map(|group| group.commands().len()).sum()
    }
}

impl Engine {
    /// An engine on this database, which tells `health` when that cannot execute anything. After
    /// `outage_limit` without it, requests are requeued; `paused` keeps the consumer from taking more.
    #[must_use]
    pub const fn new(
        store: Store,
        planner: Planner,
        health: Health,
        metrics: Arc<Metrics>,
        outage_limit: Duration,
        paused: watch::Sender<bool>,
    ) -> Self {
        Self { store, planner, health, metrics, outage_limit, paused }
    }

    /// Executes what comes through `inbox` until that is closed and empty, or `done` is closed.
    pub async fn run<T: Send>(mut self, mut inbox: Inbox<T>, done: Sender<Completed<T>>) {
        let mut planned_ahead = None;
        loop {
            let next = match planned_ahead.take() {
                Some(next) => Some(next),
                None => inbox.next_batch().await.map(JobBatch::new),
            };
            let Some(batch) = next else { break };
            let (completed, next) = self.execute(batch, &mut inbox).await;
            let is_away = completed.done.iter().any(|done| matches!(done.completion, Completion::Postponed));
            if done.send(completed).await.is_err() {
                break;
            }
            planned_ahead = next;
            if is_away && self.postpone(planned_ahead.take(), &mut inbox, &done).await.is_err() {
                break;
            }
        }
    }

    /// Requeues all requests, and takes none until the database executes them again.
    async fn postpone<T: Send>(
        &self,
        next: Option<JobBatch<T>>,
        inbox: &mut Inbox<T>,
        done: &Sender<Completed<T>>,
    ) -> Result<(), SendError<Completed<T>>> {
        tracing::error!("the database is away: requests are requeued, and none are taken until it answers");
        self.paused.send_replace(true);
        if let Some(next) = next {
            done.send(postponed(next.tickets)).await?;
        }
        let mut backoff = Backoff::new();
        while let Err(error) = self.store.probe().await {
            self.health.set(Condition::CommitsFailing, error.to_string());
            let again = tokio::time::sleep(backoff.next_delay());
            tokio::pin!(again);
            loop {
                tokio::select! {
                    () = &mut again => break,
                    jobs = inbox.next_batch() => match jobs {
                        Some(jobs) => {
                            done.send(postponed(jobs.into_iter().map(|job| job.ticket))).await?;
                        }
                        // The service is to stop.
                        None => return Ok(()),
                    },
                }
            }
        }
        self.health.clear(Condition::CommitsFailing);
        tracing::info!("the database executes requests again: taking requests");
        self.paused.send_replace(false);
        Ok(())
    }

    /// Executes a batch. If the next one is full already, it is planned meanwhile, and returned.
    async fn execute<T: Send>(
        &mut self,
        mut batch: JobBatch<T>,
        inbox: &mut Inbox<T>,
    ) -> (Completed<T>, Option<JobBatch<T>>) {
        let started = Instant::now();
        let commands = batch.commands();
        let (executed, next) = self.commit_and_plan_ahead(&mut batch, inbox).await;
        let JobBatch { forms, tickets, mut groups, oldest, plan: _ } = batch;
        let (completions, changes) = match self.until_executed(executed, &mut groups, oldest).await {
            Ok(Executed { outcomes, changes }) => {
                let mut decided = decided(groups, outcomes);
                let completions = forms.into_iter().map(|form| form.completion(&mut decided));
                (completions.collect(), changes)
            }
            Err(Stop::Permanent(error)) => self.one_by_one(&error, forms, groups, oldest).await,
            Err(Stop::Away) => (forms.iter().map(|_| Completion::Postponed).collect(), Vec::new()),
        };
        self.planner.end_batch();
        if commands > 0 {
            self.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
            self.metrics.batch_commands.observe(commands as f64);
            let cached_wallets = i64::try_from(self.planner.cached_wallets()).unwrap_or(i64::MAX);
            self.metrics.cached_wallets.set(cached_wallets);
        }
        let done = completions.into_iter().zip(tickets);
        let done = done.map(|(completion, ticket)| Done { completion, ticket }).collect();
        (Completed { done, changes }, next)
    }

    /// Commits a batch, and meanwhile plans the next one if it is full. If the commit fails, the plan of
    /// the next one is void: it was made on balances that were not committed.
    async fn commit_and_plan_ahead<T: Send>(
        &mut self,
        batch: &mut JobBatch<T>,
        inbox: &mut Inbox<T>,
    ) -> (Result<Executed, Error>, Option<JobBatch<T>>) {
        if batch.groups.is_empty() {
            return (Ok(Executed::default()), None);
        }
        self.metrics.batches_planned_ahead.inc_by(batch.plan.is_some().into());
        let planned = match batch.plan.take() {
            Some(plan) => Ok(plan),
            None => self.planner.plan(&mut batch.groups).await,
        };
        let plan = match planned {
            Ok(plan) => plan,
            Err(error) => return (Err(error), None),
        };
        let plan_ahead = async {
            // The connection's task sends the statement first.
            yield_now().await;
            let mut next = JobBatch::new(inbox.full_batch()?);
            next.plan = self.planner.plan_from_cache(&mut next.groups);
            Some(next)
        };
        let (committed, mut next) = tokio::join!(self.store.commit(&plan), plan_ahead);
        match committed {
            Ok(()) => (Ok(self.planner.committed(plan)), next),
            Err(error) => {
                self.planner.void(&plan, &error);
                if let Some(void) = next.as_mut().and_then(|next| next.plan.take()) {
                    self.planner.void_ahead(&void);
                }
                (Err(error), next)
            }
        }
    }

    /// Tries a batch again until it is executed, or there is no point in it.
    async fn until_executed(
        &mut self,
        mut executed: Result<Executed, Error>,
        groups: &mut [Group],
        oldest: Instant,
    ) -> Result<Executed, Stop> {
        let mut retries = Retries::new(&self.store, &self.health, &self.metrics, self.outage_limit, oldest);
        loop {
            // Only this adds to the counter, so the difference is what is new.
            let conflicts = self.metrics.batch_retries.with_label_values(&["conflict"]);
            conflicts.inc_by(self.planner.conflicts() - conflicts.get());
            match executed {
                Ok(executed) => {
                    retries.succeeded();
                    return Ok(executed);
                }
                Err(error) => match retries.after(error).await {
                    Next::Again => {}
                    Next::Stop(stop) => return Err(stop),
                },
            }
            executed = execute(&mut self.planner, groups).await;
        }
    }

    /// After a permanent error: executes the groups of a batch one by one, so that the request that causes
    /// the error does not take its neighbours along. That request is dead-lettered without an answer. If it
    /// is a batch message, its other groups are executed, and answered when they are sent again.
    async fn one_by_one(
        &mut self,
        error: &Error,
        forms: Vec<Form>,
        groups: Vec<Group>,
        oldest: Instant,
    ) -> (Vec<Completion>, Vec<Change>) {
        tracing::info!(%error, requests = forms.len(), "a request cannot be executed: this batch is executed one by one");
        let mut groups = groups.into_iter();
        let mut completions = Vec::with_capacity(forms.len());
        let mut all_changes = Vec::new();
        let mut is_away = false;
        for form in forms {
            let (mut all_decided, mut failed) = (Vec::new(), None);
            for group in groups.by_ref().take(form.groups()) {
                if is_away {
                    continue;
                }
                let mut group = vec![group];
                let executed = execute(&mut self.planner, &mut group).await;
                match self.until_executed(executed, &mut group, oldest).await {
                    Ok(Executed { outcomes, changes }) => {
                        all_changes.extend(changes);
                        all_decided.extend(decided(group, outcomes));
                    }
                    Err(Stop::Permanent(error)) => failed = Some(error.to_string()),
                    Err(Stop::Away) => is_away = true,
                }
            }
            completions.push(match failed {
                _ if is_away => Completion::Postponed,
                None => form.completion(&mut all_decided.into_iter()),
                Some(reason) => Completion::Failed(reason),
            });
        }
        (completions, all_changes)
    }
}

fn postponed<T>(tickets: impl IntoIterator<Item = T>) -> Completed<T> {
    let done = tickets.into_iter().map(|ticket| Done { completion: Completion::Postponed, ticket });
    Completed { done: done.collect(), changes: Vec::new() }
}

/// Commands, each with its outcome.
fn decided(groups: Vec<Group>, outcomes: Vec<Outcome>) -> impl Iterator<Item = (Command, Outcome)> {
    groups.into_iter().flat_map(Group::into_commands).zip(outcomes)
}
