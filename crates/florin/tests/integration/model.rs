//! Random lists of everything that can be asked for, through a real database: the answers and the balances
//! are those of the naive model, and the tables hold what the rules write in memory.
//!
//! At the end of a list, every balance at every time and every page of every wallet are looked up, and
//! compared with what one finds who goes through all postings.

#[path = "../../../ledger/tests/model/mod.rs"]
mod lists;
mod rows;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use florin_ledger::{
    Applied, BalanceQuery, Change, Command, Group, HistoryQuery, Outcome, Page, Repeated, Scale, Status,
    Ticker, TickerId, Tickers, WalletId, apply,
};
use florin_store::{Executed, Plan as Planned, Planner, execute};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::runtime::Runtime;

use crate::common::{Ledger, World};
use lists::{Memory, Plan, Player, Round, plan};
use rows::minor_units;

/// How lists are played.
#[derive(Debug, Clone, Copy)]
struct Setup {
    lists: u32,
    /// At most so many groups in a batch.
    batch: usize,
    /// So many writers take turns.
    writers: usize,
    /// Each caches so many wallets, of the three that there are.
    cached: usize,
}

/// A database to play on.
struct Stage {
    setup: Setup,
    world: World,
    ledger: Ledger,
    tickers: Arc<Tickers>,
    /// How many conflicts there were, in all lists so far.
    conflicts: u64,
    /// How many batches were planned while the one before them was committed.
    planned_ahead: u64,
}

/// One list on its way.
struct Play<'a> {
    stage: &'a Stage,
    writers: Vec<Planner>,
    /// What time it is for the writers.
    now: Arc<Mutex<SystemTime>>,
    planned_ahead: u64,
    /// What the tables are to hold of it.
    memory: Memory,
    wallets: Vec<WalletId>,
}

/// Each list begins with no postings. The tables refuse that, as they should.
const CLEAR: &str = "ALTER TABLE postings DISABLE TRIGGER postings_are_final;
                     TRUNCATE postings, holds;
                     ALTER TABLE postings ENABLE ALWAYS TRIGGER postings_are_final";

impl Stage {
    async fn new(setup: Setup) -> Self {
        let world = World::new().await;
        // The order of the keys is not that of the names, and neither comes first in the table.
        world.store.add_ticker("GEL", Scale::new(6).unwrap()).await.unwrap();
        let ledger = world.ledger().await;
        let sql = "SELECT ticker_id, name, scale FROM tickers WHERE name IN ('RUB', 'GEL')";
        let rows = ledger.sql.query(sql, &[]).await.unwrap();
        let tickers = rows.iter().map(|row| {
            let scale = Scale::try_from(i64::from(row.get::<_, i16>(2))).unwrap();
            Ticker { id: row.get(0), name: row.get::<_, &str>(1).into(), scale }
        });
        let tickers = Arc::new(tickers.collect());
        Self { setup, world, ledger, tickers, conflicts: 0, planned_ahead: 0 }
    }

    /// Plays a list from the start; `turns` says which writer is next.
    async fn play(&mut self, plan: &Plan, turns: &[usize]) {
        self.ledger.sql.batch_execute(CLEAR).await.unwrap();
        let start = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
        let (tickers, wallets) = (Arc::clone(&self.tickers), [1, 2, 3, 99]);
        let world = lists::World { tickers: Arc::clone(&tickers), wallets, identities: 0, start };
        let existing = world.existing();
        let mut player = Player::new(world);
        let cached = NonZeroUsize::new(self.setup.cached).unwrap();
        let now = Arc::new(Mutex::new(SystemTime::UNIX_EPOCH));
        let writer = |_| {
            let clock = Arc::clone(&now);
            let planner = Planner::new(self.world.store.clone(), cached, true);
            planner.with_clock(move || *clock.lock().unwrap())
        };
        let mut play = Play {
            writers: (0..self.setup.writers).map(writer).collect(),
            now,
            planned_ahead: 0,
            memory: Memory::new(tickers, existing.clone()),
            wallets: existing,
            stage: self,
        };
        let mut turns = turns.iter().copied().cycle();
        for round in &plan.0 {
            play.round(player.round(round), &mut turns).await;
        }
        play.look_back().await;
        let conflicts: u64 = play.writers.iter().map(Planner::conflicts).sum();
        let planned_ahead = play.planned_ahead;
        self.ledger.assert_sound().await;
        self.conflicts += conflicts;
        self.planned_ahead += planned_ahead;
    }
}

impl Play<'_> {
    async fn round(&mut self, round: Round, turns: &mut impl Iterator<Item = usize>) {
        let mut outcomes = Vec::new();
        let batches: Vec<&[Group]> = round.groups.chunks(self.stage.setup.batch).collect();
        let turns: Vec<usize> = turns.take(batches.len()).map(|turn| turn % self.writers.len()).collect();
        *self.now.lock().unwrap() = round.now;
        // What each writer planned ahead for its next batch, if it could.
        let mut ahead: Vec<Option<Planned>> = self.writers.iter().map(|_| None).collect();
        for (number, groups) in batches.iter().enumerate() {
            let turn = turns[number];
            let own_next = (number + 1..batches.len()).find(|later| turns[*later] == turn);
            let next = own_next.map_or(&[][..], |later| batches[later]);
            let planned = ahead[turn].take();
            self.planned_ahead += u64::from(planned.is_some());
            outcomes.extend(self.batch(turn, groups, planned, next, &mut ahead[turn]).await);
        }
        let commands: Vec<&Command> = round.groups.iter().flat_map(Group::commands).collect();
        assert_eq!(outcomes.len(), commands.len());
        for ((got, expected), command) in outcomes.iter().zip(&round.outcomes).zip(commands) {
            assert_eq!(got, expected, "{command:?}");
        }
        assert_eq!(self.balances().await, round.balances);
        let rows = rows::read(&self.stage.ledger, &self.stage.tickers, &self.wallets).await;
        assert_eq!(rows, rows::expected(&self.memory));
    }

    /// Executes a batch as the engine does, and compares the result with the rules in memory. The changes are
    /// the new ones, followed by those committed earlier that are replayed.
    async fn batch(
        &mut self,
        turn: usize,
        groups: &[Group],
        planned: Option<Planned>,
        next: &[Group],
        ahead: &mut Option<Planned>,
    ) -> Vec<Outcome> {
        let now = *self.now.lock().unwrap();
        let mut own = groups.to_vec();
        let executed = self.commit_and_plan_ahead(turn, &mut own, planned, next, ahead).await;
        let Executed { outcomes, changes } = executed;
        assert_eq!(groups, own, "identities of the client's own are kept");
        let Applied { outcomes: expected, changes: mut told, repeated } =
            apply(&mut self.memory.load(groups), now, groups).unwrap();
        assert_eq!(outcomes, expected);
        let new = told.len();
        let mut seen = HashSet::new();
        for Repeated { transaction_id, resolved } in
            repeated.into_iter().filter(|change| seen.insert(*change))
        {
            let is_it = |change: &&Change| {
                change.transaction.id == transaction_id && change.transaction.resolution.is_some() == resolved
            };
            told.extend(self.memory.changes.iter().find(is_it).cloned());
        }
        assert_eq!(changes, told);
        told.truncate(new);
        self.memory.changes.extend(told);
        outcomes
    }

    /// Commits what was planned ahead, or a new plan, while the next batch is planned.
    async fn commit_and_plan_ahead(
        &mut self,
        turn: usize,
        groups: &mut [Group],
        planned: Option<Planned>,
        next: &[Group],
        ahead: &mut Option<Planned>,
    ) -> Executed {
        let (store, writer) = (&self.stage.world.store, &mut self.writers[turn]);
        let planned = match planned {
            Some(plan) => Ok(plan),
            None => writer.plan(groups).await,
        };
        let Ok(plan) = planned else { return execute(writer, groups).await.unwrap() };
        let plan_ahead = async {
            if !next.is_empty() {
                *ahead = writer.plan_from_cache(&mut next.to_vec());
            }
        };
        let (committed, ()) = tokio::join!(store.commit(&plan), plan_ahead);
        match committed {
            Ok(()) => writer.committed(plan),
            Err(error) => {
                writer.void(&plan, &error);
                if let Some(void) = ahead.take() {
                    writer.void_ahead(&void);
                }
                execute(writer, groups).await.unwrap()
            }
        }
    }

    /// Every balance around every time of a posting, and every page of every wallet.
    async fn look_back(&mut self) {
        let posted_at = self.memory.postings().map(|(.., posting)| posting.after.created_at);
        let times: Vec<SystemTime> = posted_at.collect::<BTreeSet<_>>().into_iter().collect();
        let microsecond = Duration::from_micros(1);
        let around = times.iter().flat_map(|time| [*time - microsecond, *time, *time + microsecond]);
        let moments = self.wallets.iter().flat_map(|wallet_id| around.clone().map(|at| (*wallet_id, at)));
        let groups: Vec<Group> = moments
            .map(|(wallet_id, at)| BalanceQuery { wallet_id, ticker: None, at: Some(at) })
            .map(|query| Group::One(Command::Balance(query)))
            .collect();
        self.batch(0, &groups, None, &[], &mut None).await;

        let (first, middle, last) = (times.first(), times.get(times.len() / 2), times.last());
        let spans = [(None, None), (middle, None), (None, middle), (middle, last), (first, middle)];
        let statuses = [None, Some(Status::Created), Some(Status::Success), Some(Status::Error)];
        let filters = spans.iter().flat_map(|span| statuses.map(|status| (*span, status)));
        for (number, ((from, until), status)) in filters.enumerate() {
            for wallet_id in &self.wallets {
                let query = HistoryQuery {
                    wallet_id: *wallet_id,
                    ticker: (number % 3 == 2).then(|| "RUB".to_owned()),
                    status,
                    from: from.copied(),
                    until: until.copied(),
                    before: None,
                    limit: u16::try_from(7 + 11 * number).unwrap(),
                };
                self.read_through(query).await;
            }
        }
    }

    /// All pages of a list.
    async fn read_through(&self, mut query: HistoryQuery) {
        loop {
            let page = crate::lookups::page(&self.stage.world.store, &query).await;
            assert_eq!(page, query.extend(Page::default(), &self.memory.changes), "{query:?}");
            match page.next {
                Some(next) => query.before = Some(next),
                None => break,
            }
        }
    }

    /// All balances, as the tables have them.
    async fn balances(&self) -> BTreeMap<(WalletId, TickerId), (i128, i128)> {
        let sql =
            "SELECT wallet_id, ticker, actual::text, frozen::text FROM balances WHERE wallet_id = ANY($1)";
        let tickers = &self.stage.tickers;
        let pairs = self.wallets.iter().flat_map(|id| tickers.iter().map(|ticker| (*id, ticker.id)));
        let mut balances: BTreeMap<_, _> = pairs.map(|pair| (pair, (0, 0))).collect();
        for row in self.stage.ledger.sql.query(sql, &[&self.wallets]).await.unwrap() {
            let ticker = tickers.get(row.get(1)).unwrap();
            let balance = (minor_units(row.get(2), ticker.scale), minor_units(row.get(3), ticker.scale));
            balances.insert((row.get(0), ticker.id), balance);
        }
        balances
    }
}

/// Plays random lists, each with random turns of the writers.
fn play_lists(setup: Setup) -> Stage {
    let runtime = Runtime::new().unwrap();
    let stage = RefCell::new(runtime.block_on(Stage::new(setup)));
    let config = ProptestConfig { cases: setup.lists, max_shrink_time: 20_000, ..ProptestConfig::default() };
    let strategy = (plan(), vec(0..setup.writers, 1..50));
    let result = TestRunner::new(config).run(&strategy, |(plan, turns)| {
        runtime.block_on(stage.borrow_mut().play(&plan, &turns));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    stage.into_inner()
}

#[test]
fn each_request_alone() {
    let stage = play_lists(Setup { lists: 3, batch: 1, writers: 1, cached: 2 });
    assert!(stage.planned_ahead > 0, "nothing was planned ahead");
}

#[test]
fn batches_of_three() {
    play_lists(Setup { lists: 4, batch: 3, writers: 1, cached: 1 });
}

#[test]
fn batches_of_twenty() {
    play_lists(Setup { lists: 6, batch: 20, writers: 1, cached: 2 });
}

#[test]
fn batches_of_five_hundred() {
    play_lists(Setup { lists: 6, batch: 500, writers: 1, cached: 3 });
}

/// What each of them caches is stale at times.
#[test]
fn two_writers_take_turns() {
    let stage = play_lists(Setup { lists: 6, batch: 7, writers: 2, cached: 3 });
    assert!(stage.conflicts > 0, "they never met");
}

/// What one of them plans ahead, the other may have made void by then.
#[test]
fn two_writers_plan_ahead() {
    let stage = play_lists(Setup { lists: 3, batch: 1, writers: 2, cached: 3 });
    assert!(stage.conflicts > 0, "they never met");
    assert!(stage.planned_ahead > 0, "nothing was planned ahead");
}
