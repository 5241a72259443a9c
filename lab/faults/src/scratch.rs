//! A temporary folder that goes away whatever becomes of this process, and the disks that are mounted in it
//! with it.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Waits for the end of a pipe whose other end only this process holds, then removes the folder; unless it
/// was told to keep it. A disk that is still in use is hidden, and gone with its last user.
const GUARD: &str = r#"
trap '' HUP INT TERM
fate=remove
while read -r line; do fate=$line; done
[ "$fate" = keep ] && exit
for disk in "$1"/*/; do umount -l "$disk" 2>/dev/null; done
rm -rf -- "$1"
"#;

/// A temporary folder. Dropping it removes it.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    guard: Child,
    pipe: Option<ChildStdin>,
}

impl Scratch {
    pub fn new(prefix: &str) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(prefix).tempdir()?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", GUARD, "sh"]).arg(folder.path()).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C in the terminal is not for the guard.
        let mut guard = command.process_group(0).spawn()?;
        let pipe = guard.stdin.take();
        Ok(Self { path: folder.keep(), guard, pipe })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn keep(&mut self) -> io::Result<()> {
        self.pipe.as_mut().map_or(Ok(()), |pipe| pipe.write_all(b"keep\n"))
    }
}

impl Drop for Scratch {
    /// Lets the guard do it, and waits for it.
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.guard.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_unless_it_is_kept() {
        let scratch = Scratch::new("florin-scratch-").unwrap();
        let path = scratch.path().to_owned();
        std::fs::write(path.join("file"), "").unwrap();
        drop(scratch);
        assert!(!path.exists());
        let mut scratch = Scratch::new("florin-scratch-").unwrap();
        let path = scratch.path().to_owned();
        scratch.keep().unwrap();
        drop(scratch);
        std::fs::remove_dir(path).unwrap();
    }
}
