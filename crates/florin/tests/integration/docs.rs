//! The commands of the README and of the pages in docs/, word for word, on the servers of this test. Those for
//! `rabbitmqctl` are run in `access/permissions.rs`, those for TLS in `tls.rs`; the programs in other languages by
//! `make docs`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use florin_client::{Client, ClientOptions};
use florin_keys::Role;
use florin_store::NewKey;
use serde_json::Value;
use uuid::Uuid;

use crate::common::{Service, World, empty_world};

/// Pages whose `sh` blocks are run from the first to the last, as their readers do.
const FOLLOWED: [&str; 9] = [
    "docs/tutorial.md",
    "docs/guides/holds.md",
    "docs/guides/retries.md",
    "docs/guides/batches.md",
    "docs/guides/api-keys.md",
    "docs/guides/dead-letters.md",
    "docs/guides/audit.md",
    "docs/guides/benchmarks.md",
    "docs/reference/http.md",
];

/// Blocks that other tests run, by their beginning.
const RUN_ELSEWHERE: [(&str, &str); 6] = [
    // Its file is run by docs/reference/http.md.
    ("README.md", "curl \"$FLORIN_URL/invoice\""),
    ("docs/guides/production.md", "export AMQP_URL=amqp://user"),
    ("docs/guides/tls.md", "export AMQP_URL='amqps:"),
    ("docs/guides/amqp-access.md", "# The service.\nrabbitmqctl "),
    ("docs/guides/events.md", "rabbitmqctl add_user billing"),
    ("docs/guides/events.md", "rabbitmqctl set_topic_permissions -p / billing"),
];

/// What the shell prints after each block. No command prints it.
const END_OF_BLOCK: &str = "-- end of block --";

/// The folder of the repository.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A page with the files that it includes.
pub(crate) fn page(name: &str) -> String {
    let path = root().join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let included = |line: &str| -> Option<String> {
        let file = line.strip_prefix("{{#include ")?.strip_suffix("}}")?;
        Some(fs::read_to_string(path.with_file_name(file)).unwrap_or_else(|error| panic!("{file}: {error}")))
    };
    text.lines().map(|line| included(line).unwrap_or_else(|| format!("{line}\n"))).collect()
}

/// The fenced blocks of a page: what follows the fence, and the lines.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fenced = page.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').expect("a fence is a line of its own")).collect()
}

/// The `sh` block of a page that begins so, with these words in place of those that stand there.
pub(crate) fn block(name: &str, start: &str, words: &[(&str, &str)]) -> String {
    let page = page(name);
    let (_, block) = blocks(&page)
        .into_iter()
        .find(|(language, block)| *language == "sh" && block.starts_with(start))
        .unwrap_or_else(|| panic!("{name} has no block that begins with {start}"));
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

/// Runs all `sh` blocks of a page in one shell, and compares what each printed with the block of output that follows.
async fn follow(name: &str) {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let key =
        NewKey { name: "of-this-page".to_owned(), role: Role::Operator, wallets: None, expires_at: None };
    let key = world.store.create_key(&key).await.unwrap().reveal();

    let page = page(name);
    let blocks = blocks(&page);
    let commands = blocks.iter().filter(|(language, _)| *language == "sh");
    let script: String = commands.map(|(_, block)| format!("{block}\necho '{END_OF_BLOCK}'\n")).collect();
    let mut shell = shell(&script);
    shell
        .env("AMQP_URL", &world.amqp_url)
        .env("DATABASE_URL", &world.database_url)
        .env("FLORIN_URL", format!("http://{}", service.http_address))
        .env("FLORIN_API_KEY", key);
    let printed = done(shell).await;
    let mut printed = printed.split(END_OF_BLOCK);

    for (number, (language, block)) in blocks.iter().enumerate() {
        if *language != "sh" {
            continue;
        }
        let found = printed.next().expect("an output for each block").trim();
        match blocks.get(number + 1) {
            Some(("json", shown)) => assert_eq!(values(found), values(shown), "{name}: {block}"),
            Some(("text", shown)) => assert_eq!(masked(found), masked(shown.trim()), "{name}: {block}"),
            _ => {}
        }
    }
}

/// JSON texts, one after the other, without what differs from run to run.
fn values(text: &str) -> Vec<Value> {
    let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut values: Vec<Value> = values.map(|value| value.expect(text)).collect();
    values.iter_mut().for_each(mask);
    values
}

/// Blanks out ids, times and cursors.
fn mask(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(mask),
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "transaction_id" | "created_at" | "next" => *value = Value::from("..."),
                    _ => mask(value),
                }
            }
        }
        _ => {}
    }
}

/// A text with the same in place of every UUID.
fn masked(text: &str) -> String {
    let words = text.split_inclusive(|character: char| !character.is_ascii_hexdigit() && character != '-');
    words
        .map(|word| {
            let (id, rest) = word.split_at(word.len().min(36));
            if Uuid::try_parse(id).is_ok() { format!("...{rest}") } else { word.to_owned() }
        })
        .collect()
}

#[tokio::test]
async fn the_tutorial_works_as_it_says() {
    follow("docs/tutorial.md").await;
}

#[tokio::test]
async fn the_guides_work_as_they_say() {
    for name in FOLLOWED.into_iter().filter(|name| *name != "docs/tutorial.md") {
        follow(name).await;
    }
}

/// A block that no test runs is `sh,ignore`, and its reader can see why.
#[test]
fn every_command_is_run_by_a_test() {
    let mut pages = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned(), "SECURITY.md".to_owned()];
    for folder in ["docs", "docs/guides", "docs/reference", "docs/decisions"] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        pages.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}/{name}")));
    }
    let mut run_elsewhere = BTreeSet::from(RUN_ELSEWHERE);
    for name in pages {
        let page = page(&name);
        for (language, block) in blocks(&page) {
            assert!(
                !["bash", "shell", "console"].contains(&language),
                "{name}: commands are `sh`, or `sh,ignore`"
            );
            if language == "sh" && !FOLLOWED.contains(&name.as_str()) {
                let run =
                    run_elsewhere.iter().find(|(page, start)| *page == name && block.starts_with(start));
                let run = *run.unwrap_or_else(|| panic!("{name}: nothing runs this:\n{block}"));
                run_elsewhere.remove(&run);
            }
        }
    }
    assert!(run_elsewhere.is_empty(), "gone, or there twice: {run_elsewhere:?}");
}

/// What is shown is what `make docs` runs.
#[test]
fn the_programs_of_the_readme_are_the_examples() {
    let readme = page("README.md");
    let shown: Vec<_> =
        blocks(&readme).into_iter().filter(|(language, _)| *language != "sh,ignore").collect();
    let files = [("sh", "sh"), ("python", "py"), ("js", "mjs"), ("go", "go")];
    let examples = files.map(|(_, ending)| page(&format!("docs/examples/first_request.{ending}")));
    let expected: Vec<_> =
        files.iter().zip(&examples).map(|((language, _), text)| (*language, text.as_str())).collect();
    assert_eq!(shown, expected);
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// From nothing to a service that answers, and the lines in Rust.
#[tokio::test]
async fn a_service_is_set_up_as_in_production() -> Result<(), Box<dyn std::error::Error>> {
    let (database_url, amqp_url) = empty_world().await;
    let words = [
        ("amqp://user:password@host:5672/vhost", amqp_url.as_str()),
        ("postgres://user:password@host:5432/name", database_url.as_str()),
        ("florin serve", "exec florin serve"),
    ];
    let mut serve = shell(&block("docs/guides/production.md", "export AMQP_URL=amqp://user", &words));
    let mut service = Running(serve.env("SERVER_PORT", "0").stderr(Stdio::piped()).spawn()?);
    let log = BufReader::new(service.0.stderr.take().expect("it is piped"));
    let serves = move || {
        let mut lines = Vec::new();
        for line in log.lines().map_while(Result::ok) {
            let serves = line.contains("consumer started");
            lines.push(line);
            if serves {
                return;
            }
        }
        panic!("it ended early: {lines:?}");
    };
    tokio::task::spawn_blocking(serves).await?;

    let source = include_str!("docs.rs");
    let page = page("docs/reference/rust-client.md").replace("\"amqp://...\"", "&amqp_url");
    let (_, rust) = blocks(&page).into_iter().find(|(language, _)| *language == "rust").expect("an example");
    assert!(rust.lines().all(|line| source.contains(line)), "not what is done here: {rust}");
    let client = Client::connect(&amqp_url, ClientOptions::default()).await?;
    let answer = client.invoice(1, "USD", "10.50".parse()?).await?;
    assert_eq!(answer.reply.code, 200);
    Ok(())
}
