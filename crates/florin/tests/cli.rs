//! The command line as its users see it: what it prints, where, and the exit code.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A command in a folder of its own, with an empty environment except for the search path.
fn florin(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_florin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.args(arguments).env_clear().env("PATH", path).current_dir(folder);
    command
}

fn run(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    florin(folder, arguments).envs(environment.iter().copied()).output().unwrap()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The effective configuration.
fn config(folder: &Path, flags: &[&str], environment: &[(&str, &str)]) -> toml::Table {
    let output = run(folder, &[&["config"], flags].concat(), environment);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).parse().unwrap()
}

#[test]
fn settings_come_from_all_sources_of_the_process() {
    let folder = folder();
    let port = |flags: &[&str], environment: &[(&str, &str)]| {
        config(folder.path(), flags, environment)["http"]["port"].as_integer().unwrap()
    };
    assert_eq!(port(&[], &[]), 9000);
    fs::write(folder.path().join("florin.toml"), "http.port = 1").unwrap();
    assert_eq!(port(&[], &[]), 1);
    fs::write(folder.path().join("other.toml"), "http.port = 2").unwrap();
    assert_eq!(port(&[], &[("FLORIN_CONFIG", "other.toml")]), 2);
    assert_eq!(port(&["--config", "florin.toml"], &[("FLORIN_CONFIG", "other.toml")]), 1);
    fs::write(folder.path().join(".env"), "SERVER_PORT=3\n").unwrap();
    assert_eq!(port(&[], &[]), 3);
    assert_eq!(port(&[], &[("SERVER_PORT", "4")]), 4);
    assert_eq!(port(&["--port", "5"], &[("SERVER_PORT", "4")]), 5);
}

#[test]
fn every_flag_sets_something_and_secrets_are_hidden() {
    let flags = [
        ("--amqp-url", "amqp://u:s3cret@h/v", "broker", "urls", "[\"amqp://u:***@h/v\"]"),
        ("--database-url", "postgres://u:s3cret@h/d", "database", "url", "\"postgres://u:***@h/d\""),
        ("--queue", "q", "broker", "queue", "\"q\""),
        ("--prefetch", "7", "broker", "prefetch", "7"),
        ("--host", "127.0.0.1", "http", "host", "\"127.0.0.1\""),
        ("--port", "8", "http", "port", "8"),
        ("--log", "warn", "log", "filter", "\"warn\""),
        ("--log-format", "json", "log", "format", "\"json\""),
    ];
    let mut arguments: Vec<&str> = flags.iter().flat_map(|(flag, value, ..)| [*flag, *value]).collect();
    arguments.push("--no-migrate");
    let config = config(folder().path(), &arguments, &[]);
    for (flag, _, section, field, shown) in flags {
        assert_eq!(config[section][field].to_string(), shown, "{flag}");
    }
    assert_eq!(config["database"]["migrate_on_start"].as_bool(), Some(false));
}

#[test]
fn exit_codes_tell_a_wrong_command_from_a_failure() {
    let folder = folder();
    let unreachable = "postgres://florin@127.0.0.1:1/florin";
    let cases: [(&[&str], i32, &str); 12] = [
        (&["--version"], 0, ""),
        (&["no-such-command"], 2, "no-such-command"),
        (&["wallet", "create", "9-1"], 2, "the range ends before it begins"),
        (&["ticker", "add", "JPY", "--scale", "19"], 2, "must be a whole number from 0 to 18"),
        (
            &["serve", "--prefetch", "0"],
            2,
            "error: --prefetch is 0; it must be a whole number from 1 to 65535",
        ),
        (&["serve", "--config", "none.toml"], 2, "error: none.toml cannot be read: No such file"),
        (
            &["wallet", "list", "--database-url", unreachable],
            1,
            "error: cannot list wallets: cannot connect to PostgreSQL at 127.0.0.1:1: connection refused. Set \
             DATABASE_URL or --database-url.\n",
        ),
        (
            &["dead", "list", "--amqp-url", "amqp://127.0.0.1:1"],
            1,
            "cannot connect to RabbitMQ at 127.0.0.1:1 as guest: connection refused. Set AMQP_URL or --amqp-url.\n",
        ),
        (
            &["bench", "--database-url", unreachable],
            1,
            "error: cannot tell whether the ledger is in use (--yes skips this check): cannot connect to PostgreSQL",
        ),
        (&["verify", "--limit", "x"], 2, "'--limit <FINDINGS>': must be a whole number from 0 to 10000"),
        (
            &["key", "create", "--role", "client", "--name", "x", "--expires-in", "soon"],
            2,
            "must be a number and its unit (ms, s, m, h, d or y), at most 100y, such as 500ms, 90m or 30d",
        ),
        (
            &["key", "create", "--role", "boss", "--name", "x"],
            2,
            "[possible values: reader, client, operator]",
        ),
    ];
    for (arguments, code, message) in cases {
        let output = run(folder.path(), arguments, &[]);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_taken_port_says_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(folder().path(), &["serve", "--host", "127.0.0.1", "--port", &port], &[]);
    assert_eq!(output.status.code(), Some(1));
    let message = format!("error: port {port} is taken: choose another with SERVER_PORT or --port");
    assert!(stderr(&output).contains(&message), "{}", stderr(&output));
}

/// As after `florin ... 2>&1 | head -1`: whoever read the output is gone before anything is written.
#[test]
fn a_closed_pipe_changes_no_exit_code() {
    let folder = folder();
    let unreachable = "postgres://florin@127.0.0.1:1/florin";
    let nobody = "amqp://127.0.0.1:1";
    let cases: [(&[&str], i32); 10] = [
        (&["--help"], 0),
        (&["config"], 0),
        (&["config", "--json"], 0),
        (&["schema", "asyncapi"], 0),
        (&["completions", "bash"], 0),
        (&["man"], 0),
        (&["no-such-command"], 2),
        (&["verify", "--database-url", unreachable], 1),
        (&["dead", "list", "--amqp-url", nobody], 1),
        (&["status", "--database-url", unreachable, "--amqp-url", nobody], 1),
    ];
    for (arguments, code) in cases {
        let mut child = florin(folder.path(), arguments);
        let mut child = child.stdout(closed_pipe()).stderr(closed_pipe()).spawn().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{arguments:?}");
    }
}

/// The service lives on when nobody reads its log any more.
#[test]
fn a_closed_log_stops_nothing() {
    let folder = folder();
    let port = free_port().to_string();
    let address = format!("127.0.0.1:{port}");
    let nowhere = ["--amqp-url", "amqp://127.0.0.1:1", "--database-url", "postgres://u@127.0.0.1:1/d"];
    let arguments = [&["serve", "--host", "127.0.0.1", "--port", &port], nowhere.as_slice()].concat();
    let mut child = Running(florin(folder.path(), &arguments).stderr(closed_pipe()).spawn().unwrap());
    // It has logged that it starts before it listens, and that it cannot connect soon after.
    while TcpStream::connect(&address).is_err() {
        assert_eq!(child.0.try_wait().unwrap(), None, "it ended");
    }
    for _ in 0..20 {
        assert!(get(&address, "/readyz").starts_with("HTTP/1.1 503 "));
    }
    signal(&child, Signal::SIGTERM);
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

/// A pipe whose other end is closed.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn settings_are_printed_as_json() {
    let output =
        run(folder().path(), &["config", "--json"], &[("BR_PASSWORD", "s3cret"), ("SERVER_PORT", "7")]);
    let config: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&config["http"]["port"], &config["broker"]["password"]), (&7.into(), &"***".into()));
}

#[test]
fn manual_pages_are_written() {
    let folder = folder();
    let output = run(folder.path(), &["man", "--dir", "man/man1"], &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    for page in ["florin.1", "florin-verify.1", "florin-dead-requeue.1"] {
        let text = fs::read_to_string(folder.path().join("man/man1").join(page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
    }
    assert!(!folder.path().join("man/man1/florin-echo.1").exists());
}

#[test]
fn shells_get_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(folder().path(), &["completions", shell], &[]);
        assert!(output.status.success() && stdout(&output).contains("florin"), "{shell}");
    }
    // Values are completed, too.
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&run(folder().path(), &["completions", shell], &[]));
        assert!(script.contains("verify") && script.contains("operator"), "{shell}");
    }
}

/// Without a broker and a database the service lives, is not ready, and stops when it is told to.
#[test]
fn serve_waits_for_its_servers_and_stops_at_once() {
    let folder = folder();
    let nowhere = ["--amqp-url", "amqp://127.0.0.1:1", "--database-url", "postgres://u@127.0.0.1:1/d"];
    let arguments = [&["serve", "--host", "127.0.0.1", "--port", "0"], nowhere.as_slice()].concat();
    let mut child = Running(florin(folder.path(), &arguments).stderr(Stdio::piped()).spawn().unwrap());
    let mut log = BufReader::new(child.0.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    let starting: Value = serde_json::from_str(&line).unwrap();
    let http = starting["http"].as_str().unwrap().to_owned();
    assert!(get(&http, "/healthz").starts_with("HTTP/1.1 200 "));
    let readiness = get(&http, "/readyz");
    assert!(readiness.starts_with("HTTP/1.1 503 ") && readiness.contains(r#""broker":"unreachable""#));
    signal(&child, Signal::SIGTERM);
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(0), "{rest}");
}

#[test]
fn dev_makes_everything_and_takes_it_away() {
    let folder = folder();
    let ready_file = folder.path().join("ready.json");
    let (mut child, mut out) = dev(folder.path(), &["--ready-file", "ready.json"]);
    until(&mut out, "Ctrl-C stops everything.");
    let urls: Value = serde_json::from_str(&fs::read_to_string(&ready_file).unwrap()).unwrap();
    let url = |name: &str| urls[name].as_str().unwrap().to_owned();

    let http = url("http_url").replace("http://", "");
    assert!(get(&http, "/readyz").starts_with("HTTP/1.1 200 "));
    let database_url = url("database_url");
    let database = [("DATABASE_URL", database_url.as_str())];
    let tickers = stdout(&run(folder.path(), &["ticker", "list"], &database));
    let tickers: Vec<&str> = tickers.split_whitespace().collect();
    assert_eq!(tickers, ["TICKER", "SCALE", "EUR", "2", "RUB", "2", "USD", "2", "USDT", "6"]);
    let created = run(folder.path(), &["wallet", "create", "8-12"], &database);
    assert_eq!(stdout(&created), "wallets created: 3\n");
    let json = |arguments: &[&str]| -> Value {
        let output = run(folder.path(), arguments, &database);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    };
    assert_eq!(json(&["ticker", "list", "--json"])["tickers"][3], json!({"name": "USDT", "scale": 6}));
    let page = json(&["wallet", "list", "--after", "9", "--limit", "2", "--json"]);
    assert_eq!((&page["wallets"][1]["wallet_id"], &page["next"]), (&11.into(), &11.into()));
    let last = json(&["wallet", "list", "--json"]);
    assert_eq!((&last["wallets"][0]["balances"], &last["next"]), (&json!([]), &Value::Null));
    let key = json(&["key", "create", "--role", "reader", "--name", "shop", "--wallets", "1-9", "--json"]);
    assert!(key["key"].as_str().unwrap().starts_with("florin_"), "{key}");
    let keys = json(&["key", "list", "--json"]);
    let shop = keys["keys"].as_array().unwrap().iter().find(|key| key["name"] == "shop").unwrap().clone();
    assert_eq!((&shop["state"], &shop["wallets"]), (&"active".into(), &json!({"from": 1, "to": 9})));
    assert_eq!(json(&["key", "revoke", "shop", "--json"]), json!({"name": "shop", "state": "revoked"}));
    assert_eq!(json(&["migrate", "--json"]), json!({"applied": []}));
    let page = stdout(&run(folder.path(), &["wallet", "list", "--after", "9", "--limit", "2"], &database));
    let words: Vec<&str> = page.split_whitespace().skip(4).collect();
    assert_eq!(words, ["10", "-", "-", "-", "11", "-", "-", "-", "more:", "--after", "11"]);
    let up_to_date = run(folder.path(), &["migrate"], &database);
    assert_eq!(stdout(&up_to_date), "The schema was up to date.\n");

    signal(&child, Signal::SIGTERM);
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
    assert!(!ready_file.exists());
    let address = database_url.replace("postgres://florin@", "").replace("/florin", "");
    assert!(TcpStream::connect(address).is_err(), "the database still runs");
}

#[test]
fn dev_can_be_interrupted_while_it_starts() {
    let folder = folder();
    let (mut child, mut out) = dev(folder.path(), &[]);
    until(&mut out, "Starting a private PostgreSQL and RabbitMQ...");
    signal(&child, Signal::SIGINT);
    assert_eq!(child.0.wait().unwrap().code(), Some(1));
}

#[test]
fn a_second_signal_ends_at_once() {
    let folder = folder();
    let (mut child, mut out) = dev(folder.path(), &[]);
    until(&mut out, "Starting a private PostgreSQL and RabbitMQ...");
    signal(&child, Signal::SIGTERM);
    let mut log = BufReader::new(child.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(log.any(|line| line.contains("a second signal stops at once")));
    signal(&child, Signal::SIGINT);
    assert_eq!(child.0.wait().unwrap().code(), Some(130));
}

/// A process that does not outlive a test that fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn dev(folder: &Path, flags: &[&str]) -> (Running, BufReader<ChildStdout>) {
    let mut command = florin(folder, &[&["dev"], flags].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (Running(child), out)
}

fn until(out: &mut BufReader<ChildStdout>, line: &str) {
    let found = out.lines().map_while(Result::ok).any(|have| have == line);
    assert!(found, "{line:?} was never printed");
}

fn signal(child: &Running, signal: Signal) {
    kill(Pid::from_raw(child.0.id().try_into().unwrap()), signal).unwrap();
}

fn get(address: &str, path: &str) -> String {
    use std::io::Write;
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: florin\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
