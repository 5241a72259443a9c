//! One child process in a process group of its own, known to the guard before it does anything.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::error::{Doing, Error};
use crate::guard::Guard;
use crate::tree::{self, Id};
use crate::wait::wait_until;

/// How long processes may take to disappear after SIGKILL, or after their parent did.
const GONE_LIMIT: Duration = Duration::from_secs(5);
/// Waits for one line before it becomes the program: by then the guard knows its id. If the caller
/// dies before that, the line never comes and nothing is started.
const GATE: &str = r#"read -r _ && exec "$@" </dev/null"#;

/// Where what a process prints goes.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: File,
    pub(crate) stderr: File,
}

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// What `suspend` stopped.
    suspended: Vec<Id>,
}

impl Process {
    /// Starts the program and arguments of `command` with the user, folder and environment of `shell`, which
    /// must be a command for `/bin/sh` without arguments.
    pub(crate) fn spawn(
        mut shell: Command,
        command: &Command,
        output: Output,
        guard: &mut Guard,
    ) -> Result<Self, Error> {
        let starting = || format!("start {}", command.get_program().display());
        shell
            .args(["-c", GATE, "sh"])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::piped())
            .stdout(output.stdout)
            .stderr(output.stderr)
            .process_group(0); // Ctrl-C in the terminal is for the caller, who then stops the servers
        let mut child = shell.spawn().doing(starting)?;
        let gate = child.stdin.take();
        let process = Self { child, suspended: vec![] };
        let opened = guard.add(process.pid()).and_then(|()| match gate {
            Some(mut gate) => gate.write_all(b"\n").doing(starting),
            None => Ok(()),
        });
        if let Err(error) = opened {
            process.kill(guard);
            return Err(error);
        }
        Ok(process)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it ended; `None` while it runs.
    pub(crate) fn status(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.child.try_wait().doing(|| "wait for a child".into())
    }

    /// Waits for the process to end by itself; returns whether it succeeded.
    pub(crate) fn finish(mut self, limit: Duration, guard: &mut Guard) -> bool {
        wait_until(limit, || !self.runs());
        let well = matches!(self.child.try_wait(), Ok(Some(status)) if status.success());
        self.kill(guard);
        well
    }

    /// Asks the process to end, waits, and kills what is left of it after `limit`.
    pub(crate) fn stop(mut self, signal: Signal, limit: Duration, guard: &mut Guard) {
        let family = tree::tree(self.pid());
        self.resume(guard);
        if self.runs() {
            let _ = killpg(raw(self.pid()), signal);
        }
        if wait_until(limit, || !self.runs()) {
            wait_until(GONE_LIMIT, || !family.iter().any(|id| tree::runs(*id)));
        }
        self.end(&family, guard);
    }

    /// Kills the process and all that descend from it, as a crash would.
    pub(crate) fn kill(mut self, guard: &mut Guard) {
        let family = self.freeze();
        self.end(&family, guard);
    }

    fn end(&mut self, family: &[Id], guard: &mut Guard) {
        // Until it is reaped below, its id cannot be that of another group.
        let _ = killpg(raw(self.pid()), Signal::SIGKILL);
        signal_all(family, Signal::SIGKILL);
        let _ = self.child.wait();
        wait_until(GONE_LIMIT, || !family.iter().any(|id| tree::runs(*id)));
        guard.remove(&[self.pid()]);
    }

    /// Suspends the process and all its descendants until `resume`.
    pub(crate) fn suspend(&mut self, guard: &mut Guard) -> Result<(), Error> {
        for id in self.freeze() {
            if id.pid != self.pid() {
                guard.add(id.pid)?; // which must wake them up before it can end them
                signal_all(&[id], Signal::SIGSTOP);
                self.suspended.push(id);
            }
        }
        wait_until(GONE_LIMIT, || self.suspended.iter().all(|id| tree::is_still(id.pid)));
        Ok(())
    }

    /// Stops the process, so that it starts no further children, and returns it with all its
    /// descendants.
    fn freeze(&mut self) -> Vec<Id> {
        if self.runs() {
            let _ = killpg(raw(self.pid()), Signal::SIGSTOP);
            wait_until(GONE_LIMIT, || tree::is_still(self.pid()));
        }
        tree::tree(self.pid())
    }

    pub(crate) fn resume(&mut self, guard: &mut Guard) {
        signal_all(&self.suspended, Signal::SIGCONT);
        if self.runs() {
            let _ = killpg(raw(self.pid()), Signal::SIGCONT);
        }
        let woken: Vec<u32> = self.suspended.drain(..).map(|id| id.pid).collect();
        guard.remove(&woken);
    }
}

fn signal_all(processes: &[Id], signal: Signal) {
    for id in processes.iter().filter(|id| tree::runs(**id)) {
        // One that has just ended needs no signal.
        let _ = kill(raw(id.pid), signal);
    }
}

fn raw(pid: u32) -> Pid {
    Pid::from_raw(pid.cast_signed())
}
