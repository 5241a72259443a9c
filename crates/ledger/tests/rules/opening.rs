//! Invoice, withdraw, transfer: every refusal, what it leaves behind, and what a retry gets.

use std::collections::BTreeSet;
use std::time::Duration;

use florin_ledger::{
    Balance, Change, Command, ErrorCode, LIMIT, Operation, Pending, Posting, Status, Transaction,
};

use crate::fixtures::*;

use Operation::{Invoice, Transfer, Withdraw};

/// A request that is refused, for each of the operations.
struct Row<'a> {
    of: &'a [Operation],
    wallets: (i64, i64),
    ticker: &'a str,
    amount: &'a str,
    code: ErrorCode,
}

const ALL: &[Operation] = &[Invoice, Withdraw, Transfer];
const DEBITS: &[Operation] = &[Withdraw, Transfer];
/// Above all that can be written in minor units.
const HUGE: &str = "9999999999999999999999999999999999999.001";
/// All that fits into a balance in cents.
const MOST: &str = "9999999999999999999999999999999999.99";

/// Refused for what the request says, whatever the balances are. Each row breaks its own rule and as many of the later
/// ones as a request can; identity 1 is taken.
#[rustfmt::skip]
const BY_ITSELF: &[Row] = {
    use ErrorCode::*;
    &[
        Row { of: ALL, wallets: (99, 99), ticker: "usd", amount: "-0.001", code: AmountNotPositive },
        Row { of: ALL, wallets: (99, 99), ticker: "usd", amount: "-1e40", code: AmountNotPositive },
        Row { of: ALL, wallets: (99, 99), ticker: "usd", amount: "0", code: AmountNotPositive },
        Row { of: &[Transfer], wallets: (99, 99), ticker: "usd", amount: HUGE, code: SameWallet },
        Row { of: &[Transfer], wallets: (1, 1), ticker: "USD", amount: "1", code: SameWallet },
        Row { of: ALL, wallets: (99, 2), ticker: "usd", amount: HUGE, code: UnknownWallet },
        Row { of: &[Transfer], wallets: (2, 99), ticker: "usd", amount: HUGE, code: UnknownWallet },
        Row { of: ALL, wallets: (2, 3), ticker: "usd", amount: HUGE, code: UnknownTicker },
        Row { of: ALL, wallets: (2, 3), ticker: "USD", amount: HUGE, code: AmountTooPrecise },
        Row { of: ALL, wallets: (2, 3), ticker: "USD", amount: "0.001", code: AmountTooPrecise },
        Row { of: ALL, wallets: (2, 3), ticker: "EUR", amount: "0.1", code: AmountTooPrecise },
        Row { of: ALL, wallets: (2, 3), ticker: "USD", amount: "1e34", code: AmountOutOfRange },
        Row { of: ALL, wallets: (2, 3), ticker: "EUR", amount: "1e36", code: AmountOutOfRange },
        Row { of: ALL, wallets: (2, 3), ticker: "USD", amount: MOST, code: IdentityReused },
        Row { of: &[Invoice], wallets: (3, 2), ticker: "USD", amount: "0.01", code: IdentityReused },
    ]
};

/// Refused for the balance, under a fresh identity.
#[rustfmt::skip]
const BY_BALANCE: &[Row] = {
    use ErrorCode::*;
    &[
        Row { of: DEBITS, wallets: (2, 3), ticker: "USD", amount: "0.01", code: InsufficientFunds },
        Row { of: DEBITS, wallets: (1, 3), ticker: "USD", amount: "10.01", code: InsufficientFunds },
        Row { of: DEBITS, wallets: (1, 2), ticker: "EUR", amount: "1", code: InsufficientFunds },
        Row { of: &[Transfer], wallets: (1, 3), ticker: "USD", amount: "0.01", code: AmountOutOfRange },
        Row { of: &[Transfer], wallets: (1, 4), ticker: "USD", amount: "5.01", code: AmountOutOfRange },
        Row { of: &[Invoice], wallets: (3, 2), ticker: "USD", amount: "0.01", code: AmountOutOfRange },
        Row { of: &[Invoice], wallets: (4, 2), ticker: "USD", amount: "5.01", code: AmountOutOfRange },
    ]
};

/// At once, waiting, and waiting for a while.
fn ways(command: &Command) -> [Command; 3] {
    [command.clone(), waits(command.clone()), waits_for(command.clone(), 60)]
}

#[test]
fn every_refusal_in_order_of_precedence() {
    for (operation, open) in OPENERS {
        let of = |rows: &'static [Row]| rows.iter().filter(move |row| row.of.contains(&operation));
        let codes: BTreeSet<ErrorCode> = of(BY_ITSELF).chain(of(BY_BALANCE)).map(|row| row.code).collect();
        assert_eq!(codes, codes_of(operation).into_iter().collect(), "the rows of {operation}");
        assert!(of(BY_ITSELF).map(|row| row.code).is_sorted(), "the rows of {operation} are in order");
        let book = || {
            let mut book = Book::new();
            book.one(&invoice(1, 2, "EUR", "1"));
            book
        };
        for Row { wallets, ticker, amount, code, .. } in of(BY_ITSELF) {
            for command in ways(&open(1, *wallets, ticker, amount)) {
                refused_by_itself(book(), &command, *code);
            }
        }
        for Row { wallets, ticker, amount, code, .. } in of(BY_BALANCE) {
            for command in ways(&open(9, *wallets, ticker, amount)) {
                refused_by_balance(book(), &command, *code);
            }
        }
    }
}

#[test]
fn every_code_is_given_by_some_operation() {
    use ErrorCode::*;
    let given: BTreeSet<ErrorCode> = Operation::ALL.into_iter().flat_map(codes_of).collect();
    let elsewhere = [TooLarge, UnknownOperation, Malformed, BatchFailed, Cancelled, Expired];
    for code in ErrorCode::ALL {
        assert!(given.contains(&code) != elsewhere.contains(&code), "{code}");
    }
}

/// It leaves nothing behind.
fn refused_by_itself(mut book: Book, command: &Command, code: ErrorCode) {
    let before = book.clone();
    assert_eq!(book.one(command), refused(code), "{command:?}");
    assert_eq!((book.changes, book.repeated), (vec![], vec![]), "{command:?}");
    assert_eq!(book.state.wallets, before.state.wallets, "{command:?}");
    assert_eq!(book.state.transactions, before.state.transactions, "{command:?}");
}

/// It leaves a transaction in status Error and one posting, after which the balance is what it was.
fn refused_by_balance(mut book: Book, command: &Command, code: ErrorCode) {
    let command = &but(command.clone(), |movement| movement.metadata = Some("{\"a\":1}".into()));
    let before = book.clone();
    let movement = command.movement().unwrap();
    let wallet_id = movement.wallet_id;
    let ticker = book.state.tickers.get(&movement.ticker).unwrap().clone();
    assert_eq!(book.one(command), recorded(9, code), "{command:?}");

    let balance = before.state.wallets[&wallet_id].get(&ticker.id).copied().unwrap_or_default();
    let transaction = Transaction {
        id: id(9),
        operation: command.operation(),
        wallet_id,
        to_wallet_id: command.wallet_ids().nth(1),
        amount: movement.amount.to_minor(ticker.scale).unwrap(),
        ticker: ticker.clone(),
        opened: Status::Error,
        refusal: Some(code),
        created_at: at(0),
        expires_at: None,
        metadata: Some("{\"a\":1}".into()),
        requested_by: Some(OPENER.into()),
        request_hash: movement.identity.request_hash,
        redelivered: false,
        resolution: None,
    };
    assert_eq!((transaction.status(), transaction.error()), (Status::Error, Some(code)));
    assert_eq!(transaction.ended_at(), Some(at(0)));
    let after = Balance { version: balance.version + 1, created_at: at(0), ..balance };
    let first = Posting { wallet_id, leg: 0, after };
    assert_eq!(book.changes, [Change { transaction, first, second: None }], "{command:?}");
    assert_eq!(book.repeated, []);
    let mut wallets = before.state.wallets;
    wallets.get_mut(&wallet_id).unwrap().insert(ticker.id, after);
    assert_eq!(book.state.wallets, wallets, "nothing else changed: {command:?}");

    // By now it could be done: what was answered stands all the same.
    if code == ErrorCode::InsufficientFunds {
        book.one(&invoice(20, wallet_id, &ticker.name, "50"));
    }
    book.each(&[3, 4].map(|full| withdraw(20 + full, full.try_into().unwrap(), "USD", "1000")));
    let once = book.clone();
    assert_eq!(book.each(&[command.clone(), command.clone()]), vec![again(recorded(9, code)); 2]);
    assert_eq!((book.changes, book.repeated), (vec![], vec![beginning(9); 2]));
    assert_eq!(book.state.wallets, once.state.wallets);
}

#[test]
fn what_is_done_is_recorded_and_repeated() {
    for (operation, open) in OPENERS {
        for command in ways(&open(9, (1, 2), "USD", "10.00")) {
            let mut command = but(command, |movement| movement.metadata = Some("{ \"b\" : [] }".into()));
            command.identity_mut().unwrap().redelivered = true;
            let mut book = Book::new();
            book.now = at(5);
            let pending = command.movement().unwrap().pending;
            let status = if pending.is_some() { Status::Created } else { Status::Success };
            assert_eq!(book.one(&command), opened(9, status));
            let timeout = pending.and_then(|pending: Pending| pending.timeout);
            let transaction = Transaction {
                id: id(9),
                operation,
                wallet_id: 1,
                to_wallet_id: (operation == Transfer).then_some(2),
                ticker: usd(),
                amount: 1000,
                opened: status,
                refusal: None,
                created_at: at(5),
                expires_at: timeout.map(|timeout: Duration| at(5) + timeout),
                metadata: Some("{ \"b\" : [] }".into()),
                requested_by: Some(OPENER.into()),
                request_hash: command.movement().unwrap().identity.request_hash,
                redelivered: true,
                resolution: None,
            };
            assert_eq!((transaction.status(), transaction.error()), (status, None));
            assert_eq!(transaction.ended_at(), pending.is_none().then(|| at(5)));
            assert_eq!(book.changes.len(), 1);
            assert_eq!(book.changes[0].transaction, transaction);
            assert_eq!(book.state.transactions[&id(9)], transaction);
            assert_eq!(book.repeated, []);

            // A retry may be marked as redelivered or not: that is not part of the request.
            command.identity_mut().unwrap().redelivered = false;
            let once = book.clone();
            assert_eq!(book.one(&command), again(opened(9, status)));
            assert_eq!((book.changes, book.repeated), (vec![], vec![beginning(9)]));
            assert_eq!(book.state.wallets, once.state.wallets);
            assert_eq!(book.state.transactions, once.state.transactions);
        }
    }
}

#[test]
fn both_balances_together_stay_below_the_limit() {
    let mut book = Book::new();
    // actual 0, frozen all but one cent; then that cent.
    let almost = "9999999999999999999999999999999999.98";
    assert_eq!(book.one(&waits(invoice(1, 2, "USD", almost))), opened(1, Status::Created));
    assert_eq!(book.one(&invoice(2, 2, "USD", "0.02")), recorded(2, ErrorCode::AmountOutOfRange));
    assert_eq!(book.one(&transfer(3, (1, 2), "USD", "0.02")), recorded(3, ErrorCode::AmountOutOfRange));
    assert_eq!(book.one(&invoice(4, 2, "USD", "0.01")), opened(4, Status::Success));
    assert_eq!(book.cents(2), (1, LIMIT - 2));
    for command in
        ways(&invoice(5, 2, "USD", "0.01")).into_iter().chain(ways(&transfer(5, (1, 2), "USD", "0.01")))
    {
        assert_eq!(book.clone().one(&command), recorded(5, ErrorCode::AmountOutOfRange), "{command:?}");
    }
    // The hold can be settled, for nothing is added.
    assert_eq!(book.one(&settle(1)), settled(1, almost));
    assert_eq!(book.cents(2), (LIMIT - 1, 0));
    // And all of it can be frozen.
    assert_eq!(book.one(&waits(withdraw(6, 2, "USD", MOST))), opened(6, Status::Created));
    assert_eq!(book.cents(2), (0, LIMIT - 1));
    assert_eq!(book.one(&invoice(7, 2, "USD", "0.01")), recorded(7, ErrorCode::AmountOutOfRange));
    assert_eq!(book.one(&cancel(6)), released(6, ErrorCode::Cancelled));
    assert_eq!(book.cents(2), (LIMIT - 1, 0));
}

#[test]
fn a_retry_within_one_list_is_a_retry() {
    for (_, open) in OPENERS {
        let command = open(1, (1, 2), "USD", "6");
        let mut book = Book::new();
        let outcomes = book.each(&[command.clone(), command.clone(), open(1, (1, 2), "USD", "7")]);
        let done = opened(1, Status::Success);
        assert_eq!(outcomes, [done.clone(), again(done), refused(ErrorCode::IdentityReused)]);
        assert_eq!((book.changes.len(), book.repeated), (1, vec![beginning(1)]));
    }
}

#[test]
fn a_bad_neighbour_changes_nothing() {
    let good = [invoice(1, 1, "USD", "3"), withdraw(2, 1, "USD", "13"), settle(3)];
    let start = |book: &mut Book| book.one(&waits(invoice(3, 2, "USD", "1")));
    let (mut alone, mut mixed) = (Book::new(), Book::new());
    start(&mut alone);
    start(&mut mixed);
    let outcomes = alone.each(&good);
    let bad = [invoice(7, 1, "USD", "-1"), invoice(8, 99, "USD", "1"), settle(9), expire(3)];
    let both: Vec<Command> = bad.iter().zip(&good).flat_map(|(bad, good)| [bad, good]).cloned().collect();
    let got = mixed.each(&both[..6]);
    assert_eq!(got.into_iter().skip(1).step_by(2).collect::<Vec<_>>(), outcomes);
    assert_eq!(mixed.changes, alone.changes);
    assert_eq!(mixed.state.wallets, alone.state.wallets);
}
