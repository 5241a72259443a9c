//! `/readyz` says in a word for machines what is wrong.

use crate::common::{Service, World};

/// A schema that is behind keeps requests from being executed; one that is ahead does not.
#[tokio::test]
async fn a_schema_of_another_version_is_named() {
    let world = World::new().await;
    let service = Service::start(&world, &[("FLORIN_DATABASE_MIGRATE_ON_START", "false")]).await;
    service.readyz(200, r#""reasons":[]"#).await;
    let ledger = world.ledger().await;
    let run = async |sql: &str| ledger.sql.batch_execute(sql).await.unwrap();
    run("INSERT INTO refinery_schema_history SELECT version + 1000, name, applied_on, checksum
           FROM refinery_schema_history ORDER BY version DESC LIMIT 1")
    .await;
    service.readyz(200, r#""notes":[{"code":"schema_newer""#).await;
    run("DELETE FROM refinery_schema_history WHERE version > 1000").await;
    run("UPDATE refinery_schema_history SET version = -version").await;
    service.readyz(503, r#""reasons":[{"code":"schema_older""#).await;
    run("UPDATE refinery_schema_history SET version = -version").await;
    service.readyz(200, r#""reasons":[]"#).await;
}

/// Sessions that are opened from now on take no writes, as after a fail-over.
#[tokio::test]
async fn a_read_only_database_is_named() {
    let world = World::new().await;
    let ledger = world.ledger().await;
    let (_, name) = world.database_url.rsplit_once('/').unwrap();
    let name = name.split('?').next().unwrap();
    let service = Service::start(&world, &[]).await;
    service.readyz(200, r#""reasons":[]"#).await;
    let sql = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    ledger.sql.batch_execute(&sql).await.unwrap();
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    ledger.sql.query(end, &[]).await.unwrap();
    service.readyz(503, r#""code":"database_read_only""#).await;
}
