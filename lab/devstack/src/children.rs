//! Short programs beside the servers, such as load generators: one folder and one guard for all of them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::{Doing, Error};
use crate::folder::Folder;
use crate::guard::Guard;
use crate::process::{Output, Process};

/// How long a child may take to end when it is asked to.
const STOP_LIMIT: Duration = Duration::from_secs(25);

/// Starts programs in a temporary folder. Clones share it; it is removed with the last of them, and with the
/// last child.
#[derive(Debug, Clone)]
pub struct Children {
    folder: PathBuf,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    guard: Guard,
    folder: Folder,
    started: u32,
}

impl Children {
    /// Makes the folder. `name` is part of its name.
    pub fn new(name: &str) -> Result<Self, Error> {
        let folder = Folder::of_caller(name)?;
        let guard = Guard::start(&folder, "TERM")?;
        let path = folder.path.clone();
        Ok(Self { folder: path, shared: Arc::new(Mutex::new(Shared { guard, folder, started: 0 })) })
    }

    /// The folder, which the children start in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a program with nothing in its environment but what the command sets, `PATH`, `HOME` and `LANG`.
    /// What it prints goes to files in the folder.
    pub fn start(&self, command: &Command) -> Result<Child, Error> {
        let program = Path::new(command.get_program()).file_name().unwrap_or_default();
        let program = program.to_string_lossy().into_owned();
        let mut shared = self.lock();
        shared.started += 1;
        let file = |kind| self.folder.join(format!("{}-{program}.{kind}", shared.started));
        let (stdout, stderr) = (file("out"), file("log"));
        let create = |path: &Path| File::create(path).doing(|| format!("write {}", path.display()));
        let output = Output { stdout: create(&stdout)?, stderr: create(&stderr)? };
        let mut shell = shared.folder.command("/bin/sh");
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let process = Process::spawn(shell, command, output, &mut shared.guard)?;
        drop(shared);
        let pid = process.pid();
        Ok(Child { process: Some(process), pid, program, stdout, stderr, children: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running program. Dropping it ends it, with all that it started, and removes the files of what it
/// printed.
#[derive(Debug)]
pub struct Child {
    /// `None` only while it is dropped.
    process: Option<Process>,
    pid: u32,
    program: String,
    stdout: PathBuf,
    stderr: PathBuf,
    children: Children,
}

impl Child {
    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn program(&self) -> &str {
        &self.program
    }

    /// What it wrote to its standard error so far.
    pub fn log(&self) -> String {
        fs::read(&self.stderr).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// What it wrote to its standard output so far.
    pub fn output(&self) -> Result<String, Error> {
        let output = fs::read(&self.stdout).doing(|| format!("read what {} printed", self.program))?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// How it ended; `None` while it runs.
    pub fn status(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.process.as_mut().map_or(Ok(None), Process::status)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop(Signal::SIGTERM, STOP_LIMIT, &mut self.children.lock().guard);
        }
        for file in [&self.stdout, &self.stderr] {
            // The folder goes in any case.
            let _ = fs::remove_file(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::tree::is_alive;
    use crate::wait::wait_until;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_status_and_environment_are_those_of_the_program() {
        let children = Children::new("children").unwrap();
        let mut command = shell("echo \"$WORD\"; echo no >&2; exit 3");
        command.env("WORD", "two words");
        let mut child = children.start(&command).unwrap();
        let mut status = None;
        assert!(wait_until(Duration::from_secs(10), || {
            status = child.status().unwrap();
            status.is_some()
        }));
        assert_eq!(status.unwrap().code(), Some(3));
        assert_eq!((child.output().unwrap().as_str(), child.log().as_str()), ("two words\n", "no\n"));
    }

    #[test]
    fn nothing_is_left_after_the_last_clone() {
        let children = Children::new("children").unwrap();
        let folder = children.folder().to_owned();
        let mut child = children.start(&shell("sleep 60")).unwrap();
        let pid = child.pid();
        drop(children);
        assert!(folder.exists() && child.status().unwrap().is_none());
        let begin = Instant::now();
        drop(child);
        assert!(!folder.exists() && !is_alive(pid));
        assert!(begin.elapsed() < STOP_LIMIT, "it was asked to end, not killed");
    }
}
