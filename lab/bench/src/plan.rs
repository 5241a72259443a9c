//! What is to be measured: services to start, and cases that are measured in turn, round by round.

use crate::results::{Subject, Way};

/// 40 % invoices, 40 % withdrawals, 20 % balances.
pub(crate) const MIX: &str = "invoice=40,withdraw=40,balance=20";
/// Only writes: each request is a row.
pub(crate) const WRITES: &str = "invoice=50,withdraw=50";

/// A database and a virtual host of their own, with services on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorldPlan {
    pub(crate) instances: u32,
    pub(crate) events: bool,
    /// Whether one instance is active and the others are standbys, which is the default.
    pub(crate) single_active: bool,
    pub(crate) wallets: u32,
}

impl Default for WorldPlan {
    fn default() -> Self {
        Self { instances: 1, events: true, single_active: true, wallets: 1000 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) subject: Subject,
    pub(crate) way: Way,
    pub(crate) mix: &'static str,
    pub(crate) wallets: u32,
    pub(crate) zipf: bool,
    pub(crate) in_flight: u32,
    pub(crate) batch: u32,
}

impl Load {
    /// One request per message, 1,000 wallets.
    pub(crate) const fn florin(mix: &'static str, in_flight: u32) -> Self {
        let (subject, way) = (Subject::Florin, Way::Messages);
        Self { subject, way, mix, wallets: 1000, zipf: false, in_flight, batch: 1 }
    }

    pub(crate) const fn echo(in_flight: u32) -> Self {
        Self { subject: Subject::Echo, ..Self::florin(MIX, in_flight) }
    }
}

/// What one step of a round does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// A load on the world of this number.
    Load { world: usize, load: Load },
    /// Commits alone, each of one small row; with `whole` the row and its commit are one statement.
    Commit { whole: bool },
    /// pgbench with its TPC-B-like script, or the simple one (`-N`).
    PgBench { simple: bool, connections: u32 },
    /// COPY of rows into a table like that of the service, `rows_each` in a transaction; all in one when it
    /// is `None`.
    Copy { rows_each: Option<usize>, connections: u32 },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) action: Action,
}

/// Steps that are done in turn in each round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) worlds: Vec<WorldPlan>,
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    pub(crate) fn new(worlds: impl IntoIterator<Item = WorldPlan>) -> Self {
        Self { worlds: worlds.into_iter().collect(), steps: Vec::new() }
    }

    pub(crate) fn add(&mut self, name: &str, action: Action) {
        self.steps.push(Step { name: name.to_owned(), action });
    }

    /// A load on the first world.
    pub(crate) fn load(&mut self, name: &str, load: Load) {
        self.load_on(0, name, load);
    }

    pub(crate) fn load_on(&mut self, world: usize, name: &str, load: Load) {
        self.add(name, Action::Load { world, load });
    }
}

impl Step {
    pub(crate) const fn subject(&self) -> Subject {
        match &self.action {
            Action::Load { load, .. } => load.subject,
            _ => Subject::Postgresql,
        }
    }

    pub(crate) const fn way(&self) -> Way {
        match &self.action {
            Action::Load { load, .. } => load.way,
            _ => Way::Sql,
        }
    }

    pub(crate) const fn in_flight(&self) -> u32 {
        match &self.action {
            Action::Load { load, .. } => load.in_flight,
            Action::Commit { .. } => 1,
            Action::PgBench { connections, .. } | Action::Copy { connections, .. } => *connections,
        }
    }

    pub(crate) const fn batch(&self) -> u32 {
        match &self.action {
            Action::Load { load, .. } => load.batch,
            _ => 1,
        }
    }
}
