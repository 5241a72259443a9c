//! Any other program that runs like a server: with a folder for its log, a guard, and a process group.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::Error;
use crate::server::Server;

/// How long a program may take to end when it is asked to (SIGTERM).
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A program that runs beside the servers, as the caller's own user, in a temporary folder.
///
/// Dropping it stops it.
#[derive(Debug)]
pub struct Program {
    server: Server,
    path: PathBuf,
}

impl Program {
    /// Makes its folder. It does not run yet.
    pub fn new(name: &'static str, path: &Path) -> Result<Self, Error> {
        let server = Server::as_caller(name, Signal::SIGTERM, STOP_LIMIT)?;
        Ok(Self { server, path: path.to_owned() })
    }

    /// Starts it, unless it runs, with these arguments and nothing in its environment but these variables,
    /// `PATH` and `HOME`.
    pub fn start(&mut self, arguments: &[String], environment: &[(&str, String)]) -> Result<(), Error> {
        if self.server.runs() {
            return Ok(());
        }
        self.server.start_main(&self.path, arguments, environment)
    }

    pub fn runs(&mut self) -> bool {
        self.server.runs()
    }

    /// The process id, while there is one.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.main_pid()
    }

    /// What it printed, from all its starts.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.server.folder.log()
    }

    /// Asks it to end (SIGTERM) and waits; kills it when that takes too long.
    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// Kills it at once (SIGKILL).
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Suspends it (SIGSTOP): connections stay open.
    pub fn suspend(&mut self) -> Result<(), Error> {
        self.server.suspend()
    }

    /// Resumes it (SIGCONT).
    pub fn resume(&mut self) {
        self.server.resume();
    }
}
