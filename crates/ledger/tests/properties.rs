//! Random lists of everything that can be asked for: the rules against a naive model, and against themselves
//! when the same list comes in other batches.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "rules/codes.rs"]
mod codes;
mod model;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use florin_ledger::{
    Applied, Balance, Change, ErrorCode, Group, LIMIT, Operation, Repeated, Scale, Status, Ticker, TickerId,
    Tickers, WalletId, apply,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use codes::codes_of;
use model::{Memory, Plan, Player, Round, World, plan};

fn world() -> World {
    let ticker =
        |id, name: &str, places| Ticker { id, name: name.into(), scale: Scale::new(places).unwrap() };
    // The order of the keys is not that of the names.
    let tickers: Tickers = [ticker(2, "RUB", 2), ticker(1, "USDT", 6)].into_iter().collect();
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    World { tickers: Arc::new(tickers), wallets: [11, 12, -13, 99], identities: 0, start }
}

fn played(plan: &Plan) -> Vec<Round> {
    let mut player = Player::new(world());
    plan.0.iter().map(|round| player.round(round)).collect()
}

fn memory() -> Memory {
    let world = world();
    let wallets = world.existing();
    Memory::new(world.tickers, wallets)
}

/// One batch, from what is known to what is known then.
fn run(memory: &mut Memory, now: SystemTime, groups: &[Group]) -> Applied {
    let mut state = memory.load(groups);
    let mut applied = apply(&mut state, now, groups).unwrap();
    memory.changes.append(&mut applied.changes);
    // A state that is kept says the same as one that is loaded again.
    for (wallet_id, wallet) in &state.wallets {
        let written: BTreeMap<TickerId, Balance> = wallet
            .iter()
            .filter(|(_, balance)| balance.version > 0)
            .map(|(id, balance)| (*id, *balance))
            .collect();
        assert_eq!(written, memory.wallet(*wallet_id, None), "what is kept of wallet {wallet_id}");
    }
    for (id, transaction) in &state.transactions {
        assert_eq!(Some(transaction), memory.transaction(*id).as_ref());
    }
    applied
}

/// What a step does to the balance of the payer and of the payee: actual and frozen.
fn effects(change: &Change) -> [(i128, i128); 2] {
    let transaction = &change.transaction;
    let amount = transaction.amount;
    let invoice = transaction.operation == Operation::Invoice;
    match (transaction.opened, &transaction.resolution) {
        (Status::Error, _) => [(0, 0), (0, 0)],
        (Status::Success, _) if invoice => [(amount, 0), (0, 0)],
        (Status::Success, _) => [(-amount, 0), (amount, 0)],
        (Status::Created, None) if invoice => [(0, amount), (0, 0)],
        (Status::Created, None) => [(-amount, amount), (0, 0)],
        (Status::Created, Some(resolution)) => {
            let settled = if resolution.error.is_none() { resolution.amount } else { 0 };
            assert!(settled <= amount);
            let back = if invoice { settled } else { amount - settled };
            [(back, -amount), (settled, 0)]
        }
    }
}

/// Every chain counts 1, 2, 3..., its times never go back, and each balance is the one before plus its change.
fn check_chains(memory: &Memory) {
    let mut balances: HashMap<(WalletId, TickerId), Balance> = HashMap::new();
    let mut legs: HashMap<_, ()> = HashMap::new();
    for (change, ticker_id, posting) in memory.postings() {
        let transaction = &change.transaction;
        let payee = posting.leg % 2 == 1;
        let expected = if payee { transaction.to_wallet_id.unwrap() } else { transaction.wallet_id };
        assert_eq!(posting.wallet_id, expected);
        assert_eq!(posting.leg >= 2, transaction.resolution.is_some());
        assert!(legs.insert((transaction.id, posting.leg), ()).is_none(), "a leg is there twice");
        let balance = balances.entry((posting.wallet_id, ticker_id)).or_default();
        let (actual, frozen) = effects(change)[usize::from(payee)];
        let after = posting.after;
        assert_eq!(after.version, balance.version + 1);
        assert!(after.created_at >= balance.created_at);
        let decided_at =
            transaction.resolution.as_ref().map_or(transaction.created_at, |resolution| resolution.at);
        assert_eq!(after.created_at, decided_at, "a transaction and its postings are of one time");
        assert_eq!((after.actual, after.frozen), (balance.actual + actual, balance.frozen + frozen));
        assert!(after.actual >= 0 && after.frozen >= 0 && after.actual + after.frozen < LIMIT);
        assert_eq!(after.held, balance.held || transaction.opened != Status::Error);
        *balance = after;
    }
}

/// Money appears by invoices and disappears by withdrawals, and nowhere else.
fn check_sums(memory: &Memory, balances: &BTreeMap<(WalletId, TickerId), (i128, i128)>) {
    for ticker_id in [1, 2] {
        let of_ticker = balances.iter().filter(|((_, ticker), _)| *ticker == ticker_id);
        let held: i128 = of_ticker.map(|(_, (actual, frozen))| actual + frozen).sum();
        let changes = memory.changes.iter().filter(|change| change.transaction.ticker.id == ticker_id);
        let moved: i128 = changes
            .map(|change| {
                let [payer, payee] = effects(change);
                let both = if change.second.is_some() { payee } else { (0, 0) };
                let sum = payer.0 + payer.1 + both.0 + both.1;
                if change.transaction.operation == Operation::Transfer {
                    assert_eq!(sum, 0, "{change:?}");
                }
                sum
            })
            .sum();
        assert_eq!(moved, held);
    }
}

/// Whatever is to be sent again is there.
fn check_repeated(memory: &Memory, repeated: &[Repeated]) {
    for Repeated { transaction_id, resolved } in repeated {
        let mut of_it = memory.changes.iter().filter(|change| change.transaction.id == *transaction_id);
        assert!(
            of_it.any(|change| change.transaction.resolution.is_some() == *resolved),
            "{transaction_id} {resolved}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_do_what_the_model_does(plan in plan()) {
        let mut memory = memory();
        for round in played(&plan) {
            let applied = run(&mut memory, round.now, &round.groups);
            prop_assert_eq!(applied.outcomes.len(), round.outcomes.len());
            let commands = round.groups.iter().flat_map(Group::commands);
            for ((got, expected), command) in applied.outcomes.iter().zip(&round.outcomes).zip(commands) {
                prop_assert_eq!(got, expected, "{:?}", command);
            }
            prop_assert_eq!(&applied.repeated, &round.repeated);
            check_repeated(&memory, &applied.repeated);
            for (&(wallet_id, ticker_id), expected) in &round.balances {
                let balance = memory.wallet(wallet_id, None).get(&ticker_id).copied().unwrap_or_default();
                prop_assert_eq!((balance.actual, balance.frozen), *expected);
            }
            check_chains(&memory);
            check_sums(&memory, &round.balances);
        }
    }

    /// The same answers and the same postings, however a list is split into batches.
    #[test]
    fn batches_make_no_difference(plan in plan(), cuts in prop::collection::vec(any::<bool>(), 1..50)) {
        let (mut whole, mut split, mut single) = (memory(), memory(), memory());
        let mut cut = cuts.iter().cycle();
        for Round { now, groups, .. } in played(&plan) {
            let expected = run(&mut whole, now, &groups);
            let pieces = groups.chunk_by(|_, _| !*cut.next().unwrap());
            let splits = [(&mut split, pieces.collect::<Vec<_>>()), (&mut single, groups.chunks(1).collect())];
            for (memory, pieces) in splits {
                let parts: Vec<Applied> =
                    pieces.into_iter().map(|piece| run(memory, now, piece)).collect();
                let outcomes: Vec<_> = parts.iter().flat_map(|part| part.outcomes.clone()).collect();
                let repeated: Vec<_> = parts.iter().flat_map(|part| part.repeated.clone()).collect();
                prop_assert_eq!(&outcomes, &expected.outcomes);
                prop_assert_eq!(&repeated, &expected.repeated);
                prop_assert_eq!(&*memory, &whole);
            }
        }
    }
}

const OPENERS: [Operation; 3] = [Operation::Invoice, Operation::Withdraw, Operation::Transfer];

/// The lists are worth something: every operation gets every answer that it can get, also in groups.
#[test]
fn the_lists_reach_every_answer() {
    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<(Operation, bool, Option<ErrorCode>, bool), u32> = BTreeMap::new();
    let (mut groups_done, mut groups_failed) = (0, 0);
    for _ in 0..150 {
        for round in played(&plan().new_tree(&mut runner).unwrap().current()) {
            let mut outcomes = round.outcomes.iter();
            for group in &round.groups {
                let mut failed = false;
                for (command, outcome) in group.commands().iter().zip(&mut outcomes) {
                    let waits = command.movement().is_some_and(|movement| movement.pending.is_some());
                    let key = (command.operation(), waits, outcome.refusal(), outcome.replayed);
                    *seen.entry(key).or_default() += 1;
                    failed |= outcome.refusal().is_some();
                }
                match group {
                    Group::AllOrNone(commands) if commands.len() > 1 && failed => groups_failed += 1,
                    Group::AllOrNone(commands) if commands.len() > 1 => groups_done += 1,
                    _ => {}
                }
            }
        }
    }
    assert!(
        groups_done > 200 && groups_failed > 200,
        "{groups_done} groups were done, {groups_failed} failed"
    );
    for operation in Operation::ALL {
        let opens = OPENERS.contains(&operation);
        let ends = matches!(operation, Operation::Settle | Operation::Cancel | Operation::Expire);
        let codes = [codes_of(operation), vec![ErrorCode::BatchFailed]].concat();
        // What is recorded is given again.
        let again = codes.iter().filter(|code| match code {
            ErrorCode::AmountOutOfRange => opens && operation != Operation::Withdraw,
            ErrorCode::InsufficientFunds | ErrorCode::BatchFailed => opens,
            _ => false,
        });
        let again = again.map(|code| (Some(*code), true)).chain((opens || ends).then_some((None, true)));
        let fresh = codes.iter().map(|code| (Some(*code), false)).chain([(None, false)]);
        for (code, replayed) in fresh.chain(again) {
            for waits in [false, opens] {
                let times = seen.get(&(operation, waits, code, replayed)).copied().unwrap_or_default();
                assert!(times >= 2, "{operation} {waits} {code:?} {replayed}: {times}");
            }
        }
    }
}
