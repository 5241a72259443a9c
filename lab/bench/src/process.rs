//! Child processes that never outlive this program: services, load generators, pgbench, perf.
//!
//! Each runs in a process group of its own, so that Ctrl-C reaches this program alone, which then stops in good
//! order: `check` tells every loop that waits. For the case that this program is killed, a small guard
//! (`guard.sh`) ends the groups and removes the folder. From the top: `Interrupt` is the flag, `Nursery` the folder
//! and the guard, `Process` one child.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

const GUARD: &str = include_str!("guard.sh");
const PAUSE: Duration = Duration::from_millis(5);
/// How long a child may take to end when it is asked to.
const STOP_LIMIT: Duration = Duration::from_secs(25);
/// How much of a log an error shows.
const LOG_TAIL: usize = 2000;

/// Why a child did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("interrupted")]
    Interrupted,
    #[error("cannot {doing}: {source}")]
    Io { doing: String, source: std::io::Error },
    #[error("{program} failed ({status}): {log}")]
    Failed { program: String, status: ExitStatus, log: String },
    #[error("{program} was not done after {} s: {log}", limit.as_secs())]
    TooSlow { program: String, limit: Duration, log: String },
}

pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
    let doing = doing.into();
    move |source| Error::Io { doing, source }
}

/// Whether somebody wants the run to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Notes SIGINT, SIGTERM and SIGHUP from now on. A second one ends the program at once.
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
                    eprintln!("\ninterrupted: stopping what runs (once more to stop at once)");
                }
            });
        });
        Ok(interrupt)
    }

    /// An error once somebody does.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Sleeps, but not through an interruption.
    pub(crate) fn sleep(&self, time: Duration) -> Result<(), Error> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.check()?;
            thread::sleep(left.min(PAUSE * 10));
        }
        self.check()
    }
}

/// The folder of the children, and the guard over both.
#[derive(Debug)]
pub(crate) struct Nursery {
    folder: PathBuf,
    guard: Child,
    pipe: Option<ChildStdin>,
    groups: Vec<u32>,
    started: u32,
}

impl Nursery {
    fn new() -> Result<Self, Error> {
        let folder = tempfile::Builder::new().prefix("florin-benchmarks-").tempdir();
        let folder = folder.map(tempfile::TempDir::keep).map_err(io("create a temporary folder"))?;
        let mut guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "sh"])
            .arg(&folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(io("start the guard"))?;
        let pipe = guard.stdin.take();
        Ok(Self { folder, guard, pipe, groups: Vec::new(), started: 0 })
    }

    fn tell(&mut self) -> Result<(), Error> {
        let words: Vec<String> = self.groups.iter().map(u32::to_string).collect();
        let Some(pipe) = &mut self.pipe else { return Ok(()) };
        pipe.write_all((words.join(" ") + "\n").as_bytes()).map_err(io("reach the guard"))
    }
}

impl Drop for Nursery {
    /// Lets the guard remove the folder, and waits for it.
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.guard.wait();
    }
}

/// Starts children. Clones share the folder and the guard, which go with the last of them.
#[derive(Debug, Clone)]
pub(crate) struct Children {
    nursery: Arc<Mutex<Nursery>>,
    pub(crate) folder: PathBuf,
    pub(crate) interrupt: Interrupt,
}

impl Children {
    pub(crate) fn new(interrupt: Interrupt) -> Result<Self, Error> {
        let nursery = Nursery::new()?;
        let folder = nursery.folder.clone();
        Ok(Self { nursery: Arc::new(Mutex::new(nursery)), folder, interrupt })
    }

    /// Starts a program in the folder. What it prints goes to files there.
    pub(crate) fn start(&self, mut command: Command) -> Result<Process, Error> {
        self.interrupt.check()?;
        let program = Path::new(command.get_program()).file_name().unwrap_or_default();
        let program = program.to_string_lossy().into_owned();
        let mut nursery = self.nursery.lock().unwrap_or_else(PoisonError::into_inner);
        nursery.started += 1;
        let output = |kind| self.folder.join(format!("{}-{program}.{kind}", nursery.started));
        let (stdout, stderr) = (output("out"), output("log"));
        let create = |path: &Path| File::create(path).map_err(io(format!("write {}", path.display())));
        let child = command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(create(&stdout)?)
            .stderr(create(&stderr)?)
            .process_group(0)
            .spawn()
            .map_err(io(format!("start {program}")))?;
        nursery.groups.push(child.id());
        let told = nursery.tell();
        drop(nursery);
        let process = Process { child, program, stdout, stderr, children: self.clone() };
        told.map(|()| process)
    }

    /// Runs a program to its end and returns what it printed.
    pub(crate) fn run(&self, command: Command, limit: Duration) -> Result<String, Error> {
        self.start(command)?.finish(limit)
    }
}

/// A running child. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    program: String,
    stdout: PathBuf,
    stderr: PathBuf,
    children: Children,
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to its standard error.
    pub(crate) fn log(&self) -> String {
        fs::read(&self.stderr).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// An error when it has ended.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        self.children.interrupt.check()?;
        match self.child.try_wait().map_err(io("wait for a child"))? {
            None => Ok(()),
            Some(status) => Err(self.failed(status)),
        }
    }

    /// Waits until it ends by itself, and returns what it printed.
    pub(crate) fn finish(mut self, limit: Duration) -> Result<String, Error> {
        let end = Instant::now() + limit;
        loop {
            self.children.interrupt.check()?;
            match self.child.try_wait().map_err(io("wait for a child"))? {
                Some(status) if status.success() => break,
                Some(status) => return Err(self.failed(status)),
                None if Instant::now() >= end => {
                    let (program, log) = (self.program.clone(), tail(&self.log()));
                    return Err(Error::TooSlow { program, limit, log });
                }
                None => thread::sleep(PAUSE),
            }
        }
        let text = fs::read(&self.stdout).map_err(io("read what a child printed"))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Asks it to end, waits, and kills it when it takes too long. The files of what it printed go.
    pub(crate) fn stop(&mut self) {
        let ended = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        if !ended(&mut self.child) {
            self.signal(Signal::SIGTERM);
            let end = Instant::now() + STOP_LIMIT;
            while !ended(&mut self.child) && Instant::now() < end {
                thread::sleep(PAUSE);
            }
            // While the child is not reaped its group cannot be another's; after that nobody is left in it.
            if !ended(&mut self.child) {
                self.signal(Signal::SIGKILL);
                let _ = self.child.wait();
            }
        }
        let id = self.child.id();
        let mut nursery = self.children.nursery.lock().unwrap_or_else(PoisonError::into_inner);
        nursery.groups.retain(|group| *group != id);
        // A guard that is gone guards nobody.
        let _ = nursery.tell();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // One that has just ended needs none.
        let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), signal);
    }

    fn failed(&self, status: ExitStatus) -> Error {
        Error::Failed { program: self.program.clone(), status, log: tail(&self.log()) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
        for file in [&self.stdout, &self.stderr] {
            // The folder goes in any case.
            let _ = fs::remove_file(file);
        }
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

    fn children() -> Children {
        Children::new(Interrupt::default()).unwrap()
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_a_child_prints_is_returned_and_its_failure_told() {
        let children = children();
        assert_eq!(children.run(shell("echo yes"), Duration::from_secs(10)).unwrap(), "yes\n");
        let failed = children.run(shell("echo no >&2; exit 3"), Duration::from_secs(10)).unwrap_err();
        assert!(failed.to_string().contains("no"), "{failed}");
        let slow = children.run(shell("sleep 60"), Duration::from_millis(50)).unwrap_err();
        assert!(matches!(slow, Error::TooSlow { .. }), "{slow}");
    }

    #[test]
    fn nothing_is_left_after_the_last_clone() {
        let children = children();
        let folder = children.folder.clone();
        let process = children.start(shell("sleep 60")).unwrap();
        let pid = process.pid();
        drop(children);
        assert!(folder.exists() && devstack::is_alive(pid));
        drop(process);
        assert!(!folder.exists() && !devstack::is_alive(pid));
    }

    #[test]
    fn an_interruption_ends_what_waits() {
        let interrupt = Interrupt::default();
        let children = Children::new(interrupt.clone()).unwrap();
        interrupt.0.store(true, Ordering::Relaxed);
        assert!(matches!(interrupt.sleep(Duration::from_secs(60)), Err(Error::Interrupted)));
        assert!(matches!(children.start(shell("true")), Err(Error::Interrupted)));
    }
}
