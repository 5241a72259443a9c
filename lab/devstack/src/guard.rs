//! The guard: a small process that cleans up when the caller can no longer do it.
//!
//! It waits for the end of a pipe whose other end only the caller holds (Rust opens pipes
//! close-on-exec, so no server inherits it), which comes even when the caller dies from `kill -9`.
//! Then it ends the process groups that the caller named last, and removes the temporary folder.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::error::{Doing, Error};
use crate::folder::Folder;

const SCRIPT: &str = include_str!("guard.sh");

#[derive(Debug)]
pub(crate) struct Guard {
    child: Child,
    pipe: Option<ChildStdin>,
    groups: Vec<u32>,
}

impl Guard {
    /// Starts a guard that will end servers with `signal` (a name such as `TERM`).
    pub(crate) fn start(folder: &Folder, signal: &str) -> Result<Self, Error> {
        let lock = folder.lock.try_clone().doing(|| "share the folder's lock".into())?;
        let mut command = Command::new("/bin/sh");
        let fate = if folder.temporary { "remove" } else { "keep" };
        command.args(["-c", SCRIPT, "sh", signal]).arg(&folder.path).arg(fate);
        let mut child = command
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(lock)
            .stderr(Stdio::null())
            .process_group(0) // Ctrl-C in the terminal is for the caller, not for the guard
            .spawn()
            .doing(|| "start the guard process".into())?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe, groups: vec![] })
    }

    /// From now on the guard ends this process group too.
    pub(crate) fn add(&mut self, group: u32) -> Result<(), Error> {
        self.groups.push(group);
        self.tell()
    }

    /// From now on the guard leaves these alone: they have ended, and their ids may be used again.
    pub(crate) fn remove(&mut self, groups: &[u32]) {
        self.groups.retain(|group| !groups.contains(group));
        // A guard that is gone watches nobody, which is what is asked for here.
        let _ = self.tell();
    }

    fn tell(&mut self) -> Result<(), Error> {
        let words: Vec<_> = self.groups.iter().map(u32::to_string).collect();
        let line = words.join(" ") + "\n";
        let Some(pipe) = &mut self.pipe else {
            return Ok(());
        };
        pipe.write_all(line.as_bytes()).doing(|| "reach the guard process".into())
    }
}

impl Drop for Guard {
    /// Lets the guard do the rest, and waits for it.
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.child.wait();
    }
}
