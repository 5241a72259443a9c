//! `florin demo` and `florin bench` against a running service.

use std::process::{Command, Output};

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use serde_json::Value;

use crate::common::{Service, World};

async fn run(world: &World, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_florin"));
    command.args(arguments).env_clear().current_dir(std::env::temp_dir());
    command.envs([("DATABASE_URL", &world.database_url), ("AMQP_URL", &world.amqp_url)]);
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

async fn florin(world: &World, arguments: &[&str]) -> String {
    let output = run(world, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_demo_gets_120_answers() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let text = florin(&world, &["demo"]).await;
    assert!(text.starts_with("120 of 120 requests answered"), "{text}");
    let words: Vec<&str> = text.split_whitespace().collect();
    for row in [["invoice", "200", "30"], ["balance", "200", "50"]] {
        assert!(words.windows(3).any(|found| found == row), "{row:?} in {text}");
    }
    world.ledger().await.assert_sound().await;
}

#[tokio::test]
async fn the_bench_measures_the_service_and_its_stand_in() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let short = ["--duration", "500ms", "--warm-up", "100ms", "--wallets", "20", "--json"];
    let output = florin(&world, &[&["bench", "--in-flight", "1,50"], &short[..]].concat()).await;
    let measured: Value = serde_json::from_str(&output).unwrap();
    for (in_flight, measurement) in [1, 50].into_iter().zip(measured.as_array().unwrap()) {
        assert_eq!(measurement["in_flight"], in_flight);
        assert!(measurement["requests"].as_u64().unwrap() > 0, "{measurement}");
        assert!(measurement["answers"]["withdraw"]["400"].is_null(), "wallets have funds: {measurement}");
    }
    let compare = ["bench", "--compare", "--rounds", "1", "--mix", "invoice=1"];
    let output = florin(&world, &[&compare, &short[..]].concat()).await;
    let compared: Value = serde_json::from_str(&output).unwrap();
    for target in ["florin", "echo"] {
        assert!(compared[0][target][0]["answers"]["invoice"]["200"].as_u64().unwrap() > 0, "{compared}");
    }
    assert!(!queue_exists(&world, "florin.echo").await);
    world.ledger().await.assert_sound().await;
}

async fn queue_exists(world: &World, name: &str) -> bool {
    let connection = Connection::connect(&world.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), passive, FieldTable::default()).await.is_ok()
}

/// Neither writes into a ledger with transactions of others, unless it is told to.
#[tokio::test]
async fn a_ledger_in_use_is_left_alone() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let bench = ["bench", "--mix", "invoice=1", "--requests", "1", "--warm-up", "0s", "--wallets", "9"];
    // What they wrote themselves is no hindrance.
    for arguments in [&["demo"], &bench[..], &["demo"]] {
        florin(&world, arguments).await;
    }
    let invoice = world.client().await.invoice(1, "USD", "1".parse().unwrap()).await.unwrap();
    assert_eq!(invoice.reply.code, 200);
    let ledger = world.ledger().await;
    let postings = ledger.number("SELECT count(*) FROM postings").await;
    for arguments in [&["demo"], &bench[..]] {
        let output = run(&world, arguments).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("transactions that `florin bench` and `florin demo` did not make"), "{error}");
        assert_eq!(output.status.code(), Some(1));
    }
    assert_eq!(ledger.number("SELECT count(*) FROM postings").await, postings);
    let demo: Value = serde_json::from_str(&florin(&world, &["demo", "--yes", "--json"]).await).unwrap();
    assert_eq!((&demo["answered"], &demo["balances"][0]["ticker"]), (&120.into(), &"USD".into()));
}
