//! The service as a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::World;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `florin serve`. It is killed when it is dropped.
pub struct Service {
    child: Child,
    lines: UnboundedReceiver<String>,
    log: Arc<Mutex<String>>,
    /// Where its HTTP side listens.
    pub http_address: String,
}

impl Service {
    /// Starts it, with further environment variables, and waits until it takes requests.
    pub async fn start(world: &World, environment: &[(&str, &str)]) -> Self {
        let mut service = Self::spawn(world, environment);
        let starting = service.line_with("starting").await;
        let starting: serde_json::Value = serde_json::from_str(&starting).expect("a JSON log line");
        service.http_address = starting["http"].as_str().expect("an address").to_owned();
        service.line_with("consumer started").await;
        service
    }

    /// Starts it and does not wait.
    pub fn spawn(world: &World, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_florin"))
            .arg("serve")
            .env_clear()
            .envs([("DATABASE_URL", world.database_url.as_str()), ("AMQP_URL", world.amqp_url.as_str())])
            .envs([("SERVER_PORT", "0"), ("RUST_LOG", "info"), ("RUST_BACKTRACE", "1")])
            .envs(environment.iter().copied())
            .current_dir(std::env::temp_dir())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the service starts");
        let stderr = child.stderr.take().expect("it is piped");
        let (sender, lines) = unbounded_channel();
        let log = Arc::new(Mutex::new(String::new()));
        let all = Arc::clone(&log);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut all = all.lock().expect("no panic");
                all.push_str(&line);
                all.push('\n');
                let _ = sender.send(line);
            }
        });
        Self { child, lines, log, http_address: String::new() }
    }

    /// Waits for a line of the log that holds this text, and returns the line.
    pub async fn line_with(&mut self, text: &str) -> String {
        let found = async {
            while let Some(line) = self.lines.recv().await {
                if line.contains(text) {
                    return Some(line);
                }
            }
            None
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(Some(line)) => line,
            _ => panic!("the service never logged {text:?}:\n{}", self.log()),
        }
    }

    /// All that it logged.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic").clone()
    }

    /// Kill -9.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it runs");
    }

    /// Waits until it ends by itself.
    pub async fn exit(mut self) -> (ExitStatus, String) {
        // The log is complete when nobody writes to it any more.
        let all = async { while self.lines.recv().await.is_some() {} };
        tokio::time::timeout(PATIENCE, all).await.expect("in time");
        let log = self.log();
        let status = tokio::task::spawn_blocking(move || self.child.wait().expect("it ends"));
        let status = tokio::time::timeout(PATIENCE, status).await.expect("in time").expect("no panic");
        (status, log)
    }

    /// SIGTERM, and waits for the end.
    pub async fn terminate(self) -> (ExitStatus, String) {
        self.signal(Signal::SIGTERM);
        self.exit().await
    }

    /// Memory in use, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    }

    /// Waits until its metrics have this line. What is counted may be counted after a client has its answer.
    pub async fn metric(&self, line: &str) {
        let line = format!("{line}\n");
        let shown = async { while !self.get("/metrics").await.contains(&line) {} };
        if tokio::time::timeout(PATIENCE, shown).await.is_err() {
            panic!("no {line} in {}", self.get("/metrics").await);
        }
    }

    /// Waits until `/readyz` answers with this status and this text.
    pub async fn readyz(&self, status: u16, text: &str) {
        let status = format!("HTTP/1.1 {status} ");
        let shown = async {
            loop {
                let page = self.get("/readyz").await;
                if page.starts_with(&status) && page.contains(text) {
                    return;
                }
            }
        };
        if tokio::time::timeout(PATIENCE, shown).await.is_err() {
            panic!("not {status}with {text}: {}", self.get("/readyz").await);
        }
    }

    /// Reads a page of its HTTP side.
    pub async fn get(&self, path: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(&self.http_address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut page = String::new();
        stream.read_to_string(&mut page).await.expect("it answers");
        page
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().expect("a process id"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the service logged:\n{}", self.log());
        }
    }
}
