//! History: what each posting says, the filters, and the pages.

use std::time::Duration;

use florin_ledger::{
    Answer, Change, Command, Cursor, Decimal, Entry, ErrorCode, HistoryQuery, Operation, Outcome, Page,
    Posting, Status,
};

use crate::fixtures::*;

fn page(outcome: &Outcome) -> Page {
    match outcome {
        Outcome { replayed: false, answer: Answer::History(page) } => page.clone(),
        other => panic!("no history: {other:?}"),
    }
}

/// What a history says after these commands, which are one second apart, in one list each.
fn history_of(commands: &[Command], query: &HistoryQuery) -> Vec<Entry> {
    let mut book = Book::new();
    let mut changes = Vec::new();
    for command in commands {
        book.one(command);
        changes.append(&mut book.changes);
        book.now += Duration::from_secs(1);
    }
    query.extend(Page::default(), &changes).entries
}

#[test]
fn an_entry_for_every_posting() {
    let commands = [
        invoice(1, 1, "USD", "2.50"),
        withdraw(2, 1, "USD", "100"),
        waits(transfer(3, (1, 2), "USD", "4")),
        settle_part(3, "1"),
        waits(invoice(4, 1, "USD", "1")),
        cancel(4),
        transfer(5, (2, 1), "USD", "0.50"),
    ];
    use {Operation::*, Status::*};
    // Transaction, operation, status, error, amount, actual, frozen, the other wallet; the newest comes first.
    let payer = [
        (5, Transfer, Success, None, "0.5", "12", "0", Some(2)),
        (4, Invoice, Error, Some(ErrorCode::Cancelled), "1", "11.5", "0", None),
        (4, Invoice, Created, None, "1", "11.5", "1", None),
        (3, Transfer, Success, None, "1", "11.5", "0", Some(2)),
        (3, Transfer, Created, None, "4", "8.5", "4", Some(2)),
        (2, Withdraw, Error, Some(ErrorCode::InsufficientFunds), "100", "12.5", "0", None),
        (1, Invoice, Success, None, "2.5", "12.5", "0", None),
    ];
    let payee = [
        (5, Transfer, Success, None, "0.5", "0.5", "0", Some(1)),
        (3, Transfer, Success, None, "1", "1", "0", Some(1)),
    ];
    let decimal = |text: &str| -> Decimal { text.parse().unwrap() };
    for (wallet_id, rows, last) in [(1, &payer[..], 14), (2, &payee[..], 2)] {
        let entries = history_of(&commands, &query(wallet_id));
        assert_eq!(entries.len(), rows.len());
        for (entry, row) in entries.iter().zip(rows) {
            assert_eq!(entry.transaction_id, id(row.0));
            assert_eq!((entry.operation, entry.status, entry.error), (row.1, row.2, row.3));
            let amounts = [entry.amount, entry.actual, entry.frozen];
            assert_eq!(amounts, [row.4, row.5, row.6].map(decimal), "{entry:?}");
            assert_eq!((entry.counterparty_wallet_id, &*entry.ticker), (row.7, "USD"));
        }
        assert_eq!(entries[0].cursor, Cursor { created_at: at(6), ticker_id: 1, version: last });
    }
}

#[test]
fn filters() {
    // One second apart: USD 0, EUR 1 (refused), USD 2 (waits), EUR 3, USD 4 (settled).
    let commands = [
        invoice(1, 2, "USD", "1"),
        withdraw(2, 2, "EUR", "1"),
        waits(invoice(3, 2, "USD", "1")),
        invoice(4, 2, "EUR", "1"),
        settle(3),
    ];
    let all = query(2);
    let cursor = |seconds, ticker_id, version| Some(Cursor { created_at: at(seconds), ticker_id, version });
    let rows: [(HistoryQuery, &[u64]); 16] = [
        (all.clone(), &[4, 3, 2, 1, 0]),
        (HistoryQuery { ticker: Some("USD".to_owned()), ..all.clone() }, &[4, 2, 0]),
        (HistoryQuery { ticker: Some("EUR".to_owned()), ..all.clone() }, &[3, 1]),
        (HistoryQuery { status: Some(Status::Created), ..all.clone() }, &[2]),
        (HistoryQuery { status: Some(Status::Success), ..all.clone() }, &[4, 3, 0]),
        (HistoryQuery { status: Some(Status::Error), ..all.clone() }, &[1]),
        (HistoryQuery { from: Some(at(2)), ..all.clone() }, &[4, 3, 2]),
        (HistoryQuery { until: Some(at(2)), ..all.clone() }, &[1, 0]),
        (HistoryQuery { from: Some(at(1)), until: Some(at(3)), ..all.clone() }, &[2, 1]),
        (HistoryQuery { from: Some(at(3)), until: Some(at(3)), ..all.clone() }, &[]),
        (HistoryQuery { before: cursor(3, 2, 2), ..all.clone() }, &[2, 1, 0]),
        // Of the same time, but a later ticker or version.
        (HistoryQuery { before: cursor(2, 2, 0), ..all.clone() }, &[2, 1, 0]),
        (HistoryQuery { before: cursor(2, 1, 3), ..all.clone() }, &[2, 1, 0]),
        (HistoryQuery { before: cursor(2, 1, 2), ..all.clone() }, &[1, 0]),
        (HistoryQuery { limit: 2, from: Some(at(1)), ..all.clone() }, &[4, 3]),
        (query(1), &[]),
    ];
    for (query, expected) in rows {
        let entries = history_of(&commands, &query);
        let seconds: Vec<u64> = entries
            .iter()
            .map(|entry| entry.cursor.created_at.duration_since(at(0)).unwrap().as_secs())
            .collect();
        assert_eq!(seconds, expected, "{query:?}");
    }
}

#[test]
fn one_time_is_ordered_by_ticker_and_version() {
    let mut book = Book::new();
    book.each(&[invoice(1, 2, "EUR", "1"), invoice(2, 2, "USD", "1"), invoice(3, 2, "EUR", "1")]);
    let entries = query(2).extend(Page::default(), &book.changes).entries;
    let places: Vec<_> = entries.iter().map(|entry| (entry.cursor.ticker_id, entry.cursor.version)).collect();
    assert_eq!(places, [(2, 2), (2, 1), (1, 1)]);
}

/// Five invoices, one a second, and their entries, the oldest first.
fn five() -> (Vec<Change>, Vec<Entry>) {
    let mut book = Book::new();
    let mut changes = Vec::new();
    for number in 0..5 {
        book.one(&invoice(number, 2, "USD", "1"));
        changes.append(&mut book.changes);
        book.now += Duration::from_secs(1);
    }
    let entries = changes.iter().map(|change| Entry::new(change, &change.first)).collect();
    (changes, entries)
}

#[test]
fn a_page_ends_at_its_limit_and_says_where_the_next_begins() {
    let (changes, entries) = five();
    let newest_first: Vec<Entry> = entries.iter().rev().cloned().collect();
    for limit in 1..=6 {
        let mut query = HistoryQuery { limit, ..query(2) };
        let mut seen = Vec::new();
        loop {
            let page = query.extend(Page::default(), &changes);
            assert!(page.entries.len() <= usize::from(limit));
            assert!(seen.len() < 5, "pages go on");
            seen.extend(page.entries.iter().cloned());
            let Some(next) = page.next else { break };
            assert_eq!(page.entries.len(), usize::from(limit), "a full page");
            assert_eq!(Some(next), page.entries.last().map(|entry| entry.cursor));
            query.before = Some(next);
        }
        assert_eq!(seen, newest_first, "pages of {limit}");
    }
}

#[test]
fn a_page_of_the_database_and_what_is_newer_come_to_one_page() {
    let (changes, entries) = five();
    for limit in 1..=6_u16 {
        let query = HistoryQuery { limit, ..query(2) };
        let whole = query.extend(Page::default(), &changes);
        for known in 0..=5 {
            let read = query.extend(Page::default(), &changes[..known]);
            assert_eq!(query.extend(read, &changes[known..]), whole, "{known} were there, limit {limit}");
        }
    }
    // A page that ended early, because there was much to look at: the rest is on the next one.
    let query = query(2);
    let short = Page { entries: vec![entries[2].clone()], next: Some(entries[1].cursor) };
    let longer = query.extend(short.clone(), &changes[3..]);
    let expected = [&entries[4], &entries[3], &entries[2]].map(Clone::clone);
    assert_eq!(longer, Page { entries: expected.to_vec(), next: Some(entries[1].cursor) });
    // A clock that went back: what comes later in the list stays for the next page.
    assert_eq!(query.extend(short.clone(), &changes[..1]), short);
    let empty = Page { entries: vec![], next: Some(entries[1].cursor) };
    assert_eq!(query.extend(empty.clone(), &changes[..1]), empty);
}

#[test]
fn the_rules_work_their_own_changes_in() {
    let (changes, entries) = five();
    let mut book = Book::new();
    let query = HistoryQuery { limit: 3, ..query(2) };
    let read = query.extend(Page::default(), &changes[..2]);
    book.state.pages.insert(query.clone(), read.clone());
    let Posting { after, .. } = changes[1].first;
    book.state.wallets.get_mut(&2).unwrap().insert(1, after);
    book.now = at(2);
    let ask = Command::History(query.clone());
    let other = HistoryQuery { status: Some(Status::Error), ..query.clone() };
    let outcomes = book.each(&[
        ask.clone(),
        invoice(2, 2, "USD", "1"),
        ask.clone(),
        withdraw(10, 1, "USD", "1"),
        invoice(3, 2, "USD", "1"),
        ask,
        Command::History(other),
    ]);
    assert_eq!(page(&outcomes[0]), read);
    let three: Vec<Entry> = entries[..3].iter().rev().cloned().collect();
    assert_eq!(page(&outcomes[2]), Page { entries: three.clone(), next: None });
    let last = page(&outcomes[5]);
    assert_eq!(last.entries[1..], three[..2]);
    assert_eq!((last.entries[0].transaction_id, last.next), (id(3), Some(three[1].cursor)));
    assert_eq!(page(&outcomes[6]), Page::default());
}
