//! Permanent errors of the database: one that concerns a single request dead-letters that request alone; one
//! that concerns every request dead-letters none, makes `/readyz` fail with the reason, and ends when the
//! database is repaired.

use std::process::Command;
use std::time::{Duration, SystemTime};

use florin_client::{CallOptions, Client};
use florin_store::{Class, Store};
use florin_wire::{BalanceQueryBody, MovementBody, Reply, Request};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::common::{Ledger, Run, Service, World, call, empty_world};

const ROLE: &str = include_str!("../../../../docs/service-role.sql");

fn usd(amount: &str) -> MovementBody {
    MovementBody::new(1, "USD", amount.parse().unwrap())
}

/// The reasons of the dead letters.
async fn dead_letters(world: &World) -> Vec<String> {
    let list = Run::florin(&world.amqp_url, &["dead", "list", "--json"]).await.json();
    let messages = list["messages"].as_array().unwrap();
    messages.iter().map(|message| message["reason"].as_str().unwrap().to_owned()).collect()
}

/// The name of the database.
async fn database(ledger: &Ledger) -> String {
    ledger.sql.query_one("SELECT current_database()", &[]).await.unwrap().get(0)
}

/// Sends a request that is answered when the database works.
fn waiting(client: &Client, request: Request) -> JoinHandle<Reply> {
    let client = client.clone();
    let options = CallOptions { timeout: Some(Duration::from_secs(60)), ..CallOptions::default() };
    tokio::spawn(async move { client.call(&request, options).await.unwrap().reply })
}

/// Damages the database, and checks that everybody waits and is answered when it is repaired.
async fn everybody_waits(world: &World, ledger: &Ledger, damage: &str, repair: &str, reason: &str) {
    let no_migration = [("FLORIN_DATABASE_MIGRATE_ON_START", "false")];
    let mut service = Service::start(world, &no_migration).await;
    let client = world.client().await;
    assert_eq!(call(&client, Request::Invoice(usd("10"))).await.code, 200);
    ledger.sql.batch_execute(damage).await.unwrap();
    let requests = [Request::Invoice(usd("5")), Request::Withdraw(usd("2")), Request::Withdraw(usd("1"))];
    let waiting = requests.map(|request| waiting(&client, request));
    let line = service.line_with("commit failed, retrying batch").await;
    assert!(line.contains(reason) && line.contains("oldest_age_secs"), "{line}");
    service.readyz(503, reason).await;
    service.readyz(503, r#""code":"commits_failing""#).await;
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    ledger.sql.batch_execute(repair).await.unwrap();
    for reply in waiting {
        assert_eq!(reply.await.unwrap().code, 200);
    }
    service.readyz(200, "ready").await;
    assert_eq!(dead_letters(world).await, [""; 0]);
    assert_eq!(ledger.balances().await["1/USD"], "12");
    ledger.assert_sound().await;
}

#[tokio::test]
async fn a_missing_grant_stops_everybody_and_readyz_says_why() {
    let mut world = World::new().await;
    let ledger = world.ledger().await;
    let role = format!("service_of_{}", database(&ledger).await);
    ledger.sql.batch_execute(&ROLE.replace("florin_service", &role)).await.unwrap();
    world.database_url = world.database_url.replacen("//florin@", &format!("//{role}@"), 1);
    let revoke = format!("REVOKE INSERT ON postings FROM {role}");
    let grant = format!("GRANT INSERT ON postings TO {role}");
    everybody_waits(&world, &ledger, &revoke, &grant, "permission denied for table postings").await;
}

#[tokio::test]
async fn a_missing_column_stops_everybody_and_readyz_says_why() {
    let world = World::new().await;
    let ledger = world.ledger().await;
    let rename = "ALTER TABLE postings RENAME held TO was_held";
    let back = "ALTER TABLE postings RENAME was_held TO held";
    everybody_waits(&world, &ledger, rename, back, "does not exist").await;
}

/// A trigger that refuses every row concerns everybody, too.
#[tokio::test]
async fn a_trigger_that_refuses_every_posting_dead_letters_none() {
    let world = World::new().await;
    let ledger = world.ledger().await;
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                      $$ BEGIN RAISE EXCEPTION 'closed for maintenance'; END $$;
                  CREATE TRIGGER refuse BEFORE INSERT ON postings FOR EACH ROW EXECUTE FUNCTION refuse()";
    everybody_waits(&world, &ledger, refuse, "DROP TRIGGER refuse ON postings", "closed for maintenance")
        .await;
}

/// Sends requests of others together with one that cannot be executed: they are answered, and it is
/// dead-lettered.
async fn it_fails_alone(world: &World, service: &Service, request: Request, reason: &str) {
    let client = world.client().await;
    let others = [Request::Invoice(usd("5")), Request::Balance(BalanceQueryBody::new(1))];
    let before = waiting(&client, others[0].clone());
    let fails = waiting(&client, request);
    let after = others.map(|request| waiting(&client, request));
    for reply in [before].into_iter().chain(after) {
        assert_eq!(reply.await.unwrap().code, 200);
    }
    service.metric("florin_dead_lettered_total 1").await;
    let reasons = dead_letters(world).await;
    assert!(reasons.len() == 1 && reasons[0].contains(reason), "{reasons:?}");
    fails.abort();
    service.readyz(200, "ready").await;
    assert_eq!(call(&client, Request::Invoice(usd("1"))).await.code, 200);
    world.ledger().await.assert_sound().await;
}

/// As after a downgrade: a newer version refused the transaction for a reason that this one does not know.
#[tokio::test]
async fn an_unknown_error_code_dead_letters_the_request_that_names_it() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let refused = call(&world.client().await, Request::Withdraw(usd("100"))).await;
    let transaction_id: Uuid = refused.transaction_id.unwrap();
    let newer = "ALTER TABLE postings DISABLE TRIGGER postings_are_final;
                 UPDATE postings SET error = 'limit_exceeded';
                 ALTER TABLE postings ENABLE ALWAYS TRIGGER postings_are_final";
    world.ledger().await.sql.batch_execute(newer).await.unwrap();
    it_fails_alone(&world, &service, Request::Transaction { transaction_id }, "limit_exceeded").await;
}

#[tokio::test]
async fn a_missing_function_dead_letters_only_the_queries_that_need_it() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let client = world.client().await;
    assert_eq!(call(&client, Request::Invoice(usd("1"))).await.code, 200);
    let rename = "ALTER FUNCTION version_at(bigint, integer, timestamptz) RENAME TO version_at_gone";
    world.ledger().await.sql.batch_execute(rename).await.unwrap();
    let past = BalanceQueryBody::new(1).at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000));
    it_fails_alone(&world, &service, Request::Balance(past), "version_at").await;
}

/// `florin migrate` shows what the server says, for whoever has to repair it.
#[tokio::test]
async fn a_migration_that_fails_says_what_the_server_says() {
    let (database_url, _) = empty_world().await;
    let ledger = Ledger::open(&database_url).await;
    let role = format!("stranger_of_{}", database(&ledger).await);
    let stranger = format!("CREATE ROLE {role} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    ledger.sql.batch_execute(&stranger).await.unwrap();
    let mut migrate = Command::new(env!("CARGO_BIN_EXE_florin"));
    migrate.arg("migrate").env_clear().current_dir(std::env::temp_dir());
    migrate.env("DATABASE_URL", database_url.replacen("//florin@", &format!("//{role}@"), 1));
    let output = tokio::task::spawn_blocking(move || migrate.output().unwrap()).await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && stderr.contains("permission denied for schema public"), "{stderr}");
}

/// Sessions that were opened while the server was read-only stay so. The first write that fails replaces them
/// all.
#[tokio::test]
async fn after_a_fail_over_no_read_only_session_is_left() {
    let world = World::new().await;
    let ledger = world.ledger().await;
    let database = database(&ledger).await;
    let read_only = format!("ALTER DATABASE {database} SET default_transaction_read_only = on");
    ledger.sql.batch_execute(&read_only).await.unwrap();
    let store = Store::reader(&world.database_url, 3).unwrap();
    let sessions = tokio::join!(store.list_tickers(), store.list_tickers(), store.list_tickers());
    assert!(sessions.0.is_ok() && sessions.1.is_ok() && sessions.2.is_ok());
    let reset = format!("ALTER DATABASE {database} RESET default_transaction_read_only");
    ledger.sql.batch_execute(&reset).await.unwrap();
    let error = store.create_wallets(20..=20).await.unwrap_err();
    assert!(error.class() == Class::Transient && error.to_string().contains("read-only"), "{error}");
    assert_eq!(store.create_wallets(20..=20).await.unwrap(), 1);
}
