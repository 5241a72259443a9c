//! What both servers have in common: a folder, a guard, a main process, perhaps a helper process.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::{Doing, Error};
use crate::folder::Folder;
use crate::guard::Guard;
use crate::process::{Output, Process};
use crate::wait::wait_until;

/// How long a server may take until it is ready, recovery after a crash included.
const READY_LIMIT: Duration = Duration::from_secs(90);

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) folder: Folder,
    guard: Guard,
    main: Option<Process>,
    helper: Option<Process>,
    stop_signal: Signal,
    stop_limit: Duration,
    /// The length of the log before the latest start.
    log_start: u64,
}

impl Server {
    pub(crate) fn new(
        name: &'static str,
        data_dir: Option<&Path>,
        stop_signal: Signal,
        stop_limit: Duration,
    ) -> Result<Self, Error> {
        Self::of(Folder::open(data_dir, name)?, name, stop_signal, stop_limit)
    }

    /// In a temporary folder, run by the caller's own user, whoever that is.
    pub(crate) fn as_caller(
        name: &'static str,
        stop_signal: Signal,
        stop_limit: Duration,
    ) -> Result<Self, Error> {
        Self::of(Folder::of_caller(name)?, name, stop_signal, stop_limit)
    }

    fn of(
        folder: Folder,
        name: &'static str,
        stop_signal: Signal,
        stop_limit: Duration,
    ) -> Result<Self, Error> {
        // At once, so that the folder goes even when the caller is killed now.
        let guard = Guard::start(&folder, stop_signal.as_str().trim_start_matches("SIG"))?;
        folder.hand_over()?;
        Ok(Self { name, folder, guard, main: None, helper: None, stop_signal, stop_limit, log_start: 0 })
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.main.as_mut().is_some_and(Process::runs)
    }

    pub(crate) fn helper_runs(&mut self) -> bool {
        self.helper.as_mut().is_some_and(Process::runs)
    }

    pub(crate) fn main_pid(&self) -> Option<u32> {
        self.main.as_ref().map(Process::pid)
    }

    /// Runs a program that prepares the folder, to its end.
    pub(crate) fn prepare(&mut self, program: &Path, arguments: &[String]) -> Result<(), Error> {
        let process = self.spawn(program, arguments, &[])?;
        if process.finish(READY_LIMIT, &mut self.guard) {
            return Ok(());
        }
        Err(self.failed(format!("{} failed", program.display())))
    }

    pub(crate) fn start_main(
        &mut self,
        program: &Path,
        arguments: &[String],
        environment: &[(&str, String)],
    ) -> Result<(), Error> {
        // The remains of one that exited by itself would be in the way of the next.
        if let Some(old) = self.main.take() {
            old.kill(&mut self.guard);
        }
        self.main = Some(self.spawn(program, arguments, environment)?);
        Ok(())
    }

    pub(crate) fn start_helper(
        &mut self,
        program: &Path,
        arguments: &[String],
        environment: &[(&str, String)],
    ) -> Result<(), Error> {
        if let Some(old) = self.helper.take() {
            old.kill(&mut self.guard);
        }
        self.helper = Some(self.spawn(program, arguments, environment)?);
        Ok(())
    }

    fn spawn(
        &mut self,
        program: &Path,
        arguments: &[String],
        environment: &[(&str, String)],
    ) -> Result<Process, Error> {
        let log = self.folder.open_log()?;
        self.log_start = log.metadata().doing(|| "read the size of the log".into())?.len();
        let stderr = log.try_clone().doing(|| "share the log".into())?;
        let mut shell = self.folder.command("/bin/sh");
        shell.envs(environment.iter().map(|(name, value)| (*name, value)));
        let mut command = Command::new(program);
        command.args(arguments);
        Process::spawn(shell, &command, Output { stdout: log, stderr }, &mut self.guard)
    }

    /// Waits until the started process is ready; an early end or too long a wait is an error that
    /// shows the log.
    pub(crate) fn wait_ready(
        &mut self,
        mut runs: impl FnMut(&mut Self) -> bool,
        mut ready: impl FnMut(&Self) -> bool,
    ) -> Result<(), Error> {
        let mut ended = false;
        let mut is_ready = false;
        wait_until(READY_LIMIT, || {
            is_ready = ready(self);
            ended = !is_ready && !runs(self);
            is_ready || ended
        });
        match (is_ready, ended) {
            (true, _) => Ok(()),
            (_, true) => Err(self.failed("it ended early".into())),
            _ => Err(self.failed(format!("it was not ready after {} s", READY_LIMIT.as_secs()))),
        }
    }

    pub(crate) fn failed(&self, reason: String) -> Error {
        Error::Start {
            server: self.name,
            reason,
            log_path: self.folder.log(),
            log: self.folder.log_since(self.log_start),
        }
    }

    pub(crate) fn stop(&mut self) {
        if let Some(main) = self.main.take() {
            main.stop(self.stop_signal, self.stop_limit, &mut self.guard);
        }
        self.kill_helper();
    }

    pub(crate) fn kill(&mut self) {
        if let Some(main) = self.main.take() {
            main.kill(&mut self.guard);
        }
        self.kill_helper();
    }

    fn kill_helper(&mut self) {
        if let Some(helper) = self.helper.take() {
            helper.kill(&mut self.guard);
        }
    }

    pub(crate) fn suspend(&mut self) -> Result<(), Error> {
        self.main.as_mut().map_or(Ok(()), |main| main.suspend(&mut self.guard))
    }

    pub(crate) fn resume(&mut self) {
        if let Some(main) = &mut self.main {
            main.resume(&mut self.guard);
        }
    }
}

impl Drop for Server {
    /// Stops what runs; then the guard, dropped next, removes a temporary folder.
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs a helper program such as `psql` to its end and returns what it printed.
pub(crate) fn run(mut command: Command) -> Result<String, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().doing(|| format!("run {program}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let output_text = format!("{} {}", text(&output.stdout), text(&output.stderr));
    Err(Error::Command { program, status: output.status, output: output_text.trim().to_owned() })
}
