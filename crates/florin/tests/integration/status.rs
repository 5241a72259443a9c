//! `florin status`: what it says of servers that are as they should be, and of those that are not.

use std::process::Command;

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use serde_json::Value;

use crate::common::{SeedClient, Service, World, empty_world};

struct Status {
    code: Option<i32>,
    json: Value,
    text: String,
}

async fn status(database_url: &str, amqp_url: &str) -> Status {
    let run = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_florin"));
        command.arg("status").args(flags).env_clear().current_dir(std::env::temp_dir());
        command.envs([("DATABASE_URL", database_url), ("AMQP_URL", amqp_url)]);
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    let (json, text) = (run(&["--json"]).await.unwrap(), run(&[]).await.unwrap());
    assert_eq!(json.status.code(), text.status.code());
    Status {
        code: json.status.code(),
        json: serde_json::from_slice(&json.stdout).unwrap(),
        text: String::from_utf8(text.stdout).unwrap(),
    }
}

impl Status {
    fn problems(&self) -> String {
        let problems: Vec<&str> =
            self.json["problems"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        problems.join("\n")
    }
}

#[tokio::test]
async fn a_service_that_works_is_told_so() {
    let world = World::new().await;
    let _active = Service::start(&world, &[]).await;
    let standby = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    client.call("invoice", br#"{"wallet_id":1,"ticker":"USD","amount":9,"pending":true}"#).await;
    let status_now = status(&world.database_url, &world.amqp_url).await;
    assert_eq!((status_now.code, &status_now.json["ok"]), (Some(0), &true.into()), "{}", status_now.json);
    let json = &status_now.json;
    assert!(json["broker"]["product"].as_str().unwrap().starts_with("RabbitMQ "), "{json}");
    assert_eq!(json["broker"]["blocked"], false);
    assert_eq!((&json["work_queue"]["ready"], &json["work_queue"]["differs"]), (&0.into(), &Value::Null));
    assert_eq!(json["active_instances"], 1);
    assert_eq!(json["database"]["schema_version"], json["database"]["expected_schema_version"]);
    assert_eq!((&json["pending"]["count"], json["pending"]["oldest"].is_string()), (&1.into(), true));
    assert!(status_now.text.contains("1 active"), "{}", status_now.text);
    assert!(status_now.text.ends_with("\nVerdict: the service can work\n"), "{}", status_now.text);
    drop(standby);
}

#[tokio::test]
async fn servers_that_are_not_prepared_are_told_apart() {
    let (database_url, amqp_url) = empty_world().await;
    let empty = status(&database_url, &amqp_url).await;
    assert_eq!(empty.code, Some(1));
    let problems = empty.problems();
    assert!(problems.contains("NOT_FOUND") && problems.contains("the database has no schema"), "{problems}");

    let nowhere = status("postgres://florin@127.0.0.1:1/florin", "amqp://127.0.0.1:1").await;
    let problems = nowhere.problems();
    for server in ["PostgreSQL at 127.0.0.1:1", "RabbitMQ at 127.0.0.1:1 as guest"] {
        assert!(problems.contains(&format!("cannot connect to {server}: connection refused.")), "{problems}");
    }
    assert_eq!((nowhere.code, nowhere.json["broker"]["reachable"].as_bool()), (Some(1), Some(false)));
    assert!(nowhere.text.contains("NOT REACHABLE"), "{}", nowhere.text);
}

/// A queue that somebody declared in another way, which no service can use; a database that takes no writes.
#[tokio::test]
async fn what_keeps_the_service_from_working_is_named() {
    let world = World::new().await;
    let (ended, log) = Service::start(&world, &[]).await.terminate().await;
    assert!(ended.success(), "{log}");
    let client = SeedClient::connect(&world.amqp_url).await;
    client.channel.queue_delete("florin.work".into(), QueueDeleteOptions::default()).await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    client.channel.queue_declare("florin.work".into(), durable, FieldTable::default()).await.unwrap();
    let read_only = "ALTER DATABASE current SET default_transaction_read_only = on";
    let (_, name) = world.database_url.rsplit_once('/').unwrap();
    world.ledger().await.sql.batch_execute(&read_only.replace("current", name)).await.unwrap();

    let status = status(&world.database_url, &world.amqp_url).await;
    let problems = status.problems();
    for part in ["declared with other settings: PRECONDITION_FAILED", "no instance consumes", "read-only"] {
        assert!(problems.contains(part), "{part} is not in {problems}");
    }
    assert_eq!(status.code, Some(1));
}
