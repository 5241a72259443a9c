//! Groups: all of their commands are applied, or none.

use florin_ledger::{Command, ErrorCode, Group, Outcome, Repeated, Status};

use crate::fixtures::*;

use ErrorCode::*;

/// Everything that can be part of a group and succeeds in [`book`] in this order.
fn good() -> Vec<Command> {
    vec![
        invoice(1, 1, "USD", "1"),
        withdraw(2, 1, "USD", "2"),
        waits(transfer(3, (1, 2), "USD", "3")),
        settle_part(3, "1"),
        waits_for(withdraw(4, 1, "USD", "1"), 60),
        settle(20),
        transfer(5, (2, 1), "USD", "0.50"),
        balance(1),
        transaction(3),
        Command::History(query(2)),
        cancel(21),
    ]
}

/// 20 and 21 wait, 22 was done at once, 23 was settled for 1.00.
fn book() -> Book {
    let mut book = Book::new();
    book.each(&[
        waits(invoice(20, 1, "USD", "4")),
        waits(withdraw(21, 1, "USD", "4")),
        invoice(22, 1, "USD", "1"),
        waits(invoice(23, 1, "USD", "2")),
        settle_part(23, "1"),
    ]);
    book
}

/// Balances, open holds and resolved ones stay as they were when nothing but refusals was recorded.
fn assert_unchanged(before: &Book, after: &Book, what: &str) {
    for wallet_id in 1..5 {
        assert_eq!(before.cents(wallet_id), after.cents(wallet_id), "{what}");
        assert_eq!(before.balance(wallet_id).held, after.balance(wallet_id).held, "{what}");
    }
    for (id, transaction) in &before.state.transactions {
        assert_eq!(after.state.transactions.get(id), Some(transaction), "{what}");
    }
    // What is there beyond that are refusals, and the chains have no gap.
    for transaction in after.state.transactions.values() {
        let known = before.state.transactions.contains_key(&transaction.id);
        assert!(known || transaction.status() == Status::Error, "{what}");
    }
    let mut wallets = before.state.wallets.clone();
    for change in &after.changes {
        assert_eq!((change.first.leg, change.second), (0, None), "{what}");
        let wallet = wallets.get_mut(&change.first.wallet_id).unwrap();
        let balance = wallet.entry(change.transaction.ticker.id).or_default();
        assert_eq!(change.first.after.version, balance.version + 1, "{what}");
        *balance = change.first.after;
    }
    for (wallet_id, wallet) in &after.state.wallets {
        let written = wallet.iter().filter(|(_, balance)| balance.version > 0);
        assert!(written.eq(&wallets[wallet_id]), "{what}: wallet {wallet_id}");
    }
}

#[test]
fn a_unit_that_succeeds_is_as_if_each_were_alone() {
    let (mut whole, mut alone) = (book(), book());
    assert_eq!(whole.whole(&good()), alone.each(&good()));
    assert!(whole.changes.len() == 8 && whole.changes == alone.changes);
    assert_eq!(whole.state.wallets, alone.state.wallets);
    assert_eq!(whole.state.transactions, alone.state.transactions);
    // And again: the same answers, and nothing new.
    let replayed = whole.whole(&good());
    assert_eq!(replayed, alone.each(&good()));
    assert_eq!((&*whole.changes, &whole.repeated), (&[][..], &alone.repeated));
    assert_eq!(whole.repeated.len(), 8);
    assert!(whole.whole(&[]).is_empty());
}

/// What each of the good ones comes to when another one is refused.
fn failed(command: &Command) -> Outcome {
    match command.movement() {
        Some(movement) => recorded(movement.identity.transaction_id.as_u128(), BatchFailed),
        None => refused(BatchFailed),
    }
}

/// What makes a group fail, and what that comes to.
fn bad() -> Vec<(Command, Outcome)> {
    vec![
        (withdraw(9, 2, "USD", "100"), recorded(9, InsufficientFunds)),
        (waits(transfer(9, (2, 1), "USD", "100")), recorded(9, InsufficientFunds)),
        (invoice(9, 3, "USD", "1"), recorded(9, AmountOutOfRange)),
        (invoice(9, 2, "USD", "0"), refused(AmountNotPositive)),
        (transfer(9, (2, 2), "USD", "1"), refused(SameWallet)),
        (invoice(9, 99, "USD", "1"), refused(UnknownWallet)),
        (invoice(9, 2, "usd", "1"), refused(UnknownTicker)),
        (invoice(9, 2, "EUR", "0.5"), refused(AmountTooPrecise)),
        (invoice(22, 2, "EUR", "1"), refused(IdentityReused)),
        (settle(99), refused(UnknownTransaction)),
        (cancel(22), refused(AlreadyFinal)),
        (settle(23), refused(AlreadyFinal)),
        (settle_part(20, "4.01"), refused(ExceedsPending)),
        (expire(21), refused(NotExpired)),
        (balance(99), refused(UnknownWallet)),
        (transaction(99), refused(UnknownTransaction)),
        (Command::History(query(99)), refused(UnknownWallet)),
    ]
}

#[test]
fn one_refusal_at_any_place_fails_them_all() {
    for (bad, comes_to) in bad() {
        for place in 0..=good().len() {
            let what = format!("{bad:?} at {place}");
            let mut commands = good();
            // An end of what has ended meanwhile is refused for another reason: see the other tests.
            let early = place <= 5 || !matches!(bad, Command::Resolve { .. });
            commands.insert(if early { place } else { 0 }, bad.clone());
            let expected: Vec<Outcome> = commands
                .iter()
                .map(|command| if *command == bad { comes_to.clone() } else { failed(command) })
                .collect();
            let before = book();
            let mut book = before.clone();
            assert_eq!(book.whole(&commands), expected, "{what}");
            assert_eq!(
                book.changes.len(),
                good_openers() + usize::from(comes_to == recorded(9, code(&comes_to)))
            );
            assert_unchanged(&before, &book, &what);
            let asked_again = |outcome: &Outcome| matches!(code(outcome), AlreadyFinal);
            let repeated: Vec<Repeated> =
                if asked_again(&comes_to) && bad == settle(23) { vec![resolution(23)] } else { vec![] };
            assert_eq!(book.repeated, repeated, "{what}");
            replays_the_same(book, &commands, &expected, &what);
        }
    }
}

fn good_openers() -> usize {
    good().iter().filter(|command| command.movement().is_some()).count()
}

fn code(outcome: &Outcome) -> ErrorCode {
    outcome.refusal().unwrap()
}

/// Also when it could be done by now: what was answered stands.
fn replays_the_same(mut book: Book, commands: &[Command], expected: &[Outcome], what: &str) {
    let expected: Vec<Outcome> = commands
        .iter()
        .zip(expected)
        .map(|(command, outcome)| match command.movement() {
            // Recorded, so that it is told from a refusal given for the first time.
            Some(_)
                if matches!(
                    outcome.answer,
                    florin_ledger::Answer::Refused { transaction_id: Some(_), .. }
                ) =>
            {
                again(outcome.clone())
            }
            _ => outcome.clone(),
        })
        .collect();
    book.each(&[invoice(30, 2, "USD", "1000"), withdraw(31, 3, "USD", "1000")]);
    let before = book.clone();
    for _ in 0..2 {
        assert_eq!(book.whole(commands), expected, "again: {what}");
        assert_eq!(book.changes, [], "again: {what}");
        assert_eq!(book.state.transactions, before.state.transactions, "again: {what}");
    }
    // A part of it, sent alone, gets the answer of the whole.
    for (command, outcome) in
        commands.iter().zip(&expected).filter(|(command, _)| command.movement().is_some())
    {
        assert_eq!(book.one(command), *outcome, "alone: {what}");
    }
}

#[test]
fn the_neighbours_of_a_failed_unit_see_nothing_of_it() {
    let mut book = Book::new();
    let fails = vec![
        invoice(1, 2, "USD", "5"),
        invoice(1, 2, "USD", "5"),
        waits(withdraw(2, 1, "USD", "5")),
        withdraw(3, 2, "USD", "7"),
    ];
    let outcomes = book
        .groups(&[
            Group::One(invoice(10, 2, "USD", "1")),
            Group::AllOrNone(fails),
            Group::One(withdraw(11, 2, "USD", "1.01")),
            Group::AllOrNone(vec![withdraw(12, 2, "USD", "1"), withdraw(13, 1, "USD", "10")]),
            Group::One(balance(2)),
        ])
        .unwrap();
    let expected = [
        opened(10, Status::Success),
        recorded(1, BatchFailed),
        again(recorded(1, BatchFailed)),
        recorded(2, BatchFailed),
        recorded(3, InsufficientFunds),
        recorded(11, InsufficientFunds),
        opened(12, Status::Success),
        opened(13, Status::Success),
    ];
    assert_eq!(outcomes[..8], expected);
    assert_eq!(book.repeated, [beginning(1)]);
    assert_eq!((book.cents(1), book.cents(2)), ((0, 0), (0, 0)));
    let ids: Vec<u128> = book.changes.iter().map(|change| change.transaction.id.as_u128()).collect();
    assert_eq!(ids, [10, 1, 2, 3, 11, 12, 13]);
    assert!(ids.iter().all(|number| book.state.transactions.contains_key(&id(*number))));
    assert_eq!(book.balance(2).version, 5);
    assert_eq!(book.balance(1).version, 9);
    assert_eq!(book.state.transactions[&id(2)].expires_at, None);
}

#[test]
fn one_identity_twice_in_a_unit() {
    let twice = [invoice(1, 2, "USD", "5"), invoice(1, 2, "USD", "5")];
    let mut book = Book::new();
    let done = opened(1, Status::Success);
    assert_eq!(book.whole(&twice), [done.clone(), again(done)]);
    assert_eq!((book.changes.len(), &*book.repeated), (1, &[beginning(1)][..]));
    assert_eq!(book.cents(2), (500, 0));

    // For two different things: the first one has it, also when the group fails for that.
    let reused = [invoice(1, 2, "USD", "5"), invoice(1, 2, "USD", "6")];
    let mut book = Book::new();
    assert_eq!(book.whole(&reused), [recorded(1, BatchFailed), refused(IdentityReused)]);
    assert_eq!(book.cents(2), (0, 0));
    assert_eq!(book.whole(&reused), [again(recorded(1, BatchFailed)), refused(IdentityReused)]);
    assert_eq!(book.repeated, [beginning(1)]);
}

#[test]
fn what_an_earlier_request_did_keeps_its_answer_in_a_unit_that_fails() {
    let before = book();
    let mut book = before.clone();
    let group = [
        invoice(22, 1, "USD", "1"),
        settle_part(23, "1"),
        waits(invoice(23, 1, "USD", "2")),
        waits(withdraw(21, 1, "USD", "4")),
        settle(23),
        settle(21),
        expire(21),
        withdraw(2, 1, "USD", "1000"),
    ];
    let expected = [
        again(opened(22, Status::Success)),
        again(settled(23, "1")),
        again(opened(23, Status::Created)),
        again(opened(21, Status::Created)),
        refused(AlreadyFinal),
        // Was done, and undone.
        refused(BatchFailed),
        // 21 waits again, but what the group found is what made it fail.
        refused(AlreadyFinal),
        recorded(2, InsufficientFunds),
    ];
    let repeated = [beginning(22), resolution(23), beginning(23), beginning(21), resolution(23)];
    assert_eq!(book.whole(&group), expected);
    assert_eq!(book.repeated, repeated);
    assert_unchanged(&before, &book, "earlier answers");

    let expected: Vec<Outcome> = expected
        .into_iter()
        .map(|it| if it == recorded(2, InsufficientFunds) { again(it) } else { it })
        .collect();
    assert_eq!(book.whole(&group), expected);
    assert_eq!(book.repeated, [&repeated[..], &[beginning(2)]].concat());
    assert_eq!(book.changes, []);
}

#[test]
fn opened_and_ended_in_a_unit_that_fails() {
    let bad = withdraw(9, 1, "USD", "1000");
    let rows: Vec<Vec<Command>> = vec![
        vec![waits(invoice(1, 2, "USD", "5")), settle(1), bad.clone()],
        vec![bad.clone(), waits(invoice(1, 2, "USD", "5")), settle(1), settle(1), cancel(1)],
        vec![waits_for(transfer(1, (1, 2), "USD", "5"), 60), cancel(1), cancel(1), bad.clone()],
        // What is wrong with the end means nothing, for there is nothing to end.
        vec![waits(invoice(1, 2, "USD", "5")), settle_part(1, "6")],
        vec![waits(invoice(1, 2, "USD", "5")), settle(1), cancel(1)],
        vec![waits(invoice(1, 2, "USD", "5")), expire(1), settle(1)],
        vec![settle(1), waits(invoice(1, 2, "USD", "5"))],
        vec![invoice(1, 2, "USD", "5"), settle(1)],
    ];
    for commands in rows {
        let before = Book::new();
        let mut book = before.clone();
        let expected: Vec<Outcome> = commands
            .iter()
            .map(|command| if *command == bad { recorded(9, InsufficientFunds) } else { failed(command) })
            .collect();
        let what = format!("{commands:?}");
        assert_eq!(book.whole(&commands), expected, "{what}");
        assert_unchanged(&before, &book, &what);
        assert_eq!(book.repeated, [], "what was undone is not there to be repeated: {what}");
        replays_the_same(book.clone(), &commands, &expected, &what);
        // Alone, the end is refused for what it is.
        assert_eq!(book.one(&settle(1)), refused(AlreadyFinal));
    }
    // It could not even be opened, and nothing is recorded: there is no such transaction.
    let mut book = Book::new();
    let commands = [waits(invoice(1, 99, "USD", "5")), settle(1)];
    assert_eq!(book.whole(&commands), [refused(UnknownWallet), refused(BatchFailed)]);
    assert_eq!(book.changes, []);
}

#[test]
fn ends_of_a_failed_unit_can_be_asked_for_again() {
    let mut book = book();
    let group = [settle_part(20, "1"), cancel(21), withdraw(1, 2, "USD", "1")];
    let expected = [refused(BatchFailed), refused(BatchFailed), recorded(1, InsufficientFunds)];
    assert_eq!(book.whole(&group), expected);
    assert_eq!(book.changes.len(), 1);
    // A refusal that is only repeated fails the group as well.
    let [first, second, third] = expected;
    assert_eq!(book.whole(&group), [first, second, again(third)]);
    assert_eq!(book.changes, []);
    assert_eq!(book.one(&settle_part(20, "1")), settled(20, "1"));
    assert_eq!(book.one(&settle(21)), settled(21, "4"));
    // By now one has ended as asked for, and the other has not.
    let expected = [again(settled(20, "1")), refused(AlreadyFinal), again(recorded(1, InsufficientFunds))];
    assert_eq!(book.whole(&group), expected);
    assert_eq!(book.repeated, [resolution(20), resolution(21), beginning(1)]);
}

#[test]
fn what_is_overdue_waits_on_when_the_unit_that_found_it_fails() {
    let mut book = Book::new();
    book.one(&waits_for(invoice(1, 2, "USD", "5"), 60));
    book.now = at(60);
    let before = book.clone();
    assert_eq!(
        book.whole(&[invoice(2, 2, "USD", "1"), settle(1)]),
        [recorded(2, BatchFailed), refused(AlreadyFinal)]
    );
    assert_unchanged(&before, &book, "overdue");
    assert_eq!(book.repeated, []);
    // An expiry in a group is like any other end.
    assert_eq!(book.whole(&[expire(1), invoice(3, 2, "USD", "1")])[0], released(1, Expired));
    assert_eq!(book.cents(2), (100, 0));
}
