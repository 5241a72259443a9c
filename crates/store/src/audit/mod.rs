//! The audit: every invariant of the ledger, checked on the whole database while others write to it.
//!
//! All sessions of an audit see one snapshot. What is to be examined is cut into [`Scope`]s, and each session takes
//! the next one: ranges of blocks for what a posting shows by itself (`rows`), ranges of wallets for what it
//! shows beside the one before it (`chains`), and what belongs to one transaction wherever it stands
//! (`transactions`). The database counts; only then the first findings are fetched, never more than asked for.
//! `schema` looks at what protects the tables, `identities` at what the key should answer for, `totals` at the
//! money as a whole.

mod chains;
mod identities;
mod plan;
mod report;
mod rows;
mod schema;
mod scope;
mod session;
mod totals;
mod transactions;

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use deadpool_postgres::ClientWrapper;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio_postgres::CancelToken;

pub use report::{AuditReport, Check, CheckReport, Finding};

use crate::connect::Connector;
use crate::{Error, Store};
use plan::Plan;
use scope::{Count, Scope};

/// How long the server may take to hear that an audit is over.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// How an audit is to be done.
#[derive(Debug, Clone, Copy)]
pub struct AuditOptions {
    /// How many sessions work at a time; each keeps about one core of the server busy.
    pub connections: NonZeroUsize,
    /// How many findings of a check are fetched.
    pub limit: usize,
}

/// How far an audit is, in units of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is done.
    pub done: u64,
    /// What there is to do, as it is estimated.
    pub total: u64,
}

/// An audit whose snapshot is taken.
#[derive(Debug)]
pub struct Audit {
    sessions: Vec<ClientWrapper>,
    connector: Connector,
    limit: usize,
    started: Instant,
}

/// Ends an audit from outside.
#[derive(Clone)]
pub struct AuditStop {
    tokens: Vec<CancelToken>,
    connector: Connector,
}

impl Store {
    /// Begins an audit: what is committed now is examined, whatever is written meanwhile.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn audit(&self, options: AuditOptions) -> Result<Audit, Error> {
        let started = Instant::now();
        let sessions = session::open(self, options.connections).await?;
        Ok(Audit { sessions, connector: self.connector.clone(), limit: options.limit, started })
    }
}

impl AuditStop {
    /// Cancels what the server is busy with.
    pub async fn stop(&self) {
        let cancelled = join_all(self.tokens.iter().map(|token| self.connector.cancel(token)));
        // A server that cannot be reached is not waited for.
        let _ = tokio::time::timeout(STOP_TIMEOUT, cancelled).await;
    }
}

impl Audit {
    /// What ends this audit from outside.
    #[must_use]
    pub fn stopper(&self) -> AuditStop {
        let tokens = self.sessions.iter().map(|session| session.cancel_token()).collect();
        AuditStop { tokens, connector: self.connector.clone() }
    }

    /// Examines everything, and tells `progress` after each step.
    ///
    /// A schema of another version is a finding, and nothing else is examined then.
    ///
    /// # Errors
    ///
    /// When the database fails, or the audit is stopped.
    pub async fn run(self, progress: impl Fn(Progress)) -> Result<AuditReport, Error> {
        let result = self.examine(progress).await;
        if result.is_err() {
            // One session failed: the others need not go on.
            self.stopper().stop().await;
        }
        result
    }

    async fn examine(&self, progress: impl Fn(Progress)) -> Result<AuditReport, Error> {
        let session = &self.sessions[0];
        let schema = schema::examine(session, self.limit).await?;
        if !schema.is_of_this_version {
            return Ok(AuditReport::new([schema.report], 0, self.started.elapsed()));
        }
        let plan = plan::make(session, self.sessions.len()).await?;
        let counts = self.count(&plan, progress).await?;
        let mut reports = BTreeMap::from([(Check::Schema, schema.report)]);
        for (scope, counts) in &counts {
            self.add(&mut reports, scope, counts).await?;
        }
        let totals = totals::examine(session, &counts, self.limit).await?;
        reports.insert(Check::Money, totals.money);
        for check in Check::ALL {
            let report = reports.entry(check).or_insert_with(|| CheckReport::new(check));
            report.examined = report.examined.or_else(|| totals.examined.by(check));
        }
        Ok(AuditReport::new(reports.into_values(), totals.examined.postings, self.started.elapsed()))
    }

    /// Shares the scopes out to the sessions, the largest first.
    async fn count(
        &self,
        plan: &Plan,
        progress: impl Fn(Progress),
    ) -> Result<Vec<(Scope, Vec<Count>)>, Error> {
        let total = plan.scopes.iter().map(|scope| plan.weight(*scope)).sum();
        let mut done = 0;
        progress(Progress { done, total });
        let mut waiting = VecDeque::from(plan.scopes.clone());
        let count = async |session, scope: Scope| (session, scope, scope.count(session).await);
        let mut running: FuturesUnordered<_> =
            self.sessions.iter().map_while(|session| Some(count(session, waiting.pop_front()?))).collect();
        let mut counts = Vec::new();
        while let Some((session, scope, counted)) = running.next().await {
            counts.push((scope, counted?));
            running.extend(waiting.pop_front().map(|scope| count(session, scope)));
            done += plan.weight(scope);
            progress(Progress { done, total });
        }
        // So that findings come in one order, however the work was shared out.
        counts.sort_unstable_by_key(|(scope, _)| *scope);
        Ok(counts)
    }

    /// Adds what was found in a scope, and fetches what may still be fetched of it.
    async fn add(
        &self,
        reports: &mut BTreeMap<Check, CheckReport>,
        scope: &Scope,
        counts: &[Count],
    ) -> Result<(), Error> {
        for (bit, condition) in scope.conditions().iter().enumerate() {
            let report = reports.entry(condition.check).or_insert_with(|| CheckReport::new(condition.check));
            let broken = counts.iter().filter(|count| (count.broken >> bit) & 1 == 1);
            let findings: i64 = broken.map(|count| count.rows).sum();
            report.findings += findings;
            let missing = self.limit.saturating_sub(report.first.len());
            if findings > 0 && missing > 0 {
                report.first.extend(scope.list(&self.sessions[0], bit, missing).await?);
            }
        }
        Ok(())
    }
}
