//! The folder of one server: temporary or given, owned by the user that the server runs as.
//!
//! A lock on a file in it keeps two stacks off the same data. The guard process (`guard.rs`) holds
//! the same lock, so a folder is free again only when its last server has ended.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::binaries::path_variable;
use crate::error::{Doing, Error};
use crate::wait::wait_until;

/// The user whom servers run as when the caller is root.
const UNPRIVILEGED: &str = "nobody";
/// How long the servers of a caller that was killed may take to end before their folder is reused.
const LOCK_LIMIT: Duration = Duration::from_secs(20);
/// How much of a log an error shows.
const TAIL: usize = 4000;

#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) temporary: bool,
    pub(crate) lock: File,
    owner: Option<Owner>,
}

#[derive(Debug, Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl Folder {
    /// `data_dir/name`, or a new temporary folder.
    pub(crate) fn open(data_dir: Option<&Path>, name: &str) -> Result<Self, Error> {
        let owner = owner()?;
        let path = match data_dir {
            Some(parent) => given(parent, name)?,
            None => temporary(name)?,
        };
        let lock = lock(&path)?;
        Ok(Self { path, temporary: data_dir.is_none(), lock, owner })
    }

    /// A new temporary folder of the caller's own user.
    pub(crate) fn of_caller(name: &str) -> Result<Self, Error> {
        let path = temporary(name)?;
        let lock = lock(&path)?;
        Ok(Self { path, temporary: true, lock, owner: None })
    }

    /// A command that runs in this folder as the owner, with nothing of the caller's environment that
    /// could lead a server or tool elsewhere (`PGHOST`, `RABBITMQ_NODENAME`, `ERL_FLAGS`...).
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", path_variable())
            .env("HOME", &self.path)
            .env("LANG", "C.UTF-8")
            .current_dir(&self.path)
            .stdin(Stdio::null());
        if let Some(owner) = self.owner {
            command.uid(owner.uid).gid(owner.gid);
        }
        command
    }

    /// Makes a folder in this one that the server can write to.
    pub(crate) fn create(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).doing(|| format!("create {}", path.display()))?;
        self.give(&path)?;
        Ok(path)
    }

    /// Writes a file in this folder that the server can read.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
        self.give(&path)?;
        Ok(path)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    pub(crate) fn open_log(&self) -> Result<File, Error> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .doing(|| format!("write {}", self.log().display()))
    }

    /// The end of what was logged after `from` bytes.
    pub(crate) fn log_since(&self, from: u64) -> String {
        let mut text = vec![];
        let read = File::open(self.log()).and_then(|mut log| {
            log.seek(SeekFrom::Start(from))?;
            log.read_to_end(&mut text)
        });
        if let Err(error) = read {
            return format!("(the log cannot be read: {error})");
        }
        String::from_utf8_lossy(&text[text.len().saturating_sub(TAIL)..]).into_owned()
    }

    /// Gives the folder to the owner and checks that the owner gets there and can write.
    pub(crate) fn hand_over(&self) -> Result<(), Error> {
        use std::os::unix::fs::PermissionsExt;
        self.give(&self.path)?;
        // PostgreSQL and Erlang insist on privacy only deeper down; this covers logs and sockets too.
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o700))
            .doing(|| format!("make {} private", self.path.display()))?;
        let mut check = self.command("/bin/sh");
        check.current_dir("/");
        check.args(["-c", r#"cd -- "$1" && test -w ."#, "sh"]).arg(&self.path);
        let output = check.output().doing(|| "run /bin/sh".into())?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::folder(&self.path, self.out_of_reach()))
    }

    fn out_of_reach(&self) -> String {
        if self.owner.is_some() {
            format!(
                "as root, the servers run as user {UNPRIVILEGED}, who cannot get there; \
                 choose a folder below one that everybody may enter, such as /var/tmp"
            )
        } else {
            "you cannot enter it or write to it".into()
        }
    }

    fn give(&self, path: &Path) -> Result<(), Error> {
        let Some(owner) = self.owner else {
            return Ok(());
        };
        chown(path, Some(owner.uid), Some(owner.gid)).doing(|| format!("chown {}", path.display()))
    }
}

/// The user to drop to, when the caller is root.
fn owner() -> Result<Option<Owner>, Error> {
    if !nix::unistd::Uid::effective().is_root() {
        return Ok(None);
    }
    let user = nix::unistd::User::from_name(UNPRIVILEGED)
        .doing(|| format!("look up user {UNPRIVILEGED}"))?
        .ok_or_else(|| std::io::Error::other("there is no such user"))
        .doing(|| format!("run servers as user {UNPRIVILEGED}"))?;
    Ok(Some(Owner { uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
}

fn given(parent: &Path, name: &str) -> Result<PathBuf, Error> {
    let path = parent.join(name);
    fs::create_dir_all(&path).map_err(|error| Error::folder(&path, error.to_string()))?;
    path.canonicalize().map_err(|error| Error::folder(&path, error.to_string()))
}

fn temporary(name: &str) -> Result<PathBuf, Error> {
    // The guard removes it, so that it goes even when the caller is killed.
    tempfile::Builder::new()
        .prefix(&format!("florin-{name}-"))
        .tempdir()
        .map(tempfile::TempDir::keep)
        .doing(|| format!("create a temporary folder in {}", std::env::temp_dir().display()))
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|error| Error::folder(folder, error.to_string()))?;
    let mut failure = None;
    let taken = wait_until(LOCK_LIMIT, || match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(error)) => {
            failure = Some(error);
            true
        }
    });
    match failure {
        Some(error) => Err(Error::folder(folder, format!("locking it failed: {error}"))),
        None if taken => Ok(file),
        None => Err(Error::folder(folder, "another running stack uses it; stop that one first")),
    }
}
