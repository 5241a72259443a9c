//! The audit (`florin verify`): every invariant of the ledger, checked on the whole database while others
//! write to it.
//!
//! All sessions of an audit see one snapshot. The work is divided into [`Scope`]s, and each session takes the
//! next one: ranges of blocks for what can be checked on a posting by itself (`rows`), ranges of wallets for
//! what needs the posting before it (`chains`), and the postings of one transaction wherever they are
//! (`transactions`). The database counts first; then the first findings are fetched, never more than
//! requested. `schema` checks what protects the tables, `identities` what the unique key should guarantee,
//! `totals` the money as a whole.

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

/// How long the server may take to cancel the statements of an audit.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy)]
pub struct AuditOptions {
    /// Sessions that work at a time; each keeps about one core of the server busy.
    pub connections: NonZeroUsize,
    /// Maximum number of findings to fetch for each check.
    pub limit: usize,
}

/// How far an audit is, in an arbitrary unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    /// An estimate.
    pub total: u64,
}

/// An audit that has its snapshot.
#[derive(Debug)]
pub struct Audit {
    sessions: Vec<ClientWrapper>,
    connector: Connector,
    limit: usize,
    started: Instant,
}

/// Stops an audit from outside.
#[derive(Clone)]
pub struct AuditStop {
    tokens: Vec<CancelToken>,
    connector: Connector,
}

impl Store {
    /// Starts an audit of what is committed now, whatever is written meanwhile.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn audit(&self, options: AuditOptions) -> Result<Audit, Error> {
        let started = Instant::now();
        let sessions = session::open(self, options.connections).await?;
        Ok(Audit { sessions, connector: self.connector.clone(), limit: options.limit, started })
    }
}

impl AuditStop {
    /// Cancels the statements under way.
    pub async fn stop(&self) {
        let cancelled = join_all(self.tokens.iter().map(|token| self.connector.cancel(token)));
        // Do not wait for a server that cannot be reached.
        let _ = tokio::time::timeout(STOP_TIMEOUT, cancelled).await;
    }
}

impl Audit {
    #[must_use]
    pub fn stopper(&self) -> AuditStop {
        let tokens = self.sessions.iter().map(|session| session.cancel_token()).collect();
        AuditStop { tokens, connector: self.connector.clone() }
    }

    /// Examines everything, and calls `progress` after each step.
    ///
    /// A schema of another version is a finding, and then nothing else is examined.
    ///
    /// # Errors
    ///
    /// When the database fails, or the audit is stopped.
    pub async fn run(self, progress: impl Fn(Progress)) -> Result<AuditReport, Error> {
        let result = self.examine(progress).await;
        if result.is_err() {
            // One session failed: stop the others.
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

    /// Distributes the scopes to the sessions, the largest first.
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
        // The order of findings must not depend on which session was faster.
        counts.sort_unstable_by_key(|(scope, _)| *scope);
        Ok(counts)
    }

    /// Adds the findings of a scope, and fetches the first of them up to the limit.
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
