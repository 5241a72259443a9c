//! Databases as their administrators set them: poolers, settings, encodings, several hosts.

mod hosts;
mod pooler;

use devstack::{Options, Postgres};
use florin_ledger::Scale;
use florin_store::Store;
use florin_wire::{MovementBody, Request};

use crate::common::{Run, Service, World, call, spawn_florin};

/// What a session of ours is set to, seen from within: tickers tell it of the session that adds them.
const SEEN: &str = "
    ALTER TABLE tickers ADD COLUMN seen text DEFAULT concat_ws(' ',
        current_setting('synchronous_commit'), current_setting('statement_timeout'),
        current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout'),
        current_setting('standard_conforming_strings'), current_setting('quote_all_identifiers'),
        current_setting('default_transaction_isolation'), current_setting('enable_seqscan'))";

/// Settings that a database may have, and that would break requests or promises.
const HOSTILE: [&str; 8] = [
    "synchronous_commit = off",
    // Longer than our first statement takes on a slow machine.
    "statement_timeout = '1s'",
    "lock_timeout = '1ms'",
    "idle_in_transaction_session_timeout = '1ms'",
    "standard_conforming_strings = off",
    "quote_all_identifiers = on",
    "default_transaction_isolation = 'repeatable read'",
    "DateStyle = 'SQL, DMY'",
];

async fn seen(world: &World, url: &str, ticker: &str) -> String {
    let store = Store::new(url, 1).unwrap();
    assert!(store.add_ticker(ticker, Scale::new(2).unwrap()).await.unwrap());
    let sql = "SELECT seen FROM tickers WHERE name = $1";
    world.ledger().await.sql.query_one(sql, &[&ticker]).await.unwrap().get(0)
}

#[tokio::test]
async fn sessions_set_what_they_need() {
    let world = World::new().await;
    let (_, name) = world.database_url.rsplit_once('/').unwrap();
    let ledger = world.ledger().await;
    ledger.sql.batch_execute(SEEN).await.unwrap();
    for setting in HOSTILE {
        ledger.sql.batch_execute(&format!("ALTER DATABASE {name} SET {setting}")).await.unwrap();
    }
    let ours = "on 35s 20s 10s on off read committed off";
    assert_eq!(seen(&world, &world.database_url, "AAA").await, ours);
    // The operator's own options win, but not over what answers rest on.
    let options = "?options=-c%20statement_timeout%3D7s%20-c%20synchronous_commit%3Doff";
    let given = ours.replace("35s", "7s");
    assert_eq!(seen(&world, &format!("{}{options}", world.database_url), "BBB").await, given);
    let stricter = "?options=-c%20synchronous_commit%3Dremote_apply";
    let url = format!("{}{stricter}", world.database_url);
    assert_eq!(seen(&world, &url, "CCC").await, ours.replace("on 35s", "remote_apply 35s"));
    pooler::move_money(&world).await;
}

/// Texts in other encodings lose characters, or are refused one by one.
#[tokio::test]
async fn a_database_in_another_encoding_is_refused() {
    let world = World::new().await;
    let (server, name) = world.database_url.rsplit_once('/').unwrap();
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let database = format!("{name}_{}", encoding.to_lowercase());
        let create =
            format!("CREATE DATABASE {database} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        world.ledger().await.sql.batch_execute(&create).await.unwrap();
        let url = format!("{server}/{database}");
        let migrated = Run::florin("amqp://none", &["migrate", "--database-url", &url]).await;
        assert!(migrated.code == Some(1) && migrated.stderr.contains(encoding), "{migrated:?}");
        assert!(migrated.stderr.contains("ENCODING 'UTF8'"), "{migrated:?}");
        let other = World { database_url: url, ..world.clone() };
        let (status, log) =
            Service::spawn(&other, &[("FLORIN_DATABASE_MIGRATE_ON_START", "false")]).exit().await;
        assert!(status.code() == Some(1) && log.contains("ENCODING 'UTF8'"), "{log}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_sync_is_warned_about() {
    let launch = |settings: &[&str]| {
        let postgres_settings = settings.iter().map(|name| ((*name).to_owned(), "off".to_owned())).collect();
        Postgres::launch(&Options { postgres_settings, ..Options::default() }).unwrap()
    };
    for settings in [&["fsync", "full_page_writes"][..], &[]] {
        let postgres = launch(settings);
        let warnings = Store::new(&postgres.url(), 1).unwrap().check_requirements().await.unwrap();
        assert_eq!(warnings.len(), settings.len(), "{warnings:?}");
        assert!(
            warnings.iter().zip(settings).all(|(warning, name)| warning.starts_with(*name)),
            "{warnings:?}"
        );
    }
}

/// A ledger has an id, and instances of it recognise each other.
#[tokio::test]
async fn a_ledger_knows_which_it_is() {
    let (world, other) = (World::new().await, World::new().await);
    let (ledger, again) = (world.store.ledger().await.unwrap(), world.store.ledger().await.unwrap());
    let other = other.store.ledger().await.unwrap();
    assert_eq!((ledger.id, ledger.secret), (again.id, again.secret));
    assert!(ledger.id != other.id && ledger.secret != other.secret);
    assert!(!format!("{ledger:?}").contains(&format!("{:?}", ledger.secret)));
    for change in ["UPDATE ledger SET ledger_id = gen_random_uuid()", "DELETE FROM ledger", "TRUNCATE ledger"]
    {
        assert!(world.ledger().await.sql.batch_execute(change).await.is_err(), "{change}");
    }
}

/// A service on an empty database by mistake would answer from a second ledger.
#[tokio::test]
async fn a_queue_belongs_to_one_ledger() {
    let (world, empty) = (World::new().await, World::new().await);
    for _ in 0..2 {
        let (ended, log) = Service::start(&world, &[]).await.terminate().await;
        assert!(ended.success(), "{log}");
    }
    let mistaken = World { database_url: empty.database_url.clone(), ..world.clone() };
    let (ended, log) = Service::spawn(&mistaken, &[]).exit().await;
    assert!(ended.code() == Some(1) && log.contains("--new-ledger"), "{log}");
    assert!(log.contains(&empty.store.ledger().await.unwrap().id.to_string()), "{log}");
    let moved = ["serve", "--new-ledger", "--port", "0", "--database-url", &empty.database_url];
    let mut service = spawn_florin(&world.amqp_url, &moved);
    let invoice = Request::Invoice(MovementBody::new(1, "USD", "5".parse().unwrap()));
    assert_eq!(call(&mistaken.client().await, invoice).await.code, 200);
    assert_eq!(empty.ledger().await.balances().await["1/USD"], "5");
    service.kill().unwrap();
    service.wait().unwrap();
    // Now it is the first one that has no right to the queue.
    let (ended, log) = Service::spawn(&world, &[]).exit().await;
    assert!(ended.code() == Some(1) && log.contains("--new-ledger"), "{log}");
}
