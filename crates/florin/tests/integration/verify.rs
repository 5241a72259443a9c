//! The audit: it passes what is sound, also while others write, and finds each kind of damage where it is.

mod output;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use florin_store::{AuditOptions, AuditReport, Check, Finding};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::book::{Damaged, FUTURE, id, transfer, withdraw};
use crate::common::{Ledger, World};

/// How many postings the story has.
const POSTINGS: i64 = 23;

impl Damaged {
    pub(crate) async fn audit(&self, connections: usize) -> AuditReport {
        let options = AuditOptions { connections: NonZeroUsize::new(connections).unwrap(), limit: 5 };
        self.store.audit(options).await.unwrap().run(|_| ()).await.unwrap()
    }

    fn florin_verify(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_florin"));
        command.arg("verify").args(arguments).env_clear().env("DATABASE_URL", &self.url);
        command.current_dir(std::env::temp_dir());
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.florin_verify(arguments).output().unwrap()
    }
}

pub(crate) fn failed(report: &AuditReport) -> BTreeSet<Check> {
    report.checks.iter().filter(|check| check.findings > 0).map(|check| check.check).collect()
}

/// Where something was found: wallet, ticker and version of a posting; or else what it is.
fn place(finding: &Finding) -> String {
    match (&finding.subject, finding.wallet_id, &finding.ticker, finding.version) {
        (Some(subject), ..) => subject.clone(),
        (_, Some(wallet_id), Some(ticker), Some(version)) => format!("{wallet_id}/{ticker}/{version}"),
        (_, _, Some(ticker), _) => ticker.clone(),
        _ => String::new(),
    }
}

#[tokio::test]
async fn what_is_sound_passes_however_the_work_is_shared() {
    let damaged = Damaged::new().await;
    for connections in 1..=3 {
        let report = damaged.audit(connections).await;
        assert_eq!(failed(&report), BTreeSet::new(), "{report:?}");
        assert_eq!((report.checks.len(), report.postings), (Check::ALL.len(), POSTINGS));
        let examined = |check| report.checks.iter().find(|report| report.check == check).unwrap().examined;
        assert_eq!(examined(Check::Versions), Some(POSTINGS));
        assert_eq!(examined(Check::Frozen), Some(6));
        assert_eq!(examined(Check::Holds), Some(3));
        assert_eq!(examined(Check::Identities), Some(POSTINGS));
    }
    damaged.ledger.assert_sound().await;
}

#[tokio::test]
async fn an_empty_ledger_is_sound() {
    let world = World::new().await;
    let options = AuditOptions { connections: NonZeroUsize::MIN, limit: 1 };
    let report = world.store.audit(options).await.unwrap().run(|_| ()).await.unwrap();
    assert_eq!((failed(&report), report.postings), (BTreeSet::new(), 0));
}

/// Each row: what was done, the checks that notice it, and what the last of these says first: where, what
/// should be there, what is.
#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn every_damage_is_found_where_it_is() {
    use Check::*;
    let posting = |wallet: i64, version: i64, change: &str| {
        format!("UPDATE postings SET {change} WHERE wallet_id = {wallet} AND version = {version}")
    };
    let without =
        |constraint: &str, sql: String| format!("ALTER TABLE postings DROP CONSTRAINT {constraint}; {sql}");
    let (t1, t4, t5, t7, t9, t10) = (id(1), id(4), id(5), id(7), id(9), id(10));
    let other = id(99);
    type Case = (String, &'static [Check], &'static str, &'static str, String);
    let cases: Vec<Case> = vec![
        (posting(1, 13, "version = 14"), &[Versions], "1/USD/14", "13", "14".into()),
        (posting(1, 2, "actual_after = 71"), &[Balances], "1/USD/2", "actual 70.00", "actual 71".into()),
        (posting(2, 2, "frozen_after = 8"), &[Balances, Money, Frozen], "2/USD/2", "7.00", "8".into()),
        (
            posting(3, 1, "actual_after = 1e34"),
            &[Balances, Money, Limits],
            "3/USD/1",
            "below 10^34",
            "1000".into(),
        ),
        (
            without("postings_actual", posting(3, 1, "actual_after = -1")),
            &[Schema, Balances, Money, Limits],
            "3/USD/1",
            "at least 0",
            "actual -1".into(),
        ),
        (
            without("postings_frozen", posting(2, 1, "frozen_after = 'NaN'")),
            &[Schema, Balances, Limits],
            "2/USD/1",
            "at least 0",
            "frozen NaN".into(),
        ),
        (
            posting(1, 2, "created_at = '2025-12-31Z'"),
            &[Times],
            "1/USD/2",
            "not before 2026",
            "2025-12-31".into(),
        ),
        (posting(4, 1, "held = true"), &[Held], "4/USDT/1", "never held", "held something".into()),
        (
            posting(5, 1, "held = true, amount = 9.001"),
            &[Balances, Money, Amounts],
            "5/USD/1",
            "at most 2",
            "9.001".into(),
        ),
        (
            without("postings_amount", posting(1, 3, "amount = 'NaN'")),
            &[Schema, Amounts],
            "1/USD/3",
            "above 0",
            "NaN".into(),
        ),
        (posting(1, 3, "amount = 1e34"), &[Amounts], "1/USD/3", "below 10^34", "1000".into()),
        (
            posting(2, 2, "expires_at = '2025-01-01Z'"),
            &[Holds, Expiry, Fields],
            "2/USD/2",
            "leg 0",
            "expires at 2025".into(),
        ),
        (posting(1, 2, "counterparty_wallet_id = 2"), &[Fields], "1/USD/2", "leg 0", "counterparty 2".into()),
        (
            without("postings_requested_by", posting(2, 1, "requested_by = 'shop'")),
            &[Schema, Fields],
            "2/USD/1",
            "leg 1",
            "by shop".into(),
        ),
        (posting(1, 1, "operation = 'gift'"), &[Balances, Money, Fields], "1/USD/1", "leg 0", "gift".into()),
        (posting(1, 3, "error = 'no_money'"), &[Errors], "1/USD/3", "an error of leg 0", "no_money".into()),
        (posting(1, 3, "error = 'expired'"), &[Errors], "1/USD/3", "an error of leg 0", "expired".into()),
        (posting(1, 8, "error = 'insufficient_funds'"), &[Errors], "1/USD/8", "leg 2", "insufficient".into()),
        (
            "DELETE FROM wallets WHERE wallet_id = 3".into(),
            &[Catalog],
            "3/USD/1",
            "exist",
            "no such wallet".into(),
        ),
        (
            "DELETE FROM tickers WHERE name = 'USDT'".into(),
            &[Catalog],
            "4/#2/2",
            "exist",
            "no such ticker".into(),
        ),
        (
            "DELETE FROM wallets WHERE wallet_id = 7".into(),
            &[Catalog],
            "5/USD/3",
            "payee",
            "no wallet 7".into(),
        ),
        (posting(2, 1, &format!("transaction_id = '{other}'")), &[Legs], "1/USD/4", "all legs", t4.clone()),
        (posting(2, 1, "created_at = now()"), &[Times, Legs], "1/USD/4", "agree", t4.clone()),
        (posting(3, 1, "ticker_id = 2"), &[Money, Legs], "1/USD/9", "agree", t7.clone()),
        (posting(2, 1, "counterparty_wallet_id = 5"), &[Legs], "1/USD/4", "agree", "with 5".into()),
        (
            posting(3, 1, "amount = 7"),
            &[Balances, Legs],
            "1/USD/9",
            "agree",
            "leg 3 transfer Success 7 USD".into(),
        ),
        (
            posting(1, 5, "status = 'Success'"),
            &[Balances, Money, Resolutions],
            "1/USD/5",
            "of a hold",
            t5.clone(),
        ),
        (
            posting(1, 6, "created_at = '2026-01-01Z'"),
            &[Times, Resolutions],
            "1/USD/5",
            "not before",
            t5.clone(),
        ),
        (posting(1, 6, "amount = 11"), &[Balances, Money, Resolutions], "1/USD/5", "no more", t5.clone()),
        (posting(1, 8, "amount = 7"), &[Resolutions], "1/USD/7", "no more", "cancelled 7 USD".into()),
        (
            format!("DELETE FROM holds WHERE transaction_id = '{t9}'"),
            &[Frozen, Holds],
            "1/USD/13",
            "a hold of",
            t9.clone(),
        ),
        (
            "UPDATE holds SET created_at = now()".into(),
            &[Holds],
            "1/USD/13",
            "a hold of 2026-01-01",
            t9.clone(),
        ),
        (format!("INSERT INTO holds VALUES ('{t7}', now())"), &[Frozen, Holds], "1/USD/9", "no hold", t7),
        (format!("INSERT INTO holds VALUES ('{other}', now())"), &[Holds], "", "no hold", other.clone()),
        (
            format!("INSERT INTO holds VALUES ('{t1}', now())"),
            &[Frozen, Holds, Money],
            "USD",
            "",
            "83".into(),
        ),
        (
            "UPDATE holds SET expires_at = NULL WHERE expires_at IS NOT NULL".into(),
            &[Holds],
            "2/USD/2",
            "until 2999",
            t10,
        ),
        (
            without("postings_transaction", posting(1, 12, &format!("transaction_id = '{t5}'"))),
            &[Schema, Balances, Legs, Resolutions, Holds, Expiry, Identities],
            "1/USD/6",
            "leg 2 once",
            "leg 2 2 times".into(),
        ),
    ];
    let mut surprises = Vec::new();
    for (sql, checks, at, expected, found) in cases {
        let damaged = Damaged::new().await;
        damaged.tamper(&sql).await;
        let report = damaged.audit(2).await;
        let last = checks.last().unwrap();
        let first = report.checks.iter().find(|report| report.check == *last).unwrap().first.first().cloned();
        let first = first.unwrap_or_default();
        let transaction = first.transaction_id.map(|id| id.to_string()).unwrap_or_default();
        let as_expected = failed(&report) == checks.iter().copied().collect()
            && (place(&first) == at || at.is_empty())
            && first.expected.contains(expected)
            && (first.found.contains(&found) || transaction == found);
        if !as_expected {
            surprises.push((sql, failed(&report), first));
        }
    }
    assert!(surprises.is_empty(), "{surprises:#?}");
}

#[tokio::test]
async fn every_lost_protection_is_found() {
    let cases = [
        ("ALTER TABLE postings DISABLE TRIGGER postings_are_final", "trigger postings_are_final", "disabled"),
        ("ALTER TABLE wallets ENABLE TRIGGER wallets_are_kept", "trigger wallets_are_kept", "not always"),
        ("DROP TRIGGER postings_resolve_holds ON postings", "trigger postings_resolve_holds", "missing"),
        (
            "CREATE OR REPLACE FUNCTION check_resolution() RETURNS trigger LANGUAGE plpgsql
                 AS 'BEGIN RETURN NULL; END'",
            "function of postings_resolve_holds",
            "changed",
        ),
        ("ALTER TABLE holds DROP CONSTRAINT holds_pkey", "constraint holds_pkey", "missing"),
        (
            "ALTER TABLE postings DROP CONSTRAINT postings_hold,
                 ADD CONSTRAINT postings_hold CHECK (leg = 0 OR status <> 'Created') NOT VALID",
            "constraint postings_hold",
            "NOT VALID",
        ),
        (
            "ALTER TABLE postings DROP CONSTRAINT postings_version,
                 ADD CONSTRAINT postings_version CHECK (version > -1)",
            "constraint postings_version",
            "-1",
        ),
        (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'postings_chain'::regclass",
            "constraint postings_chain",
            "index that is not valid",
        ),
        (
            "ALTER TABLE postings ALTER COLUMN amount DROP NOT NULL",
            "columns of postings that are never null",
            "status, actual_after",
        ),
        ("ALTER TABLE holds SET UNLOGGED", "table holds", "not logged"),
        ("DROP TRIGGER ledger_is_kept ON ledger", "trigger ledger_is_kept", "missing"),
        ("DELETE FROM refinery_schema_history WHERE version = 1", "migration V1__baseline", "missing"),
    ];
    for (sql, subject, found) in cases {
        let damaged = Damaged::new().await;
        damaged.ledger.sql.batch_execute(sql).await.unwrap();
        let report = damaged.audit(1).await;
        assert_eq!(failed(&report), BTreeSet::from([Check::Schema]), "{sql}: {report:#?}");
        let first = &report.checks[0].first[0];
        assert_eq!(first.subject.as_deref(), Some(subject), "{sql}");
        assert!(first.found.contains(found), "{sql}: {first:?}");
    }
}

/// One transaction of the database writes both sides of a transfer and a hold; an audit sees all of it or
/// nothing.
#[tokio::test]
async fn others_may_write_meanwhile() {
    let mut damaged = Damaged::new().await;
    let (url, mut book) = (damaged.url.clone(), std::mem::take(&mut damaged.book));
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writer = tokio::spawn(async move {
        let ledger = Ledger::open(&url).await;
        book.waits(withdraw(99, 1, 2), FUTURE);
        for number in (100..).step_by(2).take_while(|_| !stopped.load(Ordering::Relaxed)) {
            book.done(transfer(number, 1, 2, 1));
            book.done(transfer(number + 1_000_000, 2, 1, 1));
            book.waits(withdraw(number + 1, 1, 2), FUTURE);
            book.released(number - 1, "cancelled");
            ledger.sql.batch_execute(&book.take_sql()).await.unwrap();
        }
    });
    let mut examined = POSTINGS;
    for _ in 0..5 {
        let sql = format!("SELECT count(*) FROM (SELECT FROM postings LIMIT {examined} + 1) x");
        until(&damaged.ledger, &sql, |count| count > examined).await;
        let report = damaged.audit(2).await;
        assert_eq!(failed(&report), BTreeSet::new(), "{report:#?}");
        assert!(report.postings > examined);
        examined = report.postings;
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
}

async fn until(ledger: &Ledger, sql: &str, reached: impl Fn(i64) -> bool) {
    let wait = async {
        while !reached(ledger.number(sql).await) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
}
