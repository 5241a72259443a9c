//! Child processes: services, load generators, pgbench, perf. None outlives this program: `devstack` sees to
//! that.
//!
//! Ctrl-C reaches this program alone, which then stops its children: every loop that waits calls
//! `Interrupt::check`.

use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use devstack::Child;
use tokio::signal::unix::{SignalKind, signal};

const PAUSE: Duration = Duration::from_millis(5);
/// How much of a log an error shows.
const LOG_TAIL: usize = 2000;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("interrupted")]
    Interrupted,
    #[error("cannot {doing}: {source}")]
    Io { doing: String, source: std::io::Error },
    #[error(transparent)]
    Devstack(#[from] devstack::Error),
    #[error("{program} failed ({status}): {log}")]
    Failed { program: String, status: ExitStatus, log: String },
    #[error("{program} did not end within {} s: {log}", limit.as_secs())]
    TooSlow { program: String, limit: Duration, log: String },
}

pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
    let doing = doing.into();
    move |source| Error::Io { doing, source }
}

/// Whether the run has been asked to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Catches SIGINT, SIGTERM and SIGHUP from now on. A second one ends the program at once.
    pub(crate) fn listen() -> Result<Self, Error> {
        let interrupt = Self::default();
        let flag = interrupt.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(io("listen for signals"))?;
        thread::spawn(move || {
            runtime.block_on(async {
                let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
                let [Ok(mut int), Ok(mut term), Ok(mut hup)] = kinds.map(signal) else { return };
                loop {
                    tokio::select! { _ = int.recv() => {}, _ = term.recv() => {}, _ = hup.recv() => {} }
                    if flag.0.swap(true, Ordering::Relaxed) {
                        std::process::exit(130);
                    }
                    eprintln!("\ninterrupted: stopping the processes (interrupt again to exit at once)");
                }
            });
        });
        Ok(interrupt)
    }

    /// An error once the run is interrupted.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Sleeps until the time is over or the run is interrupted.
    pub(crate) fn sleep(&self, time: Duration) -> Result<(), Error> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.check()?;
            thread::sleep(left.min(PAUSE * 10));
        }
        self.check()
    }
}

/// Starts children. Clones share the folder, which is removed with the last of them.
#[derive(Debug, Clone)]
pub(crate) struct Children {
    children: devstack::Children,
    pub(crate) interrupt: Interrupt,
}

impl Children {
    pub(crate) fn new(interrupt: Interrupt) -> Result<Self, Error> {
        Ok(Self { children: devstack::Children::new("benchmarks")?, interrupt })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.children.folder()
    }

    pub(crate) fn start(&self, command: &Command) -> Result<Process, Error> {
        self.interrupt.check()?;
        Ok(Process { child: self.children.start(command)?, interrupt: self.interrupt.clone() })
    }

    /// Runs a program to its end and returns what it printed.
    pub(crate) fn run(&self, command: &Command, limit: Duration) -> Result<String, Error> {
        self.start(command)?.finish(limit)
    }
}

/// A running child. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    interrupt: Interrupt,
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    pub(crate) fn log(&self) -> String {
        self.child.log()
    }

    /// An error when it has ended.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        self.interrupt.check()?;
        self.child.status()?.map_or(Ok(()), |status| Err(self.failed(status)))
    }

    /// Waits until it ends by itself, and returns what it printed.
    pub(crate) fn finish(mut self, limit: Duration) -> Result<String, Error> {
        let end = Instant::now() + limit;
        loop {
            self.interrupt.check()?;
            match self.child.status()? {
                Some(status) if status.success() => return Ok(self.child.output()?),
                Some(status) => return Err(self.failed(status)),
                None if Instant::now() >= end => {
                    let program = self.child.program().to_owned();
                    return Err(Error::TooSlow { program, limit, log: tail(&self.log()) });
                }
                None => thread::sleep(PAUSE),
            }
        }
    }

    fn failed(&self, status: ExitStatus) -> Error {
        Error::Failed { program: self.child.program().to_owned(), status, log: tail(&self.log()) }
    }
}

fn tail(log: &str) -> String {
    let log = log.trim();
    let start = log.len().saturating_sub(LOG_TAIL);
    let start = (start..=log.len()).find(|index| log.is_char_boundary(*index)).unwrap_or_default();
    log[start..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_is_returned_and_failures_show_the_log() {
        let children = Children::new(Interrupt::default()).unwrap();
        assert_eq!(children.run(&shell("echo yes"), Duration::from_secs(10)).unwrap(), "yes\n");
        let failed = children.run(&shell("echo no >&2; exit 3"), Duration::from_secs(10)).unwrap_err();
        assert!(failed.to_string().contains("no"), "{failed}");
        let slow = children.run(&shell("sleep 60"), Duration::from_millis(50)).unwrap_err();
        assert!(matches!(slow, Error::TooSlow { .. }), "{slow}");
    }

    #[test]
    fn an_interruption_ends_every_wait() {
        let interrupt = Interrupt::default();
        let children = Children::new(interrupt.clone()).unwrap();
        interrupt.0.store(true, Ordering::Relaxed);
        assert!(matches!(interrupt.sleep(Duration::from_secs(60)), Err(Error::Interrupted)));
        assert!(matches!(children.start(&shell("true")), Err(Error::Interrupted)));
    }
}
