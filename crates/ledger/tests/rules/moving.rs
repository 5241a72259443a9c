//! What every step moves: actual and frozen of the payer and of the payee.

use florin_ledger::{Answer, Change, Command, Decimal, ErrorCode, Operation, Outcome, Resolution, Status};

use crate::fixtures::*;

use Operation::{Invoice, Transfer, Withdraw};

/// Wallet, part, actual, frozen: in cents after the posting.
type Postings = &'static [(i64, i16, i128, i128)];

/// The payer (or only wallet) is 1 with 10.00, the payee is 2 with nothing; the amount is 4.00.
const AT_ONCE: [(Operation, Postings); 3] = [
    (Invoice, &[(1, 0, 1400, 0)]),
    (Withdraw, &[(1, 0, 600, 0)]),
    (Transfer, &[(1, 0, 600, 0), (2, 1, 400, 0)]),
];

/// After it was opened, settled, settled for 1.50, and released.
const WAITING: [(Operation, [Postings; 4]); 3] = [
    (Invoice, [&[(1, 0, 1000, 400)], &[(1, 2, 1400, 0)], &[(1, 2, 1150, 0)], &[(1, 2, 1000, 0)]]),
    (Withdraw, [&[(1, 0, 600, 400)], &[(1, 2, 600, 0)], &[(1, 2, 850, 0)], &[(1, 2, 1000, 0)]]),
    (
        Transfer,
        [
            &[(1, 0, 600, 400)],
            &[(1, 2, 600, 0), (2, 3, 400, 0)],
            &[(1, 2, 850, 0), (2, 3, 150, 0)],
            &[(1, 2, 1000, 0)],
        ],
    ),
];

fn opener(of: Operation) -> Opener {
    OPENERS.into_iter().find(|(operation, _)| *operation == of).unwrap().1
}

#[test]
fn at_once() {
    for (operation, postings) in AT_ONCE {
        let mut book = Book::new();
        assert_eq!(book.one(&opener(operation)(1, (1, 2), "USD", "4")), opened(1, Status::Success));
        assert_eq!(book.postings(), postings, "{operation}");
        assert!(book.changes.iter().flat_map(Change::postings).all(|posting| posting.after.held));
    }
}

/// The ends, the answers to them, and what is kept of them.
fn ends() -> [(Command, Outcome, usize, Resolution); 6] {
    let resolution =
        |error, amount| Resolution { error, amount, at: at(60), requested_by: Some(ENDER.into()) };
    let done = |amount| resolution(None, amount);
    let not_done = |error| resolution(Some(error), 400);
    let too_late = Resolution { requested_by: None, ..not_done(ErrorCode::Expired) };
    [
        (settle(1), settled(1, "4"), 1, done(400)),
        (settle_part(1, "4.00"), settled(1, "4"), 1, done(400)),
        (settle_part(1, "1.5"), settled(1, "1.5"), 2, done(150)),
        (cancel(1), released(1, ErrorCode::Cancelled), 3, not_done(ErrorCode::Cancelled)),
        (expire(1), released(1, ErrorCode::Expired), 3, not_done(ErrorCode::Expired)),
        // Too late: ended as expired, by nobody, and refused.
        (settle(1), refused(ErrorCode::AlreadyFinal), 3, too_late),
    ]
}

#[test]
fn waiting_and_ended() {
    for (operation, postings) in WAITING {
        for (number, (end, answer, column, kept)) in ends().into_iter().enumerate() {
            let what = format!("{operation}, then {end:?}");
            let mut book = Book::new();
            let timeout = if number < 4 { 61 } else { 60 };
            let open = waits_for(opener(operation)(1, (1, 2), "USD", "4"), timeout);
            assert_eq!(book.one(&open), opened(1, Status::Created), "{what}");
            assert_eq!(book.postings(), postings[0], "{what}");
            let as_opened = book.changes[0].transaction.clone();

            book.now = at(60);
            assert_eq!(book.one(&end), answer, "{what}");
            assert_eq!(book.postings(), postings[column], "{what}");
            let after = &book.changes[0].transaction;
            assert_eq!(after.resolution.as_ref(), Some(&kept), "{what}");
            assert_eq!(after.as_opened(), as_opened, "nothing else changed: {what}");
            assert_eq!((after.error(), after.ended_at()), (kept.error, Some(at(60))));
            let status = if kept.error.is_some() { Status::Error } else { Status::Success };
            assert_eq!(after.status(), status, "{what}");
            assert_eq!(after.moved(), kept.amount, "{what}");
            assert_eq!(book.state.transactions[&id(1)], *after, "{what}");
            assert_eq!(book.repeated, []);
        }
    }
}

#[test]
fn what_waits_does_not_mix_with_other_things_that_wait() {
    let mut book = Book::new();
    let outcomes = book.each(&[
        waits(withdraw(1, 1, "USD", "4")),
        waits(invoice(2, 1, "USD", "2")),
        waits(transfer(3, (1, 2), "USD", "6")),
        // What is frozen cannot be withdrawn.
        withdraw(4, 1, "USD", "0.01"),
        waits(invoice(5, 2, "USD", "1")),
        // Nor what is only expected.
        withdraw(6, 2, "USD", "0.01"),
    ]);
    assert_eq!(outcomes[3], recorded(4, ErrorCode::InsufficientFunds));
    assert_eq!(outcomes[5], recorded(6, ErrorCode::InsufficientFunds));
    assert_eq!((book.cents(1), book.cents(2)), ((0, 1200), (0, 100)));
    book.one(&settle_part(2, "0.5"));
    assert_eq!((book.cents(1), book.cents(2)), ((50, 1000), (0, 100)));
    book.one(&settle_part(3, "1"));
    assert_eq!((book.cents(1), book.cents(2)), ((550, 400), (100, 100)));
    book.one(&cancel(1));
    assert_eq!((book.cents(1), book.cents(2)), ((950, 0), (100, 100)));
    book.one(&settle(5));
    assert_eq!((book.cents(1), book.cents(2)), ((950, 0), (200, 0)));
}

#[test]
fn other_tickers_and_wallets_stay_as_they_are() {
    let mut book = Book::new();
    book.each(&[invoice(1, 1, "EUR", "7"), invoice(2, 2, "EUR", "7")]);
    let before = book.clone();
    book.each(&[waits(transfer(3, (1, 2), "USD", "6")), settle(3), transfer(4, (2, 1), "USD", "1")]);
    for (wallet_id, wallet) in &before.state.wallets {
        assert_eq!(book.state.wallets[wallet_id].get(&2), wallet.get(&2));
        if *wallet_id > 2 {
            assert_eq!(book.state.wallets[wallet_id], *wallet);
        }
    }
}

#[test]
fn a_balance_is_there_from_the_first_thing_it_held() {
    let held = |book: &mut Book, wallet_id| match book.one(&balance(wallet_id)).answer {
        Answer::Balance(lines) => !lines.is_empty(),
        other => panic!("no balances: {other:?}"),
    };
    let mut book = Book::new();
    book.each(&[withdraw(1, 2, "USD", "1"), transfer(2, (2, 1), "USD", "1")]);
    assert!(!held(&mut book, 2), "a refusal opens no balance");
    book.one(&waits(transfer(3, (1, 2), "USD", "1")));
    assert!(!held(&mut book, 2), "nothing has come yet");
    let mut settled = book.clone();
    settled.one(&settle(3));
    assert!(held(&mut settled, 2));
    book.each(&[cancel(3), waits(invoice(4, 2, "USD", "1"))]);
    assert!(held(&mut book, 2), "what is expected shows");
    book.one(&cancel(4));
    assert!(held(&mut book, 2), "a balance that once held something stays");
    assert_eq!(book.cents(2), (0, 0));
    let Answer::Balance(lines) = book.one(&balance(2)).answer else { unreachable!() };
    assert_eq!((lines[0].actual, lines[0].frozen), (Decimal::from_minor(0, usd().scale), lines[0].actual));
}
