//! The rules by tables: every refusal, in order of precedence, and what each one leaves behind.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::time::SystemTime;

use florin_ledger::{
    Answer, Command, Decimal, ErrorCode, Identity, Movement, OnExisting, Outcome, Scale, State, Status, Tail,
    Ticker, Tickers, apply,
};
use uuid::Uuid;

const USD: Ticker = Ticker { id: 1, scale: scale(2) };

const fn scale(places: u8) -> Scale {
    Scale::new(places).expect("a test's scale")
}

/// Wallet 1 holds 10.00 USD, wallet 2 nothing, wallet 3 just below the limit.
fn state() -> State {
    let full = Tail { version: 4, actual: florin_ledger::LIMIT - 1, frozen: 0, held: true };
    let ten = Tail { version: 7, actual: 1000, frozen: 0, held: true };
    State {
        tickers: [("USD".to_owned(), USD), ("EUR".to_owned(), Ticker { id: 2, scale: scale(0) })]
            .into_iter()
            .collect::<Tickers>()
            .into(),
        wallets: [(1, BTreeMap::from([(1, ten)])), (2, BTreeMap::new()), (3, BTreeMap::from([(1, full)]))]
            .into(),
        ..State::default()
    }
}

fn movement(id: u128, wallet_id: i64, ticker: &str, amount: &str) -> Movement {
    let amount: Decimal = amount.parse().unwrap();
    let identity = Identity {
        transaction_id: Uuid::from_u128(id),
        request_hash: [u8::try_from(amount.to_string().len()).unwrap(); 16],
        on_existing: OnExisting::Replay,
        redelivered: false,
    };
    Movement { identity, wallet_id, ticker: ticker.to_owned(), amount }
}

fn withdraw(id: u128, wallet_id: i64, ticker: &str, amount: &str) -> Command {
    Command::Withdraw(movement(id, wallet_id, ticker, amount))
}

fn invoice(id: u128, wallet_id: i64, ticker: &str, amount: &str) -> Command {
    Command::Invoice(movement(id, wallet_id, ticker, amount))
}

fn code(outcome: &Outcome) -> Option<ErrorCode> {
    match outcome.answer {
        Answer::Refused { code, .. } => Some(code),
        _ => None,
    }
}

#[test]
fn every_refusal_in_order_of_precedence() {
    use ErrorCode::*;
    let huge = "9".repeat(37);
    // Each row breaks its own rule and as many of the later ones as a request can.
    let rows: Vec<(Command, ErrorCode, bool)> = vec![
        (withdraw(9, 99, "usd", "-0.001"), AmountNotPositive, false),
        (withdraw(9, 99, "usd", "0"), AmountNotPositive, false),
        (withdraw(9, 99, "usd", "0.001"), UnknownWallet, false),
        (withdraw(9, 2, "usd", "0.001"), UnknownTicker, false),
        (withdraw(9, 2, "USD", &format!("{huge}.001")), AmountTooPrecise, false),
        (withdraw(9, 2, "EUR", "0.1"), AmountTooPrecise, false),
        (withdraw(9, 2, "USD", &huge), AmountOutOfRange, false),
        (withdraw(1, 2, "USD", "500000"), IdentityReused, false),
        (withdraw(9, 2, "USD", "0.01"), InsufficientFunds, true),
        (withdraw(9, 1, "USD", "10.01"), InsufficientFunds, true),
        (invoice(9, 3, "USD", "0.01"), AmountOutOfRange, true),
    ];
    let by_rules: Vec<ErrorCode> = rows.iter().map(|row| row.1).collect();
    for code in ErrorCode::ALL {
        let before_the_rules = matches!(code, TooLarge | UnknownOperation | Malformed);
        assert!(before_the_rules || by_rules.contains(&code), "no row for {code}");
    }
    for (command, expected, recorded) in rows {
        let mut state = state();
        apply(&mut state, SystemTime::UNIX_EPOCH, [&invoice(1, 2, "EUR", "1")]);
        let before = state.clone();
        let applied = apply(&mut state, SystemTime::UNIX_EPOCH, [&command]);
        assert_eq!(code(&applied.outcomes[0]), Some(expected), "{command:?}");
        assert_eq!(applied.postings.len(), usize::from(recorded), "{command:?}");
        for posting in &applied.postings {
            let tail = before.wallets[&posting.wallet_id].get(&1).copied().unwrap_or_default();
            assert_eq!(posting.after, Tail { version: tail.version + 1, ..tail }, "the balance stays");
            assert_eq!((posting.status, posting.error), (Status::Error, Some(expected)));
        }
        if !recorded {
            assert_eq!(state.wallets, before.wallets);
        }
    }
}

#[test]
fn a_retry_gets_the_first_answer_and_changes_nothing() {
    let mut state = state();
    let refused = withdraw(1, 2, "USD", "1");
    let credit = invoice(2, 2, "USD", "5");
    let first = apply(&mut state, SystemTime::UNIX_EPOCH, [&refused, &credit]);
    // The money is there by now: the refusal stands all the same.
    let again = apply(&mut state, SystemTime::UNIX_EPOCH, [&refused, &credit, &credit]);
    assert!(again.postings.is_empty());
    let answers = |outcomes: &[Outcome]| outcomes.iter().map(|o| o.answer.clone()).collect::<Vec<_>>();
    assert_eq!(answers(&again.outcomes[..2]), answers(&first.outcomes));
    assert!(again.outcomes.iter().all(|outcome| outcome.replayed));
    assert!(first.outcomes.iter().all(|outcome| !outcome.replayed));
}

#[test]
fn a_retry_within_one_list_is_a_retry() {
    let credit = invoice(1, 2, "USD", "5");
    let applied = apply(&mut state(), SystemTime::UNIX_EPOCH, [&credit, &credit]);
    assert_eq!(applied.postings.len(), 1);
    assert_eq!(applied.outcomes.iter().map(|o| o.replayed).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_balance_sees_what_came_before_it_and_nothing_that_was_only_refused() {
    let read = Command::Balance { wallet_id: 2 };
    let commands =
        [read.clone(), withdraw(1, 2, "USD", "1"), read.clone(), invoice(2, 2, "USD", "1.50"), read.clone()];
    let commands = commands.iter().chain([&commands[1]]);
    let applied = apply(&mut state(), SystemTime::UNIX_EPOCH, commands);
    let lines = |index: usize| -> Vec<String> {
        match &applied.outcomes[index].answer {
            Answer::Balance(lines) => {
                lines.iter().map(|line| format!("{} {} {}", line.ticker, line.actual, line.frozen)).collect()
            }
            other => panic!("not a balance: {other:?}"),
        }
    };
    assert_eq!(lines(0), Vec::<String>::new());
    assert_eq!(lines(2), Vec::<String>::new(), "a refused withdrawal opens no balance");
    assert_eq!(lines(4), ["USD 1.5 0"]);
}

#[test]
fn a_balance_that_was_emptied_shows_zero() {
    let commands = [withdraw(1, 1, "USD", "10"), Command::Balance { wallet_id: 1 }];
    let applied = apply(&mut state(), SystemTime::UNIX_EPOCH, &commands);
    assert!(
        matches!(&applied.outcomes[1].answer, Answer::Balance(lines) if lines[0].actual.to_string() == "0")
    );
}

#[test]
fn a_bad_neighbour_changes_nothing() {
    let good = [invoice(1, 1, "USD", "3"), withdraw(2, 1, "USD", "13")];
    let alone = apply(&mut state(), SystemTime::UNIX_EPOCH, &good);
    let bad = [invoice(7, 1, "USD", "-1"), invoice(8, 5, "USD", "1")];
    let mixed = [&bad[0], &good[0], &bad[1], &good[1]];
    let mixed = apply(&mut state(), SystemTime::UNIX_EPOCH, mixed);
    assert_eq!(mixed.postings, alone.postings);
    assert_eq!(mixed.outcomes[1], alone.outcomes[0]);
    assert_eq!(mixed.outcomes[3], alone.outcomes[1]);
}
