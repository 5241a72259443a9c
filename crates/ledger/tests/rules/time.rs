//! The chains: their numbers have no gap, and their times never go back, whatever the clock does.

use florin_ledger::{Change, Command, ErrorCode, Status, WalletId};

use crate::fixtures::*;

/// Wallet, number in the chain, seconds since the start.
type Steps = Vec<(WalletId, i64, u64)>;

fn steps(changes: &[Change]) -> Steps {
    let postings = changes.iter().flat_map(Change::postings);
    postings
        .map(|posting| {
            let seconds = posting.after.created_at.duration_since(at(0)).unwrap().as_secs();
            (posting.wallet_id, posting.after.version, seconds)
        })
        .collect()
}

#[test]
fn chains_are_numbered_one_by_one() {
    let mut book = Book::new();
    let commands = [
        invoice(1, 2, "USD", "1"),
        invoice(2, 2, "EUR", "1"),
        withdraw(3, 2, "USD", "5"),
        transfer(4, (1, 2), "USD", "1"),
        waits(transfer(5, (1, 2), "USD", "1")),
        settle(5),
        waits(invoice(6, 2, "USD", "1")),
        cancel(6),
        transfer(7, (1, 3), "USD", "1"),
    ];
    let expected = [
        (2, 1),
        (2, 1),
        (2, 2),
        (1, 8),
        (2, 3),
        (1, 9),
        (1, 10),
        (2, 4),
        (2, 5),
        (2, 6),
        // Refused: the payee has no room, and only the payer's chain says so.
        (1, 11),
    ];
    let mut one_by_one = book.clone();
    book.each(&commands);
    let numbers = |changes: &[Change]| -> Vec<(WalletId, i64)> {
        steps(changes).into_iter().map(|(wallet_id, version, _)| (wallet_id, version)).collect()
    };
    assert_eq!(numbers(&book.changes), expected);
    let mut changes = Vec::new();
    for command in &commands {
        one_by_one.one(command);
        changes.append(&mut one_by_one.changes);
    }
    assert_eq!(changes, book.changes);
}

/// Wallet 1 was last changed at 100, wallet 2 at 80; the clock says 50.
fn after_the_clock_went_back() -> Book {
    let mut book = Book::new();
    book.now = at(80);
    book.each(&[invoice(1, 2, "USD", "5"), waits(transfer(2, (2, 1), "USD", "1"))]);
    book.each(&[waits(transfer(3, (1, 2), "USD", "1"))]);
    book.now = at(100);
    book.each(&[invoice(4, 1, "USD", "1")]);
    book.now = at(50);
    book
}

#[test]
fn times_never_go_back_along_a_chain() {
    // The balance, then the time; of a transfer, the later one of both.
    let rows: Vec<(Command, Steps)> = vec![
        (invoice(9, 1, "USD", "1"), vec![(1, 10, 100)]),
        (invoice(9, 1, "EUR", "1"), vec![(1, 1, 50)]),
        (withdraw(9, 2, "USD", "1"), vec![(2, 3, 80)]),
        (withdraw(9, 2, "USD", "100"), vec![(2, 3, 80)]),
        (transfer(9, (1, 2), "USD", "1"), vec![(1, 10, 100), (2, 3, 100)]),
        (transfer(9, (2, 1), "USD", "1"), vec![(2, 3, 100), (1, 10, 100)]),
        (transfer(9, (2, 1), "USD", "100"), vec![(2, 3, 80)]),
        // A transfer that waits does not touch the payee.
        (waits(transfer(9, (2, 1), "USD", "1")), vec![(2, 3, 80)]),
        (cancel(2), vec![(2, 3, 80)]),
        (settle(2), vec![(2, 3, 100), (1, 10, 100)]),
        (settle(3), vec![(1, 10, 100), (2, 3, 100)]),
        (cancel(3), vec![(1, 10, 100)]),
    ];
    for (command, expected) in rows {
        let mut book = after_the_clock_went_back();
        book.one(&command);
        assert_eq!(steps(&book.changes), expected, "{command:?}");
        let transaction = &book.changes[0].transaction;
        let recorded_at = book.changes[0].first.after.created_at;
        let decided_at =
            transaction.resolution.as_ref().map_or(transaction.created_at, |resolution| resolution.at);
        assert_eq!(decided_at, recorded_at, "{command:?}");
        assert!(transaction.ended_at().is_none_or(|ended_at| ended_at == recorded_at), "{command:?}");
        // The clock is right again.
        book.now = at(107);
        book.one(&invoice(10, 1, "USD", "1"));
        assert_eq!(book.changes[0].transaction.created_at, book.now, "{command:?}");
    }
}

#[test]
fn a_timeout_counts_from_the_time_that_is_recorded() {
    let mut book = after_the_clock_went_back();
    assert_eq!(book.one(&waits_for(withdraw(9, 1, "USD", "1"), 30)), opened(9, Status::Created));
    let transaction = &book.changes[0].transaction;
    assert_eq!((transaction.created_at, transaction.expires_at), (at(100), Some(at(130))));
    book.now = at(129);
    assert_eq!(book.one(&expire(9)), refused(ErrorCode::NotExpired));
    book.now = at(130);
    assert_eq!(book.one(&expire(9)), released(9, ErrorCode::Expired));
    // The clock decides whether time is over, and what has ended stays ended when it goes back.
    book.now = at(0);
    assert_eq!(book.one(&expire(9)), again(released(9, ErrorCode::Expired)));
    assert_eq!(book.one(&settle(9)), refused(ErrorCode::AlreadyFinal));
}

#[test]
fn a_time_that_no_clock_can_show_is_never_reached() {
    let mut book = Book::new();
    book.one(&waits_for(invoice(1, 2, "USD", "1"), u64::MAX));
    assert_eq!(book.changes[0].transaction.expires_at, None);
    assert_eq!(book.one(&expire(1)), refused(ErrorCode::NotExpired));
}
