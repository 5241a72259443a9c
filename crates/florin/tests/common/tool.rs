//! The command line as a process of its own, to its end or until it is killed.

use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// What a command of `florin` printed, and how it ended.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Runs `florin` with these arguments on this broker.
    pub async fn florin(amqp_url: &str, arguments: &[&str]) -> Self {
        let mut command = command(amqp_url, arguments);
        let output = tokio::task::spawn_blocking(move || command.output().expect("it starts"));
        let Output { status, stdout, stderr } = output.await.expect("no panic");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// What it printed, as JSON.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.stdout).expect("JSON")
    }
}

/// Starts `florin` with these arguments on this broker, and does not wait.
pub fn spawn_florin(amqp_url: &str, arguments: &[&str]) -> Child {
    command(amqp_url, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

fn command(amqp_url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_florin"));
    command.args(arguments).env_clear().env("AMQP_URL", amqp_url).current_dir(std::env::temp_dir());
    command.stdin(Stdio::null());
    command
}
