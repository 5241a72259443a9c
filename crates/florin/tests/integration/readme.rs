//! The lines of the README, word for word, on the servers of this test. Those for `rabbitmqctl` are in
//! `access/permissions.rs`, those for TLS in `tls.rs`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use florin_client::{Client, ClientOptions};
use serde_json::Value;

use crate::common::{Service, World, empty_world};

/// The lines of the block that begins so, with these words in place of those that stand there.
pub(crate) fn block(start: &str, words: &[(&str, &str)]) -> String {
    let readme = include_str!("../../../../README.md");
    let mut blocks = readme.split("```").filter_map(|block| block.strip_prefix("sh\n"));
    let block = blocks.find(|block| block.starts_with(start)).expect("the README has it");
    words.iter().fold(block.to_owned(), |block, (written, meant)| {
        assert!(block.contains(written), "{written} is not in {block}");
        block.replace(written, meant)
    })
}

/// A shell that knows our programs and nothing of the environment. It ends with the first line that fails.
pub(crate) fn shell(script: &str) -> Command {
    let programs = Path::new(env!("CARGO_BIN_EXE_florin")).parent().unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-euc", script])
        .env_clear()
        .env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()))
        .current_dir(std::env::temp_dir());
    shell
}

/// Runs it to its end, and returns what it printed.
pub(crate) async fn done(mut shell: Command) -> String {
    let output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    let Output { status, stdout, stderr } = output;
    let printed = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{printed}{}", String::from_utf8_lossy(&stderr));
    printed
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// From nothing to a service that answers; then the audit, and the lines in Rust.
#[tokio::test]
async fn a_service_is_started_and_verified() -> Result<(), Box<dyn std::error::Error>> {
    let (database_url, amqp_url) = empty_world().await;
    let words = [
        ("amqp://user:password@host:5672/vhost", amqp_url.as_str()),
        ("postgres://user:password@host:5432/name", database_url.as_str()),
        ("florin serve", "exec florin serve"),
    ];
    let mut serve = shell(&block("export AMQP_URL=amqp://user", &words));
    let mut service = Running(serve.env("SERVER_PORT", "0").stderr(Stdio::piped()).spawn()?);
    let log = BufReader::new(service.0.stderr.take().expect("it is piped"));
    let serves = move || {
        let mut lines = Vec::new();
        for line in log.lines().map_while(Result::ok) {
            let serves = line.contains("taking requests");
            lines.push(line);
            if serves {
                return;
            }
        }
        panic!("it ended early: {lines:?}");
    };
    tokio::task::spawn_blocking(serves).await?;

    let source = include_str!("readme.rs");
    let readme = include_str!("../../../../README.md").replace("\"amqp://...\"", "&amqp_url");
    let rust = readme.split("```").find_map(|block| block.strip_prefix("rust\n")).expect("an example");
    assert!(rust.lines().all(|line| source.contains(line)), "not what is done here: {rust}");
    let client = Client::connect(&amqp_url, ClientOptions::default()).await?;
    let answer = client.invoice(1, "USD", "10.50".parse()?).await?;
    assert_eq!(answer.reply.code, 200);

    let mut verify = shell(&block("florin verify", &[]));
    verify.env("DATABASE_URL", &database_url);
    let printed = done(verify).await;
    assert!(printed.contains("FINDINGS"), "{printed}");
    Ok(())
}

#[tokio::test]
async fn money_is_sent_by_curl() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let words = [
        ("127.0.0.1:9000", service.http_address.as_str()),
        ("curl ", "curl --silent --show-error --fail-with-body --write-out '\\n' "),
    ];
    let mut curl = shell(&block("KEY=$(florin key create", &words));
    curl.env("DATABASE_URL", &world.database_url);
    let printed = done(curl).await;
    let answers: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&answers[0]["code"], &answers[1]["code"]), (&200.into(), &200.into()), "{printed}");
    assert_eq!(world.ledger().await.balances().await["1/USD"], "10.5");
}
