//! Writes rows of the ledger by plain SQL, as the rules would have them, for tests that look at the tables.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU32, Ordering};

use florin_ledger::Scale;
use florin_store::Store;
use tokio::sync::OnceCell;

use crate::common::{Ledger, World};

/// A time that no test sees.
pub(crate) const FUTURE: Option<&str> = Some("2999-01-01Z");

/// Cents, or what else the smallest unit is.
type Units = i64;

/// The state of the balances that the rows lead to, and the statements that are not executed yet.
#[derive(Default)]
pub(crate) struct Book {
    balances: BTreeMap<(i64, &'static str), Balance>,
    waiting: BTreeMap<u32, Opening>,
    seconds: u32,
    sql: String,
}

#[derive(Default, Clone, Copy)]
struct Balance {
    version: i64,
    actual: Units,
    frozen: Units,
    held: bool,
}

/// What opens a transaction. All are of USD.
#[derive(Clone, Copy)]
pub(crate) struct Opening {
    id: u32,
    operation: &'static str,
    wallet_id: i64,
    to_wallet_id: Option<i64>,
    ticker: &'static str,
    amount: Units,
}

/// The step of a transaction that a row belongs to.
#[derive(Clone, Copy)]
struct Step {
    leg: i16,
    status: &'static str,
    error: Option<&'static str>,
    amount: Units,
    expires_at: Option<&'static str>,
}

pub(crate) fn invoice(id: u32, wallet_id: i64, amount: Units) -> Opening {
    Opening { id, operation: "invoice", wallet_id, to_wallet_id: None, ticker: "USD", amount }
}

pub(crate) fn withdraw(id: u32, wallet_id: i64, amount: Units) -> Opening {
    Opening { operation: "withdraw", ..invoice(id, wallet_id, amount) }
}

pub(crate) fn transfer(id: u32, wallet_id: i64, to_wallet_id: i64, amount: Units) -> Opening {
    Opening { operation: "transfer", to_wallet_id: Some(to_wallet_id), ..invoice(id, wallet_id, amount) }
}

impl Opening {
    pub(crate) fn of(self, ticker: &'static str) -> Self {
        Self { ticker, ..self }
    }
}

/// The id of a transaction.
pub(crate) fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

impl Step {
    fn new(leg: i16, status: &'static str, amount: Units) -> Self {
        Self { leg, status, error: None, amount, expires_at: None }
    }
}

impl Book {
    /// The statements since the last call.
    pub(crate) fn take_sql(&mut self) -> String {
        std::mem::take(&mut self.sql)
    }

    pub(crate) fn done(&mut self, opening: Opening) {
        let sign = if opening.operation == "invoice" { 1 } else { -1 };
        self.seconds += 1;
        self.post(opening, Step::new(0, "Success", opening.amount), sign * opening.amount, 0);
        self.pay(opening, 1, opening.amount);
    }

    pub(crate) fn refused(&mut self, opening: Opening) {
        self.seconds += 1;
        let step = Step { error: Some("insufficient_funds"), ..Step::new(0, "Error", opening.amount) };
        self.post(opening, step, 0, 0);
    }

    pub(crate) fn waits(&mut self, opening: Opening, expires_at: Option<&'static str>) {
        self.seconds += 1;
        let actual = if opening.operation == "invoice" { 0 } else { -opening.amount };
        let step = Step { expires_at, ..Step::new(0, "Created", opening.amount) };
        self.post(opening, step, actual, opening.amount);
        let (id, at) = (id(opening.id), self.now());
        let expires_at = literal(expires_at);
        writeln!(self.sql, "INSERT INTO holds VALUES ('{id}', {at}, {expires_at});").unwrap();
        self.waiting.insert(opening.id, opening);
    }

    pub(crate) fn settled(&mut self, number: u32, amount: Units) {
        let opening = self.end(number);
        let actual = if opening.operation == "invoice" { amount } else { opening.amount - amount };
        self.post(opening, Step::new(2, "Success", amount), actual, -opening.amount);
        self.pay(opening, 3, amount);
    }

    pub(crate) fn released(&mut self, number: u32, error: &'static str) {
        let opening = self.end(number);
        let actual = if opening.operation == "invoice" { 0 } else { opening.amount };
        let step = Step { error: Some(error), ..Step::new(2, "Error", opening.amount) };
        self.post(opening, step, actual, -opening.amount);
    }

    fn end(&mut self, number: u32) -> Opening {
        self.seconds += 1;
        writeln!(self.sql, "DELETE FROM holds WHERE transaction_id = '{}';", id(number)).unwrap();
        self.waiting.remove(&number).unwrap()
    }

    fn pay(&mut self, opening: Opening, leg: i16, amount: Units) {
        if let Some(to) = opening.to_wallet_id {
            let payee = Opening { wallet_id: to, to_wallet_id: Some(opening.wallet_id), ..opening };
            self.post(payee, Step::new(leg, "Success", amount), amount, 0);
        }
    }

    fn now(&self) -> String {
        format!("'2026-01-01Z'::timestamptz + interval '{} s'", self.seconds)
    }

    fn post(&mut self, opening: Opening, step: Step, actual: Units, frozen: Units) {
        let Opening { operation, wallet_id, ticker, .. } = opening;
        let before = self.balances.get(&(wallet_id, ticker)).copied().unwrap_or_default();
        let after = Balance {
            version: before.version + 1,
            actual: before.actual + actual,
            frozen: before.frozen + frozen,
            held: before.held || step.leg != 0 || step.status != "Error",
        };
        self.balances.insert((wallet_id, ticker), after);
        let decimal = |units: Units| format!("{}.{:02}", units / 100, units % 100);
        let counterparty = opening.to_wallet_id.map_or("NULL".into(), |id| id.to_string());
        let hash = if step.leg == 0 { "decode(repeat('ab', 16), 'hex')" } else { "NULL" };
        writeln!(
            self.sql,
            "INSERT INTO postings (wallet_id, ticker_id, version, transaction_id, leg, operation, status, error,
                    amount, actual_after, frozen_after, held, counterparty_wallet_id, request_hash, redelivered,
                    created_at, expires_at)
             SELECT {wallet_id}, ticker_id, {version}, '{id}', {leg}, '{operation}', '{status}', {error},
                    {amount}, {actual}, {frozen}, {held}, {counterparty}, {hash}, false, {now}, {expires_at}
               FROM tickers WHERE name = '{ticker}';",
            version = after.version,
            id = id(opening.id),
            leg = step.leg,
            status = step.status,
            error = literal(step.error),
            amount = decimal(step.amount),
            actual = decimal(after.actual),
            frozen = decimal(after.frozen),
            held = after.held,
            now = self.now(),
            expires_at = literal(step.expires_at),
        )
        .unwrap();
    }
}

fn literal(text: Option<&str>) -> String {
    text.map_or("NULL".to_owned(), |text| format!("'{text}'"))
}

/// A database of its own, with the rows of [`story`].
pub(crate) struct Damaged {
    pub(crate) url: String,
    pub(crate) store: Store,
    pub(crate) ledger: Ledger,
    pub(crate) book: Book,
}

impl Damaged {
    pub(crate) async fn new() -> Self {
        static WORLD: OnceCell<World> = OnceCell::const_new();
        static DATABASES: AtomicU32 = AtomicU32::new(0);
        let world = WORLD.get_or_init(World::new).await;
        let name = format!("audited{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let admin = world.ledger().await;
        admin.sql.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let (server, _) = world.database_url.rsplit_once('/').unwrap();
        let url = format!("{server}/{name}");
        let store = Store::new(&url, 2).unwrap();
        store.migrate().await.unwrap();
        for (ticker, places) in [("USD", 2), ("USDT", 6)] {
            store.add_ticker(ticker, Scale::new(places).unwrap()).await.unwrap();
        }
        store.create_wallets(1..=7).await.unwrap();
        let (ledger, mut book) = (Ledger::open(&url).await, story());
        ledger.sql.batch_execute(&book.take_sql()).await.unwrap();
        Self { url, store, ledger, book }
    }

    /// What only a superuser can do. The triggers are put back.
    pub(crate) async fn tamper(&self, sql: &str) {
        let all = ["postings", "wallets", "tickers"];
        let disable = all.map(|table| format!("ALTER TABLE {table} DISABLE TRIGGER ALL;")).concat();
        let enable = "
            ALTER TABLE postings ENABLE ALWAYS TRIGGER postings_are_final;
            ALTER TABLE postings ENABLE ALWAYS TRIGGER postings_resolve_holds;
            ALTER TABLE wallets ENABLE ALWAYS TRIGGER wallets_are_kept;
            ALTER TABLE tickers ENABLE ALWAYS TRIGGER tickers_are_kept;";
        self.ledger.sql.batch_execute(&format!("{disable}{sql};{enable}")).await.unwrap();
    }
}

/// Every way in which a transaction can begin and end.
fn story() -> Book {
    let mut book = Book::default();
    book.done(invoice(1, 1, 10_000)); // wallet 1, version 1
    book.done(withdraw(2, 1, 3000));
    book.refused(withdraw(3, 1, 50_000)); // 3
    book.done(transfer(4, 1, 2, 2000)); // 4; wallet 2, version 1
    book.waits(withdraw(5, 1, 1000), None);
    book.settled(5, 400); // 6
    book.waits(invoice(6, 1, 800), FUTURE);
    book.released(6, "cancelled"); // 8
    book.waits(transfer(7, 1, 3, 600), None);
    book.settled(7, 600); // 10; wallet 3, version 1
    book.waits(withdraw(8, 1, 500), Some("2026-01-01T00:00:12Z"));
    book.released(8, "expired"); // 12
    book.waits(withdraw(9, 1, 300), None); // 13
    book.waits(invoice(10, 2, 700), FUTURE); // wallet 2, version 2
    book.refused(withdraw(11, 4, 100).of("USDT"));
    book.done(invoice(12, 4, 150).of("USDT")); // wallet 4, version 2
    book.done(invoice(13, 5, 900));
    book.waits(transfer(14, 5, 6, 400), None);
    book.refused(transfer(15, 5, 7, 5000));
    book.waits(invoice(16, 6, 250), FUTURE);
    book.settled(16, 100); // wallet 6, version 2
    book
}
