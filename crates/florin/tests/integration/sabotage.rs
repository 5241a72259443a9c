//! Whoever owns the database can change what it stores behind the service's back: the audit finds it, and the
//! service never takes for done what was not stored.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use florin_client::CallOptions;
use florin_store::{AuditOptions, Check, Store};
use florin_wire::{MovementBody, Request};

use crate::book::Damaged;
use crate::common::{Service, World, call};
use crate::verify::failed;

/// What is done, and the checks that notice it.
#[tokio::test]
async fn what_changes_what_is_stored_is_found() {
    use Check::{Errors, Resolutions, Schema, Times};
    const EVIL: &str = "CREATE FUNCTION evil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';";
    let with_trigger =
        format!("{EVIL} CREATE TRIGGER evil BEFORE INSERT ON postings FOR EACH ROW EXECUTE FUNCTION evil()");
    let cases: [(&str, &[Check]); 10] = [
        (&with_trigger, &[Schema]),
        ("CREATE RULE evil AS ON INSERT TO holds DO INSTEAD NOTHING", &[Schema]),
        ("ALTER TABLE postings ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY", &[Schema]),
        ("CREATE TABLE evil () INHERITS (postings)", &[Schema]),
        ("ALTER FUNCTION check_resolution() SET search_path = evil", &[Schema]),
        (
            "CREATE OR REPLACE FUNCTION version_at(of_wallet bigint, of_ticker integer, moment timestamptz)
                 RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 1::bigint'",
            &[Schema],
        ),
        ("UPDATE postings SET error = 'expired' WHERE error = 'cancelled'", &[Resolutions]),
        (
            "UPDATE postings SET expires_at = '2999-01-01Z' WHERE leg = 0 AND transaction_id IN
              (SELECT transaction_id FROM postings WHERE error = 'expired')",
            &[Resolutions],
        ),
        ("UPDATE postings SET error = 'malformed' WHERE leg = 0 AND status = 'Error'", &[Errors]),
        (
            "UPDATE postings SET created_at = '2099-01-01Z' WHERE (wallet_id, ticker_id, version) IN
              (SELECT wallet_id, ticker_id, max(version) FROM postings
                WHERE wallet_id = 3 GROUP BY wallet_id, ticker_id)",
            &[Times],
        ),
    ];
    for (sql, checks) in cases {
        let damaged = Damaged::new().await;
        damaged.tamper(sql).await;
        let report = damaged.audit(2).await;
        let expected: BTreeSet<Check> = checks.iter().copied().collect();
        assert!(failed(&report).is_superset(&expected), "{sql}: {report:#?}");
    }
}

/// A database may print names and read strings in another way than by default: that is no finding.
#[tokio::test]
async fn settings_of_the_database_are_no_findings() {
    for setting in ["quote_all_identifiers = on", "standard_conforming_strings = off"] {
        let damaged = Damaged::new().await;
        let database = damaged.ledger.sql.query_one("SELECT current_database()", &[]).await.unwrap();
        let name: &str = database.get(0);
        damaged.ledger.sql.batch_execute(&format!("ALTER DATABASE {name} SET {setting}")).await.unwrap();
        // Sessions that are open keep their settings.
        let store = Store::new(&damaged.url, 2).unwrap();
        let options = AuditOptions { connections: NonZeroUsize::new(2).unwrap(), limit: 5 };
        let report = store.audit(options).await.unwrap().run(|_| ()).await.unwrap();
        assert_eq!(failed(&report), BTreeSet::new(), "{setting}: {report:#?}");
    }
}

/// What a trigger swallows is not answered until the trigger is gone.
#[tokio::test]
async fn what_was_not_stored_is_not_answered() {
    let world = World::new().await;
    let mut service = Service::start(&world, &[]).await;
    let client = world.client().await;
    let ledger = world.ledger().await;
    let evil = "CREATE FUNCTION evil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
                CREATE TRIGGER evil BEFORE INSERT ON postings FOR EACH ROW EXECUTE FUNCTION evil()";
    ledger.sql.batch_execute(evil).await.unwrap();
    let request = Request::Invoice(MovementBody::new(1, "USD", "5".parse().unwrap()));
    let options = CallOptions { timeout: Some(Duration::from_secs(60)), ..CallOptions::default() };
    let waiting = tokio::spawn({
        let (client, request) = (client.clone(), request.clone());
        async move { client.call(&request, options).await }
    });
    service.line_with("the database stored 0 of 1 postings").await;
    assert!(!waiting.is_finished());
    ledger.sql.batch_execute("DROP TRIGGER evil ON postings").await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().reply.code, 200);
    let read = Request::Balance(florin_wire::BalanceQueryBody::new(1));
    assert_eq!(call(&client, read).await.balances().unwrap().actual_balance["USD"].0.to_string(), "5");
    world.ledger().await.assert_sound().await;
}
