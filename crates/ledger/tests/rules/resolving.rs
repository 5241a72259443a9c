//! Settle, cancel, expire: every refusal, the same end again, another end after it, and what time does.

use std::collections::BTreeSet;
use std::time::Duration;

use florin_ledger::{Change, Command, Conflict, ErrorCode, Group, Operation, Outcome, Status};

use crate::fixtures::*;

use ErrorCode::*;

const SETTLED: u128 = 1;
const CANCELLED: u128 = 2;
const DONE_AT_ONCE: u128 = 3;
const REFUSED: u128 = 4;
/// Its time was over at 60.
const OVERDUE: u128 = 5;
/// Has time until 1000.
const IN_TIME: u128 = 6;
/// Waits for ever. The payee has no room for any of it.
const PAYEE_FULL: u128 = 7;
const UNKNOWN: u128 = 99;
/// Above all that can be written in minor units.
const HUGE: &str = "9999999999999999999999999999999999999.001";

/// Each of the above is an amount of 4.00. The time is 100.
fn book() -> Book {
    let mut book = Book::new();
    book.each(&[
        waits(invoice(SETTLED, 1, "USD", "4")),
        settle_part(SETTLED, "1"),
        waits(invoice(CANCELLED, 1, "USD", "4")),
        cancel(CANCELLED),
        invoice(DONE_AT_ONCE, 1, "USD", "4"),
        withdraw(REFUSED, 2, "USD", "4"),
        waits_for(withdraw(OVERDUE, 1, "USD", "4"), 60),
        waits_for(transfer(IN_TIME, (1, 2), "USD", "4"), 1000),
        waits(transfer(PAYEE_FULL, (1, 4), "USD", "4")),
        invoice(20, 4, "USD", "5"),
    ]);
    assert_eq!((book.cents(1), book.cents(2)), ((300, 1200), (0, 0)));
    book.now = at(100);
    book
}

#[test]
fn every_refusal_in_order_of_precedence() {
    // Each row breaks its own rule and as many of the later ones as a request can.
    let settle_rows: &[(u128, Option<&str>, ErrorCode)] = &[
        (UNKNOWN, Some("-0.001"), AmountNotPositive),
        (UNKNOWN, Some("-1e40"), AmountNotPositive),
        (PAYEE_FULL, Some("0"), AmountNotPositive),
        (UNKNOWN, Some(HUGE), UnknownTransaction),
        (UNKNOWN, None, UnknownTransaction),
        (CANCELLED, Some(HUGE), AmountTooPrecise),
        (DONE_AT_ONCE, Some(HUGE), AmountTooPrecise),
        (OVERDUE, Some("0.001"), AmountTooPrecise),
        (CANCELLED, Some("1e34"), AmountOutOfRange),
        (REFUSED, Some("1e34"), AmountOutOfRange),
        (OVERDUE, Some("1e34"), AmountOutOfRange),
        (CANCELLED, Some("4.01"), AlreadyFinal),
        (SETTLED, Some("4.01"), AlreadyFinal),
        (SETTLED, None, AlreadyFinal),
        (DONE_AT_ONCE, Some("4.01"), AlreadyFinal),
        (DONE_AT_ONCE, Some("4"), AlreadyFinal),
        (REFUSED, None, AlreadyFinal),
        (OVERDUE, Some("4.01"), AlreadyFinal),
        (OVERDUE, None, AlreadyFinal),
        (PAYEE_FULL, Some("4.01"), ExceedsPending),
        (IN_TIME, Some("4.01"), ExceedsPending),
        (PAYEE_FULL, Some("0.01"), AmountOutOfRange),
        (PAYEE_FULL, None, AmountOutOfRange),
    ];
    let settles = settle_rows.iter().map(|(id, amount, code)| {
        let command = amount.map_or_else(|| settle(*id), |amount| settle_part(*id, amount));
        (command, *id, *code)
    });
    let others = [(cancel as fn(u128) -> Command, SETTLED), (expire, SETTLED), (expire, CANCELLED)]
        .into_iter()
        .chain([cancel, expire].into_iter().flat_map(|end| [(end, DONE_AT_ONCE), (end, REFUSED)]))
        .chain([(cancel as fn(u128) -> Command, OVERDUE)])
        .map(|(end, id)| (end(id), id, AlreadyFinal))
        .chain([cancel, expire].map(|end| (end(UNKNOWN), UNKNOWN, UnknownTransaction)))
        .chain([IN_TIME, PAYEE_FULL].map(|id| (expire(id), id, NotExpired)));
    let rows: Vec<(Command, u128, ErrorCode)> = settles.chain(others).collect();
    for operation in [Operation::Settle, Operation::Cancel, Operation::Expire] {
        let codes: BTreeSet<ErrorCode> =
            rows.iter().filter(|row| row.0.operation() == operation).map(|row| row.2).collect();
        assert_eq!(codes, codes_of(operation).into_iter().collect(), "the rows of {operation}");
    }
    for (command, id, code) in rows {
        leaves_nothing(&command, id, code);
    }
}

/// Nothing is left behind: no posting, no record. Only what is overdue ends at the first touch.
fn leaves_nothing(command: &Command, number: u128, code: ErrorCode) {
    let mut book = book();
    let before = book.clone();
    assert_eq!(book.one(command), refused(code), "{command:?}");
    let has_ended = book.state.transactions.get(&id(number)).is_some_and(|found| found.resolution.is_some());
    let asked_again = has_ended && code == AlreadyFinal && number != OVERDUE;
    // What has ended may have ended in an attempt of this very request: its event is sent again.
    let repeated = if asked_again { vec![resolution(number)] } else { vec![] };
    assert_eq!(book.repeated, repeated, "{command:?}");
    if number == OVERDUE && code == AlreadyFinal {
        assert_eq!(book.postings(), [(1, 2, 700, 800)], "{command:?}");
        assert_eq!(book.state.transactions[&id(number)].error(), Some(Expired), "{command:?}");
        assert_eq!(book.one(&expire(OVERDUE)), again(released(OVERDUE, Expired)), "{command:?}");
    } else {
        assert_eq!(book.changes, [], "{command:?}");
        assert_eq!(book.state.wallets, before.state.wallets, "{command:?}");
        assert_eq!(book.state.transactions, before.state.transactions, "{command:?}");
    }
    assert_eq!(book.one(command), refused(code), "a retry: {command:?}");
}

/// An amount of 4.00 that waits until 60, by each opener.
fn waiting() -> [(Command, Book); 3] {
    OPENERS.map(|(_, open)| {
        let mut book = Book::new();
        let command = waits_for(open(1, (1, 2), "USD", "4"), 60);
        assert_eq!(book.one(&command), opened(1, Status::Created));
        (command, book)
    })
}

/// An end, its answer, and what it comes to: ends that come to the same are the same.
fn ends() -> [(Command, Outcome, &'static str); 6] {
    [
        (settle(1), settled(1, "4"), "all"),
        (settle_part(1, "4.00"), settled(1, "4"), "all"),
        (settle_part(1, "1.5"), settled(1, "1.5"), "a part"),
        (settle_part(1, "0.01"), settled(1, "0.01"), "another part"),
        (cancel(1), released(1, Cancelled), "cancelled"),
        (expire(1), released(1, Expired), "expired"),
    ]
}

#[test]
fn the_same_end_is_a_retry_and_another_is_refused() {
    for (open, waiting) in waiting() {
        for (first, answer, comes_to) in ends() {
            let mut book = waiting.clone();
            book.now = at(if comes_to == "expired" { 60 } else { 59 });
            assert_eq!(book.one(&first), answer);
            let ended = book.clone();
            // At once, and long after it would have expired.
            for (second, answer, also_comes_to) in ends().into_iter().chain(ends()) {
                let expected = if comes_to == also_comes_to { again(answer) } else { refused(AlreadyFinal) };
                assert_eq!(book.one(&second), expected, "{open:?}, {first:?}, {second:?}");
                assert_eq!((&*book.changes, &*book.repeated), (&[][..], &[resolution(1)][..]));
                book.now += Duration::from_secs(10);
            }
            // The request that opened it gets the answer that it got, whatever became of it.
            assert_eq!(book.one(&open), again(opened(1, Status::Created)));
            assert_eq!((&*book.changes, &*book.repeated), (&[][..], &[beginning(1)][..]));
            assert_eq!(book.state.wallets, ended.state.wallets);
            assert_eq!(book.state.transactions, ended.state.transactions);
        }
    }
}

#[test]
fn time_is_over_at_its_moment_not_before() {
    let late = [settle(1), settle_part(1, "1"), cancel(1), settle_part(1, "4.01")];
    for (_, waiting) in waiting() {
        let mut book = waiting.clone();
        book.now = at(60) - Duration::from_nanos(1);
        assert_eq!(book.one(&expire(1)), refused(NotExpired));
        assert_eq!(book.changes, []);
        assert!(book.clone().one(&settle(1)).refusal().is_none());
        assert!(book.clone().one(&cancel(1)).refusal().is_none());
        for now in [at(60), at(61)] {
            let mut expired = waiting.clone();
            expired.now = now;
            assert_eq!(expired.one(&by_nobody(expire(1))), released(1, Expired));
            for command in &late {
                let mut touched = waiting.clone();
                touched.now = now;
                assert_eq!(touched.one(command), refused(AlreadyFinal), "{command:?}");
                assert_eq!(touched.changes, expired.changes, "as if it had expired before: {command:?}");
                assert_eq!(touched.state.wallets, expired.state.wallets);
                assert_eq!(touched.repeated, []);
            }
        }
    }
}

#[test]
fn what_waits_for_ever_never_expires() {
    for (_, open) in OPENERS {
        let mut book = Book::new();
        book.one(&waits(open(1, (1, 2), "USD", "4")));
        book.now = at(10_000_000_000);
        assert_eq!(book.one(&expire(1)), refused(NotExpired));
        assert_eq!(book.one(&settle(1)), settled(1, "4"));
    }
}

#[test]
fn a_payee_without_room_can_be_paid_later() {
    let mut book = book();
    let waits = book.cents(1);
    for _ in 0..2 {
        assert_eq!(book.one(&settle(PAYEE_FULL)), refused(AmountOutOfRange));
    }
    assert_eq!(book.cents(1), waits);
    book.one(&withdraw(30, 4, "USD", "1.25"));
    assert_eq!(book.one(&settle_part(PAYEE_FULL, "1.26")), refused(AmountOutOfRange));
    assert_eq!(book.one(&settle_part(PAYEE_FULL, "1.25")), settled(PAYEE_FULL, "1.25"));
    assert_eq!(book.cents(1), (waits.0 + 275, waits.1 - 400));
    assert_eq!(book.cents(4).0, florin_ledger::LIMIT - 1);
}

#[test]
fn opened_and_ended_in_one_list() {
    let mut book = Book::new();
    let outcomes = book.each(&[
        waits(transfer(1, (1, 2), "USD", "4")),
        settle_part(1, "3"),
        withdraw(2, 2, "USD", "3"),
        settle_part(1, "3"),
        cancel(1),
        transaction(1),
    ]);
    assert_eq!(outcomes[1], settled(1, "3"));
    assert_eq!(outcomes[2], opened(2, Status::Success));
    assert_eq!(outcomes[3], again(settled(1, "3")));
    assert_eq!(outcomes[4], refused(AlreadyFinal));
    let statuses: Vec<Status> = book.changes.iter().map(|change| change.transaction.status()).collect();
    assert_eq!(statuses, [Status::Created, Status::Success, Status::Success]);
    assert_eq!(book.changes.iter().flat_map(Change::postings).count(), 4);
    assert_eq!(book.repeated, [resolution(1); 2]);
}

#[test]
fn a_tail_that_is_older_than_the_transaction_contradicts_it() {
    for (_, waiting) in waiting() {
        for (end, _, comes_to) in ends() {
            let mut stale = waiting.clone();
            stale.now = at(if comes_to == "expired" { 60 } else { 0 });
            // As it was one cent before the transaction was opened.
            stale.state.wallets.get_mut(&1).unwrap().get_mut(&1).unwrap().frozen -= 1;
            let groups =
                [Group::One(end.clone()), Group::AllOrNone(vec![end.clone(), invoice(9, 1, "USD", "-1")])];
            for group in groups {
                assert_eq!(stale.clone().groups(&[group]).err(), Some(Conflict), "{end:?}");
            }
            // What needs no balance does not see it.
            assert_eq!(stale.clone().one(&settle_part(1, "-1")), refused(AmountNotPositive));
            stale.state.wallets.get_mut(&1).unwrap().get_mut(&1).unwrap().frozen += 1;
            assert!(stale.one(&end).refusal().is_none());
        }
    }
}
