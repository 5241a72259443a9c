//! Balance and transaction: what stands at their place among the other commands, and at a time.

use std::collections::BTreeMap;
use std::time::SystemTime;

use florin_ledger::{
    Answer, Balance, BalanceLine, BalanceQuery, Command, ErrorCode, HistoryQuery, Outcome, Status,
};

use crate::fixtures::*;

use ErrorCode::*;

#[test]
fn every_refusal_in_order_of_precedence() {
    let ticker = |name: &str| Some(name.to_owned());
    let balance = |wallet_id, ticker| BalanceQuery { wallet_id, ticker, at: None };
    let history = |wallet_id, ticker| HistoryQuery { ticker, ..query(wallet_id) };
    let rows = [
        (Command::Balance(balance(99, ticker("usd"))), UnknownWallet),
        (Command::Balance(balance(1, ticker("usd"))), UnknownTicker),
        (Command::History(history(99, ticker("usd"))), UnknownWallet),
        (Command::History(history(1, ticker("usd"))), UnknownTicker),
        (transaction(1), UnknownTransaction),
    ];
    for (command, code) in rows {
        assert!(codes_of(command.operation()).contains(&code));
        let mut book = Book::new();
        let before = book.state.wallets.clone();
        assert_eq!(book.one(&command), refused(code), "{command:?}");
        assert_eq!((book.changes, book.repeated, book.state.wallets), (vec![], vec![], before));
    }
}

/// `ticker actual frozen`, in the order in which they come.
fn lines(outcome: &Outcome) -> Vec<String> {
    let Outcome { replayed: false, answer: Answer::Balance(lines) } = outcome else {
        panic!("no balances: {outcome:?}")
    };
    let line = |line: &BalanceLine| format!("{} {} {}", line.ticker, line.actual, line.frozen);
    lines.iter().map(line).collect()
}

#[test]
fn a_balance_is_what_the_commands_before_it_left() {
    let mut book = Book::new();
    let outcomes = book.each(&[
        balance(2),
        withdraw(1, 2, "USD", "1"),
        balance(2),
        invoice(2, 2, "USD", "1.50"),
        waits(invoice(3, 2, "EUR", "7")),
        balance(2),
        waits(withdraw(4, 2, "USD", "0.25")),
        settle(3),
        balance(2),
        Command::Balance(BalanceQuery { wallet_id: 2, ticker: Some("USD".to_owned()), at: None }),
        withdraw(5, 2, "EUR", "7"),
        balance(2),
        balance(1),
    ]);
    let nothing: [&str; 0] = [];
    assert_eq!(lines(&outcomes[0]), nothing);
    assert_eq!(lines(&outcomes[2]), nothing, "a refused withdrawal opens no balance");
    assert_eq!(lines(&outcomes[5]), ["EUR 0 7", "USD 1.5 0"], "sorted by the name of the ticker");
    assert_eq!(lines(&outcomes[8]), ["EUR 7 0", "USD 1.25 0.25"]);
    assert_eq!(lines(&outcomes[9]), ["USD 1.25 0.25"]);
    assert_eq!(lines(&outcomes[11]), ["EUR 0 0", "USD 1.25 0.25"], "what was emptied shows as zero");
    assert_eq!(lines(&outcomes[12]), ["USD 10 0"]);
}

fn balance_at(wallet_id: i64, at: SystemTime) -> Command {
    Command::Balance(BalanceQuery { wallet_id, ticker: None, at: Some(at) })
}

#[test]
fn a_balance_as_it_was() {
    let mut book = Book::new();
    book.now = at(100);
    // What the database would say: until 40 a refusal only, then something; of EUR nothing.
    let balance = |version, actual, held| Balance { version, actual, frozen: 5, held, created_at: at(0) };
    book.state.past.insert((1, at(40)), BTreeMap::from([(usd().id, balance(1, 0, false))]));
    book.state.past.insert((1, at(50)), BTreeMap::from([(usd().id, balance(2, 300, true))]));
    book.state.past.insert((1, at(99)), BTreeMap::from([(usd().id, balance(3, 900, true))]));
    let at_times = [at(30), at(40), at(50), at(99), at(100), at(101)].map(|time| balance_at(1, time));
    let read = |book: &mut Book| book.each(&at_times).iter().map(lines).collect::<Vec<_>>();
    let nothing: Vec<String> = Vec::new();
    // The balance is from before all of them: it is what was there then.
    assert_eq!(read(&mut book), vec![vec!["USD 10 0".to_owned()]; 6]);

    book.each(&[invoice(1, 1, "USD", "1"), invoice(2, 1, "EUR", "1")]);
    let (past, usd, both) = ("USD 3 0.05", "USD 9 0.05", ["EUR 1 0".to_owned(), "USD 11 0".to_owned()]);
    let expected = [
        nothing.clone(),
        nothing.clone(),
        vec![past.to_owned()],
        vec![usd.to_owned()],
        both.to_vec(),
        both.to_vec(),
    ];
    assert_eq!(read(&mut book), expected);
    assert_eq!(lines(&book.one(&balance_at(2, at(50)))), nothing);
    assert_eq!(book.one(&balance_at(99, at(50))), refused(UnknownWallet));

    // Within one list as well: what is decided now is not yet there a moment before.
    book.now = at(200);
    let outcomes = book.each(&[withdraw(3, 1, "EUR", "1"), balance_at(1, at(200)), balance_at(1, at(199))]);
    assert_eq!(lines(&outcomes[1]), ["EUR 0 0", "USD 11 0"]);
    assert_eq!(lines(&outcomes[2]), ["USD 11 0"], "of EUR nothing is known of then");
}

/// After a clock went back, the changes of one list may be of different times.
#[test]
fn a_balance_as_it_was_between_two_changes_of_a_list() {
    let mut book = Book::new();
    book.now = at(100);
    book.one(&invoice(1, 1, "USD", "1"));
    book.now = at(50);
    let outcomes = book.each(&[
        invoice(2, 2, "USD", "1"),
        waits(invoice(3, 2, "USD", "2")),
        invoice(4, 2, "EUR", "3"),
        transfer(5, (1, 2), "USD", "4"),
        balance_at(2, at(49)),
        balance_at(2, at(50)),
        balance_at(2, at(99)),
        balance_at(2, at(100)),
    ]);
    assert_eq!(book.balance(2).created_at, at(100));
    let nothing: [&str; 0] = [];
    assert_eq!(lines(&outcomes[4]), nothing);
    assert_eq!(lines(&outcomes[5]), ["EUR 3 0", "USD 1 2"]);
    assert_eq!(lines(&outcomes[6]), ["EUR 3 0", "USD 1 2"]);
    assert_eq!(lines(&outcomes[7]), ["EUR 3 0", "USD 5 2"]);
}

#[test]
fn a_transaction_is_as_the_commands_before_it_left_it() {
    let mut book = Book::new();
    book.now = at(3);
    let open = but(waits_for(transfer(1, (1, 2), "USD", "4"), 60), |movement| {
        movement.metadata = Some("{}".into());
    });
    let outcomes = book.each(&[
        transaction(1),
        open,
        transaction(1),
        settle_part(1, "1"),
        transaction(1),
        withdraw(2, 2, "EUR", "1"),
        transaction(2),
    ]);
    assert_eq!(outcomes[0], refused(UnknownTransaction));
    let read = |index: usize| match &outcomes[index] {
        Outcome { replayed: false, answer: Answer::Transaction(transaction) } => (**transaction).clone(),
        other => panic!("no transaction: {other:?}"),
    };
    assert_eq!(read(2), book.changes[0].transaction);
    assert_eq!((read(2).status(), read(2).expires_at), (Status::Created, Some(at(63))));
    assert_eq!(read(4), book.changes[1].transaction);
    assert_eq!((read(4).status(), read(4).moved(), read(4).amount), (Status::Success, 100, 400));
    assert_eq!(read(4).as_opened(), read(2));
    assert_eq!((read(6).status(), read(6).error()), (Status::Error, Some(InsufficientFunds)));
    assert_eq!(book.repeated, []);
}
