//! Random lists of everything that can be asked for, through a real database: the answers and the balances are
//! those of the naive model, and the tables hold what the rules write in memory.
//!
//! At the end of a list, every balance at every time and every page of every wallet are looked up, and compared
//! with what one finds who goes through all postings.

#[path = "../../../ledger/tests/model/mod.rs"]
mod lists;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use florin_ledger::{
    Applied, BalanceQuery, Change, Command, Decimal, Group, HistoryQuery, Outcome, Page, Posting, Repeated,
    Scale, Status, Ticker, TickerId, Tickers, WalletId, apply,
};
use florin_store::{Batch, Executed, Following, Writer};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::common::{Ledger, World};
use lists::{Memory, Plan, Player, Round, plan};

/// How lists are played.
#[derive(Debug, Clone, Copy)]
struct Setup {
    lists: u32,
    /// At most so many groups in a batch.
    batch: usize,
    /// So many writers take turns.
    writers: usize,
    /// Each remembers so many wallets, of the three that there are.
    remembered: usize,
}

/// A database to play on.
struct Stage {
    setup: Setup,
    world: World,
    ledger: Ledger,
    tickers: Arc<Tickers>,
    /// How often a key was taken, in all lists so far.
    conflicts: u64,
    /// How many batches were decided while the one before them committed.
    decided_ahead: u64,
}

/// One list on its way.
struct Play<'a> {
    stage: &'a Stage,
    writers: Vec<Writer>,
    decided_ahead: u64,
    /// What the tables are to hold of it.
    memory: Memory,
    wallets: Vec<WalletId>,
}

/// A row of `postings`.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    chain: (WalletId, TickerId, i64),
    transaction_id: Uuid,
    leg: i16,
    operation: String,
    status: String,
    error: Option<String>,
    amount: i128,
    /// Actual and frozen.
    after: (i128, i128),
    held: bool,
    counterparty_wallet_id: Option<WalletId>,
    request_hash: Option<Vec<u8>>,
    redelivered: bool,
    metadata: Option<String>,
    created_at: SystemTime,
    expires_at: Option<SystemTime>,
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
        Self { setup, world, ledger, tickers, conflicts: 0, decided_ahead: 0 }
    }

    /// Plays a list from the start; `turns` says which writer is next.
    async fn play(&mut self, plan: &Plan, turns: &[usize]) {
        self.ledger.sql.batch_execute(CLEAR).await.unwrap();
        let start = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
        let (tickers, wallets) = (Arc::clone(&self.tickers), [1, 2, 3, 99]);
        let world = lists::World { tickers: Arc::clone(&tickers), wallets, identities: 0, start };
        let existing = world.existing();
        let mut player = Player::new(world);
        let remembered = NonZeroUsize::new(self.setup.remembered).unwrap();
        let writer = |_| Writer::new(self.world.store.clone(), remembered, true);
        let mut play = Play {
            writers: (0..self.setup.writers).map(writer).collect(),
            decided_ahead: 0,
            memory: Memory::new(tickers, existing.clone()),
            wallets: existing,
            stage: self,
        };
        let mut turns = turns.iter().copied().cycle();
        let mut now = SystemTime::UNIX_EPOCH;
        for round in &plan.0 {
            let round = player.round(round);
            now = round.now;
            play.round(round, &mut turns).await;
        }
        play.look_back(now).await;
        let conflicts: u64 = play.writers.iter().map(Writer::conflicts).sum();
        let decided_ahead = play.decided_ahead;
        self.ledger.assert_sound().await;
        self.conflicts += conflicts;
        self.decided_ahead += decided_ahead;
    }
}

impl Play<'_> {
    async fn round(&mut self, round: Round, turns: &mut impl Iterator<Item = usize>) {
        let mut outcomes = Vec::new();
        let batches: Vec<&[Group]> = round.groups.chunks(self.stage.setup.batch).collect();
        let turns: Vec<usize> = turns.take(batches.len()).map(|turn| turn % self.writers.len()).collect();
        // What each writer was shown of its next batch, and has decided ahead if it could.
        let mut ahead: Vec<Option<Batch>> = self.writers.iter().map(|_| None).collect();
        for (number, groups) in batches.iter().enumerate() {
            let turn = turns[number];
            let batch = ahead[turn].take().unwrap_or_else(|| groups.to_vec().into());
            self.decided_ahead += u64::from(batch.is_decided());
            let own_next = (number + 1..batches.len()).find(|later| turns[*later] == turn);
            let mut look = || own_next.map(|later| batches[later].to_vec().into());
            let mut following = Following::new(&mut look);
            outcomes.extend(self.batch(turn, round.now, batch, &mut following).await);
            ahead[turn] = following.into_batch();
        }
        let commands: Vec<&Command> = round.groups.iter().flat_map(Group::commands).collect();
        assert_eq!(outcomes.len(), commands.len());
        for ((got, expected), command) in outcomes.iter().zip(&round.outcomes).zip(commands) {
            assert_eq!(got, expected, "{command:?}");
        }
        assert_eq!(self.balances().await, round.balances);
        assert_eq!(self.rows().await, self.expected_rows());
    }

    /// Executes a batch, and holds what it came to against the rules in memory. The changes that are told are the
    /// new ones, and those committed earlier that were asked for again.
    async fn batch(
        &mut self,
        turn: usize,
        now: SystemTime,
        mut batch: Batch,
        following: &mut Following<'_>,
    ) -> Vec<Outcome> {
        let groups = batch.groups().to_vec();
        let executed = self.writers[turn].execute_by(|| now, &mut batch, following).await;
        let Executed { outcomes, changes } = executed.unwrap();
        assert_eq!(groups, batch.groups(), "identities of the client's own are kept");
        let Applied { outcomes: expected, changes: mut told, repeated } =
            apply(&mut self.memory.load(&groups), now, &groups).unwrap();
        assert_eq!(outcomes, expected);
        let new = told.len();
        let mut seen = HashSet::new();
        for Repeated { transaction_id, ended } in repeated.into_iter().filter(|change| seen.insert(*change)) {
            let is_it = |change: &&Change| {
                change.transaction.id == transaction_id && change.transaction.resolution.is_some() == ended
            };
            told.extend(self.memory.changes.iter().find(is_it).cloned());
        }
        assert_eq!(changes, told);
        told.truncate(new);
        self.memory.changes.extend(told);
        outcomes
    }

    /// Every balance around every time of a posting, and every page of every wallet.
    async fn look_back(&mut self, now: SystemTime) {
        let posted_at = self.memory.postings().map(|(.., posting)| posting.after.created_at);
        let times: Vec<SystemTime> = posted_at.collect::<BTreeSet<_>>().into_iter().collect();
        let microsecond = Duration::from_micros(1);
        let around = times.iter().flat_map(|time| [*time - microsecond, *time, *time + microsecond]);
        let moments = self.wallets.iter().flat_map(|wallet_id| around.clone().map(|at| (*wallet_id, at)));
        let groups: Vec<Group> = moments
            .map(|(wallet_id, at)| BalanceQuery { wallet_id, ticker: None, at: Some(at) })
            .map(|query| Group::One(Command::Balance(query)))
            .collect();
        self.batch(0, now, groups.into(), &mut Following::default()).await;

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

    /// The rows of the tables, in the order of their chains.
    async fn rows(&self) -> Vec<Row> {
        let sql = "SELECT wallet_id, ticker_id, version, transaction_id, leg, operation, status, error, amount::text,
                          actual_after::text, frozen_after::text, held, counterparty_wallet_id, request_hash,
                          redelivered, metadata::text, created_at, expires_at
                     FROM postings WHERE wallet_id = ANY($1) ORDER BY wallet_id, ticker_id, version";
        let rows = self.stage.ledger.sql.query(sql, &[&self.wallets]).await.unwrap();
        let row = |row: &tokio_postgres::Row| {
            let scale = self.stage.tickers.by_id(row.get(1)).unwrap().scale;
            Row {
                chain: (row.get(0), row.get(1), row.get(2)),
                transaction_id: row.get(3),
                leg: row.get(4),
                operation: row.get(5),
                status: row.get(6),
                error: row.get(7),
                amount: minor_units(row.get(8), scale),
                after: (minor_units(row.get(9), scale), minor_units(row.get(10), scale)),
                held: row.get(11),
                counterparty_wallet_id: row.get(12),
                request_hash: row.get(13),
                redelivered: row.get(14),
                metadata: row.get(15),
                created_at: row.get(16),
                expires_at: row.get(17),
            }
        };
        rows.iter().map(row).collect()
    }

    /// The rows that there are to be.
    fn expected_rows(&self) -> Vec<Row> {
        let row = |(change, ticker_id, posting): (&Change, TickerId, &Posting)| {
            let (transaction, after) = (&change.transaction, posting.after);
            let opening = Some(transaction).filter(|_| posting.leg == 0);
            Row {
                chain: (posting.wallet_id, ticker_id, after.version),
                transaction_id: transaction.id,
                leg: posting.leg,
                operation: transaction.operation.to_string(),
                status: transaction.status().to_string(),
                error: transaction.error().map(|code| code.to_string()),
                amount: transaction.moved(),
                after: (after.actual, after.frozen),
                held: after.held,
                counterparty_wallet_id: transaction.counterparty_of(posting.wallet_id),
                request_hash: opening.map(|transaction| transaction.request_hash.to_vec()),
                redelivered: opening.is_some_and(|transaction| transaction.redelivered),
                metadata: opening.and_then(|transaction| transaction.metadata.as_deref()).map(str::to_owned),
                created_at: after.created_at,
                expires_at: opening.and_then(|transaction| transaction.expires_at),
            }
        };
        let mut rows: Vec<Row> = self.memory.postings().map(row).collect();
        rows.sort_unstable_by_key(|row| row.chain);
        rows
    }
}

fn minor_units(text: &str, scale: Scale) -> i128 {
    text.parse::<Decimal>().unwrap().to_minor(scale).unwrap()
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
    let stage = play_lists(Setup { lists: 3, batch: 1, writers: 1, remembered: 2 });
    assert!(stage.decided_ahead > 0, "nothing was decided ahead");
}

#[test]
fn batches_of_three() {
    play_lists(Setup { lists: 4, batch: 3, writers: 1, remembered: 1 });
}

#[test]
fn batches_of_twenty() {
    play_lists(Setup { lists: 6, batch: 20, writers: 1, remembered: 2 });
}

#[test]
fn batches_of_five_hundred() {
    play_lists(Setup { lists: 6, batch: 500, writers: 1, remembered: 3 });
}

/// What each of them remembers is out of date at times.
#[test]
fn two_writers_take_turns() {
    let stage = play_lists(Setup { lists: 6, batch: 7, writers: 2, remembered: 3 });
    assert!(stage.conflicts > 0, "they never met");
}

/// What one of them decides ahead, the other may have made void by then.
#[test]
fn two_writers_decide_ahead() {
    let stage = play_lists(Setup { lists: 3, batch: 1, writers: 2, remembered: 3 });
    assert!(stage.conflicts > 0, "they never met");
    assert!(stage.decided_ahead > 0, "nothing was decided ahead");
}
