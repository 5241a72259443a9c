//! The store on a real PostgreSQL: rival writers, requests that look alike, and what the tables refuse.

use std::num::NonZeroUsize;
use std::time::SystemTime;

use florin_ledger::{
    Answer, BalanceQuery, Command, Decimal, ErrorCode, Group, Identity, LIMIT, Movement, OnExisting, Outcome,
    Pending, Resolve, Scale,
};
use florin_store::{Error, Planner, Store};
use uuid::Uuid;

use crate::common::World;

fn writer(world: &World) -> Planner {
    let store = Store::new(&world.database_url, 2).unwrap();
    Planner::new(store, NonZeroUsize::new(3).unwrap(), true)
}

fn movement(id: u128, wallet_id: i64, ticker: &str, units: i128) -> Movement {
    let mut request_hash = [0; 16];
    request_hash[..8].copy_from_slice(&wallet_id.to_be_bytes());
    request_hash[8..].copy_from_slice(&units.to_be_bytes()[8..]);
    let identity = Identity {
        transaction_id: Uuid::from_u128(id),
        request_hash,
        on_existing: OnExisting::Replay,
        redelivered: false,
    };
    let amount = Decimal::from_minor(units, Scale::new(2).unwrap());
    Movement {
        identity,
        wallet_id,
        ticker: ticker.to_owned(),
        amount,
        pending: None,
        metadata: None,
        requested_by: None,
    }
}

fn balance(wallet_id: i64) -> Command {
    Command::Balance(BalanceQuery { wallet_id, ticker: None, at: None })
}

/// Executes commands, each a group of its own.
async fn execute(writer: &mut Planner, commands: impl IntoIterator<Item = Command>) -> Vec<Outcome> {
    florin_store::execute(writer, &mut groups(commands)).await.unwrap().outcomes
}

/// Commands, each a group of its own.
fn groups(commands: impl IntoIterator<Item = Command>) -> Vec<Group> {
    commands.into_iter().map(Group::One).collect()
}

/// Two writers that know nothing of each other fight over one wallet: none overdraws it, none fails.
#[tokio::test]
async fn rivals_on_a_hot_wallet_stay_exact() {
    const BATCHES: u64 = 40;
    let world = World::new().await;
    execute(&mut writer(&world), [Command::Invoice(movement(1, 1, "USD", 100_000))]).await;
    let rival = |seed: u128| {
        let mut writer = writer(&world);
        async move {
            let mut withdrawn = 0_i128;
            for batch in 0..BATCHES {
                let id = |n: u128| (seed << 64) | (u128::from(batch) * 1000 + n);
                let commands = (0..30).map(|n| Command::Withdraw(movement(id(n), 1, "USD", 101)));
                let outcomes = execute(&mut writer, commands).await;
                let done = |outcome: &&Outcome| matches!(outcome.answer, Answer::Opened { .. });
                withdrawn += 101 * i128::try_from(outcomes.iter().filter(done).count()).unwrap();
            }
            (withdrawn, writer.conflicts())
        }
    };
    let rivals = [tokio::spawn(rival(1)), tokio::spawn(rival(2)), tokio::spawn(rival(3))];
    let (mut withdrawn, mut conflicts) = (0, 0);
    for rival in rivals {
        let (sum, lost) = rival.await.unwrap();
        assert!(lost <= BATCHES, "each batch loses at most one race, but {lost} were lost");
        withdrawn += sum;
        conflicts += lost;
    }
    // 1000.00 is enough for 990 withdrawals of 1.01.
    assert_eq!(withdrawn, 99_990);
    assert!(conflicts > 0, "they never met");
    let ledger = world.ledger().await;
    assert_eq!(ledger.balances().await["1/USD"], "0.1");
    ledger.assert_sound().await;
}

/// The same requests through two writers at once: each is applied once, and both get the same answers.
#[tokio::test]
async fn the_same_requests_at_two_writers_are_applied_once() {
    let world = World::new().await;
    let commands: Vec<Command> = (0..200)
        .map(|n| Command::Invoice(movement(n, 1 + i64::try_from(n).unwrap() % 9, "USD", 7)))
        .collect();
    let run = |commands: Vec<Command>| {
        let mut writer = writer(&world);
        tokio::spawn(async move { execute(&mut writer, commands).await })
    };
    let reversed = commands.iter().rev().cloned().collect();
    let (one, two) = tokio::join!(run(commands), run(reversed));
    let answers = |outcomes: &[Outcome]| outcomes.iter().map(|o| o.answer.clone()).collect::<Vec<_>>();
    let (one, mut two) = (answers(&one.unwrap()), answers(&two.unwrap()));
    two.reverse();
    assert_eq!(one, two);
    let ledger = world.ledger().await;
    assert_eq!(ledger.number("SELECT count(*) FROM postings").await, 200);
    ledger.assert_sound().await;
}

/// Requests that look the same are as many as they are, in one batch or in several.
#[tokio::test]
async fn what_only_looks_the_same_is_new() {
    let world = World::new().await;
    let mut writer = writer(&world);
    let mut movement = movement(1, 1, "USD", 100);
    movement.identity.on_existing = OnExisting::Renew { received_at: SystemTime::now() };
    let batch = [Command::Invoice(movement.clone()), Command::Invoice(movement)];
    for postings in [2, 4, 6] {
        let outcomes = execute(&mut writer, batch.clone()).await;
        assert!(outcomes.iter().all(|outcome| !outcome.replayed), "{outcomes:?}");
        assert_eq!(world.ledger().await.number("SELECT count(*) FROM postings").await, postings);
    }
}

/// The wallets are locked after three conflicts, and then the commit itself fails: what was planned up to
/// then is void.
#[tokio::test]
async fn a_commit_that_fails_leaves_nothing_behind() {
    let world = World::new().await;
    let ledger = world.ledger().await;
    // A sequence counts on when its transaction is rolled back.
    let four_failures = "
        CREATE SEQUENCE commits;
        CREATE FUNCTION fail_four_times() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('commits') <= 4 THEN
                RAISE EXCEPTION 'on purpose' USING ERRCODE = 'serialization_failure';
            END IF;
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER four_failures AFTER INSERT ON postings
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail_four_times()";
    ledger.sql.batch_execute(four_failures).await.unwrap();
    let mut writer = writer(&world);
    execute(&mut writer, [Command::Invoice(movement(1, 1, "USD", 100))]).await;
    assert_eq!(writer.conflicts(), 4);
    assert_eq!(ledger.balances().await["1/USD"], "1");
    ledger.assert_sound().await;
}

/// A balance that another writer changed is read, not taken from the cache.
#[tokio::test]
async fn a_balance_is_never_stale() {
    let world = World::new().await;
    let (mut one, mut other) = (writer(&world), writer(&world));
    let read = balance(1);
    for round in 1..=3_u128 {
        execute(&mut one, [Command::Invoice(movement(round, 1, "USD", 100))]).await;
        let outcomes = execute(&mut other, [read.clone()]).await;
        let Answer::Balance(lines) = &outcomes[0].answer else { panic!("not a balance") };
        assert_eq!(lines[0].actual.to_string(), round.to_string());
    }
    assert_eq!(other.conflicts(), 2, "the first was read, the others cached");
}

/// Balances are answered from the cache where nothing is written, too; a ticker that nobody has used yet is
/// noticed once.
#[tokio::test]
async fn a_cached_balance_is_checked_where_nothing_is_written() {
    let world = World::new().await;
    let mut one = writer(&world);
    execute(&mut one, [Command::Invoice(movement(1, 1, "USD", 100))]).await;
    for conflicts in [0, 1, 1] {
        let outcomes = execute(&mut one, [balance(1), balance(2), balance(1)]).await;
        let totals = outcomes.iter().map(|outcome| match &outcome.answer {
            Answer::Balance(lines) => lines.iter().map(|line| line.actual.to_string()).collect::<String>(),
            answer => panic!("not a balance: {answer:?}"),
        });
        assert_eq!(totals.collect::<Vec<_>>(), ["1", "", "1"]);
        assert_eq!(one.conflicts(), conflicts);
        if conflicts == 0 {
            world.store.add_ticker("BTC", Scale::new(8).unwrap()).await.unwrap();
        }
    }
}

/// A balance queried in the same batch as a write is answered from the cache, and nothing of the batch is
/// committed if another writer changed it: no posting, and no hold.
#[tokio::test]
async fn a_cached_balance_is_a_precondition_of_the_batch() {
    let world = World::new().await;
    let ledger = world.ledger().await;
    let (mut one, mut other) = (writer(&world), writer(&world));
    world.store.add_ticker("BTC", Scale::new(8).unwrap()).await.unwrap();
    execute(&mut one, [1_u32, 2].map(|n| Command::Invoice(movement(n.into(), n.into(), "USD", 100)))).await;
    let pending = Some(Pending { timeout: None });
    let waits = Movement { pending, ..movement(20, 2, "USD", 10) };
    let rows = [("USD", movement(10, 2, "USD", 10)), ("BTC", waits), ("RUB", movement(30, 2, "USD", 10))];
    for (number, (ticker, own)) in (1..).zip(rows) {
        execute(&mut other, [Command::Invoice(movement(100 + number, 1, ticker, 1))]).await;
        let outcomes = execute(&mut one, [balance(1), Command::Withdraw(own)]).await;
        assert_eq!(one.conflicts(), u64::try_from(number).unwrap(), "{ticker}");
        let Answer::Balance(lines) = &outcomes[0].answer else { panic!("not a balance") };
        assert!(lines.iter().any(|line| line.ticker == ticker), "{lines:?}");
        assert_eq!(outcomes[1].refusal(), None);
    }
    let outcomes =
        execute(&mut one, [balance(1), Command::Invoice(movement(40, 1, "USD", 1)), balance(1)]).await;
    let Answer::Balance(lines) = &outcomes[2].answer else { panic!("not a balance") };
    assert_eq!(lines.iter().find(|line| line.ticker == "USD").unwrap().actual.to_string(), "1.02");
    assert_eq!(one.conflicts(), 3, "nobody else wrote in between");
    // Done before: nothing is written, and the balance is read.
    let outcomes = execute(&mut one, [balance(1), Command::Invoice(movement(40, 1, "USD", 1))]).await;
    assert!(outcomes[1].replayed);
    ledger.assert_sound().await;
}

/// A batch that was planned while the commit of the one before it failed: what that would have left behind
/// never was.
#[tokio::test]
async fn a_plan_made_ahead_is_void_when_the_commit_before_it_fails() {
    let world = World::new().await;
    let (mut one, mut other) = (writer(&world), writer(&world));
    execute(&mut one, [Command::Invoice(movement(1, 1, "USD", 100))]).await;
    // The other one takes the identity of the first batch, and the version that it was to write.
    execute(&mut other, [Command::Invoice(movement(2, 1, "USD", 50))]).await;
    let mut first = groups([Command::Withdraw(movement(2, 1, "USD", 60))]);
    let mut second = groups([Command::Withdraw(movement(3, 1, "USD", 60))]);
    let plan = one.plan(&mut first).await.unwrap();
    let ahead = one.plan_from_cache(&mut second).expect("all that it needs is cached");
    let error = world.store.commit(&plan).await.unwrap_err();
    assert!(matches!(error, Error::Conflict), "{error}");
    one.void(&plan, &error);
    one.void_ahead(&ahead);
    let outcomes = florin_store::execute(&mut one, &mut first).await.unwrap().outcomes;
    assert_eq!(outcomes[0].refusal(), Some(ErrorCode::IdentityReused));
    let outcomes = florin_store::execute(&mut one, &mut second).await.unwrap().outcomes;
    assert_eq!(outcomes[0].refusal(), None, "100 and 50 are enough for 60");
    let sql = "SELECT (actual * 100)::int8 FROM balances WHERE wallet_id = 1";
    assert_eq!(world.ledger().await.number(sql).await, 90);
    world.ledger().await.assert_sound().await;
}

/// Whether a payee has room for more decides on a transfer, also when nothing is appended to the payee's
/// chain: a stale balance in the cache must not decide.
#[tokio::test]
async fn the_room_of_a_payee_is_never_stale() {
    let world = World::new().await;
    let mut number = 0;
    let mut next = |wallet_id, units, waits: bool| {
        number += 1;
        let pending = waits.then_some(Pending { timeout: None });
        Movement { pending, ..movement(number, wallet_id, "RUB", units) }
    };
    let (mut one, mut other) = (writer(&world), writer(&world));
    let rich = Command::Invoice(next(1, 30, false));
    let transfers = [true, false, true, true].map(|waits| next(1, 5, waits));
    let [waiting, transfer, pending, too_much] =
        transfers.map(|movement| Command::Transfer { movement, to_wallet_id: 2 });
    let transaction_id = waiting.movement().unwrap().identity.transaction_id;
    let settle =
        Command::Resolve { transaction_id, how: Resolve::Settle { amount: None }, requested_by: None };
    let all = LIMIT - 1;
    let [first, second, third, last] =
        [all, all - 5, all - 10, all - 14].map(|units| Command::Invoice(next(2, units, false)));
    let [undo_first, undo_second, undo_third] =
        [all, all - 5, all - 10].map(|units| Command::Withdraw(next(2, units, false)));
    // In the first writer's cache the payee is full, the second makes room; and the other way round.
    assert_eq!(refusal(&mut one, [rich, waiting, first]).await, None);
    assert_eq!(refusal(&mut other, [undo_first]).await, None);
    assert_eq!(refusal(&mut one, [settle]).await, None);
    assert_eq!(refusal(&mut one, [second]).await, None);
    assert_eq!(refusal(&mut other, [undo_second]).await, None);
    assert_eq!(refusal(&mut one, [transfer]).await, None);
    assert_eq!(refusal(&mut one, [third]).await, None);
    assert_eq!(refusal(&mut other, [undo_third]).await, None);
    assert_eq!(refusal(&mut one, [pending]).await, None);
    assert_eq!(refusal(&mut other, [last]).await, None);
    assert_eq!(refusal(&mut one, [too_much]).await, Some(ErrorCode::AmountOutOfRange));
    world.ledger().await.assert_sound().await;
}

/// The first refusal among the outcomes.
async fn refusal(writer: &mut Planner, commands: impl IntoIterator<Item = Command>) -> Option<ErrorCode> {
    execute(writer, commands).await.iter().find_map(Outcome::refusal)
}

/// Requests without an identity of their own, under one derived id that is in the database already: what that
/// means depends on how the request that wrote it was delivered, and when.
#[tokio::test]
async fn a_request_that_looks_like_another_is_told_from_one_delivered_twice() {
    let invoice = |on_existing, redelivered| {
        let mut movement = movement(1, 1, "USD", 100);
        movement.identity = Identity { on_existing, redelivered, ..movement.identity };
        [Command::Invoice(movement)]
    };
    let hour = std::time::Duration::from_secs(3600);
    let first = |received_at| invoice(OnExisting::Renew { received_at }, false);
    let again = || invoice(OnExisting::Replay, true);
    let now = SystemTime::now();
    let rows: [(&str, [Command; 1], [Command; 1], i64); 6] = [
        ("held here while it was redelivered to another instance", again(), first(now - hour), 1),
        ("delivered after an old redelivery: another one", again(), first(now + hour), 2),
        ("delivered to two instances at once: two", first(now - hour), first(now - hour), 2),
        ("delivered after the other: two", first(now - hour), first(now + hour), 2),
        ("redelivered after it was written: the same", first(now - hour), again(), 1),
        ("redelivered twice: the same", again(), again(), 1),
    ];
    for (what, one, other, postings) in rows {
        let world = World::new().await;
        execute(&mut writer(&world), one).await;
        let outcomes = execute(&mut writer(&world), other).await;
        assert_eq!(outcomes[0].replayed, postings == 1, "{what}");
        assert_eq!(world.ledger().await.number("SELECT count(*) FROM postings").await, postings, "{what}");
    }
}

/// A ticker that was added while this writer ran, and used by another, is not left out.
#[tokio::test]
async fn a_balance_shows_tickers_added_meanwhile() {
    let world = World::new().await;
    let (mut one, mut other) = (writer(&world), writer(&world));
    let read = [balance(1)];
    execute(&mut one, read.clone()).await;
    world.store.add_ticker("BTC", Scale::new(8).unwrap()).await.unwrap();
    execute(&mut other, [Command::Invoice(movement(1, 1, "BTC", 100))]).await;
    let outcomes = execute(&mut one, read.clone()).await;
    assert!(
        matches!(&outcomes[0].answer, Answer::Balance(lines) if lines[0].ticker == "BTC"),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn the_tables_refuse_what_must_never_happen() {
    let world = World::new().await;
    execute(&mut writer(&world), [Command::Invoice(movement(1, 1, "USD", 100))]).await;
    let ledger = world.ledger().await;
    let insert = |version: &str, status: &str, amount: &str, actual: &str, frozen: &str, held: &str| {
        format!(
            "INSERT INTO postings (wallet_id, ticker_id, version, transaction_id, leg, operation, status, error,
                amount, actual_after, frozen_after, held, request_hash, redelivered, created_at)
             SELECT 1, ticker_id, {version}, gen_random_uuid(), 0, 'invoice', '{status}', NULL, {amount}, {actual},
                {frozen}, {held}, decode(repeat('00', 16), 'hex'), false, now()
               FROM tickers WHERE name = 'USD'"
        )
    };
    let statements = [
        ("UPDATE postings SET actual_after = 7".to_owned(), "23001"),
        ("DELETE FROM postings".to_owned(), "23001"),
        ("TRUNCATE postings".to_owned(), "23001"),
        ("DELETE FROM wallets".to_owned(), "23001"),
        ("UPDATE wallets SET wallet_id = 77 WHERE wallet_id = 1".to_owned(), "23001"),
        ("UPDATE tickers SET scale = 3".to_owned(), "23001"),
        ("DELETE FROM tickers".to_owned(), "23001"),
        (insert("1", "Success", "1", "1", "0", "true"), "23505"),
        (insert("0", "Success", "1", "1", "0", "true"), "23514"),
        (insert("2", "Done", "1", "1", "0", "true"), "23514"),
        (insert("2", "Error", "1", "1", "0", "true"), "23514"),
        (insert("2", "Success", "0", "1", "0", "true"), "23514"),
        (insert("2", "Success", "1", "-0.01", "0", "true"), "23514"),
        (insert("2", "Success", "1", "1", "-0.01", "true"), "23514"),
        (insert("2", "Success", "1", "1", "0", "false"), "23514"),
        (insert("2", "Success", "'NaN'", "1", "0", "true"), "23514"),
        (insert("2", "Success", "1", "'NaN'", "0", "true"), "23514"),
        (insert("2", "Success", "1", "1", "'NaN'", "true"), "23514"),
        (insert("2", "Success", "1", "1e36", "0", "true"), "23514"),
    ];
    for (statement, sqlstate) in statements {
        let error = ledger.sql.batch_execute(&statement).await.unwrap_err();
        assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some(sqlstate), "{statement}");
    }
    ledger.sql.batch_execute(&insert("2", "Success", "1", "2", "0", "true")).await.unwrap();
    ledger.assert_sound().await;
}

#[tokio::test]
async fn a_ticker_keeps_its_scale() {
    let world = World::new().await;
    let scale = |places| Scale::new(places).unwrap();
    assert!(world.store.add_ticker("BTC", scale(8)).await.unwrap());
    assert!(!world.store.add_ticker("BTC", scale(8)).await.unwrap());
    let error = world.store.add_ticker("BTC", scale(9)).await.unwrap_err();
    assert!(matches!(error, Error::TickerExists { scale: 8, .. }), "{error}");
    let error = world.store.add_ticker("no spaces", scale(2)).await.unwrap_err();
    assert!(matches!(error, Error::InvalidData(_)), "{error}");
    assert_eq!(world.store.create_wallets(5..=12).await.unwrap(), 3);
    assert_eq!(world.store.list_wallets(Some(10), 10).await.unwrap().len(), 2);
}
