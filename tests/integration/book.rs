//! Writes rows of the ledger by plain SQL, as the rules would have them, for tests that look at the tables.

use std::collections::BTreeMap;
use std::fmt::Write;

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
struct Step {
    part: i16,
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
    fn new(part: i16, status: &'static str, amount: Units) -> Self {
        Self { part, status, error: None, amount, expires_at: None }
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

    fn pay(&mut self, opening: Opening, part: i16, amount: Units) {
        if let Some(to) = opening.to_wallet_id {
            let payee = Opening { wallet_id: to, to_wallet_id: Some(opening.wallet_id), ..opening };
            self.post(payee, Step::new(part, "Success", amount), amount, 0);
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
            held: before.held || step.part != 0 || step.status != "Error",
        };
        self.balances.insert((wallet_id, ticker), after);
        let decimal = |units: Units| format!("{}.{:02}", units / 100, units % 100);
        let counterparty = opening.to_wallet_id.map_or("NULL".into(), |id| id.to_string());
        let hash = if step.part == 0 { "decode(repeat('ab', 16), 'hex')" } else { "NULL" };
        writeln!(
            self.sql,
            "INSERT INTO postings (wallet_id, ticker_id, version, transaction_id, part, operation, status, error,
                    amount, actual_after, frozen_after, held, counterparty_wallet_id, request_hash, redelivered,
                    created_at, expires_at)
             SELECT {wallet_id}, ticker_id, {version}, '{id}', {part}, '{operation}', '{status}', {error},
                    {amount}, {actual}, {frozen}, {held}, {counterparty}, {hash}, false, {now}, {expires_at}
               FROM tickers WHERE name = '{ticker}';",
            version = after.version,
            id = id(opening.id),
            part = step.part,
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
