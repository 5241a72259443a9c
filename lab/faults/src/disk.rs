//! A small disk: an image file with ext4 on a loop device, which can be made full or lose its power.
//!
//! Needs root, and e2fsprogs and xfsprogs. See [`LoopDisk`].

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is needed, and the package that has it.
const TOOLS: [(&str, &str); 6] = [
    ("mkfs.ext4", "e2fsprogs"),
    ("xfs_io", "xfsprogs"),
    ("mount", "mount"),
    ("losetup", "mount"),
    ("cp", "coreutils"),
    ("sync", "coreutils"),
];
/// Where tools of the system administrator are, whatever `PATH` says.
const ADMIN_PATH: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";
/// Less than this is not worth another try when a disk is made full.
const FILL_STEP: u64 = 4096;
/// The file that makes a disk full.
const FILLER: &str = "filler";

/// Why a disk cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("disks of their own need root")]
    NotRoot,
    #[error("{tool} is not installed (package {package}; `scripts/setup.sh --faults` installs it)")]
    Missing { tool: &'static str, package: &'static str },
    #[error("{command} failed ({status}): {output}")]
    Tool { command: String, status: std::process::ExitStatus, output: String },
    /// A call to the operating system failed.
    #[error("cannot {doing}: {source}")]
    Io { doing: String, source: io::Error },
}

/// A mounted disk of its own. Dropping it unmounts it and removes its image.
///
/// What was handed to the disk counts as stored: a power cut loses what the file system had not written yet,
/// but not what a real disk would lose from its own cache. So it finds a missing flush, not a
/// disk cache that ignores flushes.
#[derive(Debug)]
pub struct LoopDisk {
    image: PathBuf,
    mount_point: PathBuf,
}

/// From now on what this process mounts is seen by itself and its children alone, and is gone with the last
/// of them, however they end. To be called before there are threads: others would not see it.
pub fn keep_mounts_private() -> Result<(), Error> {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    const NOTHING: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).doing(|| "get a mount namespace".into())?;
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING)
        .doing(|| "make mounts private".into())
}

impl LoopDisk {
    /// Fails with the reason if this machine cannot have such disks.
    pub fn available() -> Result<(), Error> {
        if !nix::unistd::Uid::effective().is_root() {
            return Err(Error::NotRoot);
        }
        for (tool, package) in TOOLS {
            let found = ADMIN_PATH.split(':').any(|folder| Path::new(folder).join(tool).is_file());
            if !found {
                return Err(Error::Missing { tool, package });
            }
        }
        Ok(())
    }

    /// Makes a disk of this size in the file `image`, and mounts it. Everybody may enter it.
    pub fn create(image: &Path, mount_point: &Path, size_bytes: u64) -> Result<Self, Error> {
        Self::available()?;
        fs::create_dir_all(mount_point).doing(|| format!("create {}", mount_point.display()))?;
        let file = File::create(image).doing(|| format!("create {}", image.display()))?;
        // From here on dropping it cleans up.
        let disk = Self { image: image.to_owned(), mount_point: mount_point.to_owned() };
        file.set_len(size_bytes).doing(|| format!("make {} longer", image.display()))?;
        // No blocks are set aside for root, and nothing is initialised later on.
        let options = ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
        tool("mkfs.ext4", &options, &[image])?;
        disk.mount()?;
        Ok(disk)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount_point
    }

    /// Moves a folder to this disk and leaves a link in its place. Owners stay. Nobody may use the folder
    /// meanwhile.
    pub fn take_in(&self, folder: &Path) -> Result<(), Error> {
        let name = folder.file_name().unwrap_or(folder.as_os_str());
        let moved = self.mount_point.join(name);
        tool("cp", &["-a"], &[folder, &moved])?;
        self.flush()?;
        fs::remove_dir_all(folder).doing(|| format!("remove {}", folder.display()))?;
        symlink(&moved, folder).doing(|| format!("link {}", folder.display()))
    }

    /// Makes an empty folder on this disk, and a link to it at `folder`, which must not exist yet. Both
    /// belong to the owner of the folder that holds the link.
    pub fn prepare(&self, folder: &Path) -> Result<(), Error> {
        use std::os::unix::fs::MetadataExt;
        let name = folder.file_name().unwrap_or(folder.as_os_str());
        let parent = folder.parent().unwrap_or(Path::new("/"));
        let owner = fs::metadata(parent).doing(|| format!("look at {}", parent.display()))?;
        let own = self.mount_point.join(name);
        fs::create_dir(&own).doing(|| format!("create {}", own.display()))?;
        chown(&own, Some(owner.uid()), Some(owner.gid())).doing(|| format!("chown {}", own.display()))?;
        symlink(&own, folder).doing(|| format!("link {}", folder.display()))
    }

    /// Waits until all that was written so far is on the disk: this much a later power cut leaves.
    pub fn flush(&self) -> Result<(), Error> {
        tool("sync", &["--file-system"], &[&self.mount_point]).map(drop)
    }

    /// Bytes that can still be written.
    pub fn free_bytes(&self) -> Result<u64, Error> {
        let space = nix::sys::statvfs::statvfs(&self.mount_point)
            .doing(|| format!("look at {}", self.mount_point.display()))?;
        Ok(space.blocks_available() * space.fragment_size())
    }

    /// Fills the disk, except for this many bytes.
    pub fn fill(&self, leave_bytes: u64) -> Result<(), Error> {
        use nix::errno::Errno;
        let path = self.mount_point.join(FILLER);
        let filling = || format!("fill {}", self.mount_point.display());
        let filler = File::options().create(true).append(true).open(&path).doing(filling)?;
        let mut step = self.free_bytes()?.saturating_sub(leave_bytes);
        // Others take space at the same time, and the file system needs some for itself: then less.
        while step >= FILL_STEP && self.free_bytes()? > leave_bytes {
            let end = filler.metadata().doing(filling)?.len();
            match nix::fcntl::posix_fallocate(&filler, end.cast_signed(), step.cast_signed()) {
                Ok(()) => step = self.free_bytes()?.saturating_sub(leave_bytes),
                Err(Errno::ENOSPC) => step /= 2,
                Err(error) => return Err(error).doing(filling),
            }
        }
        Ok(())
    }

    pub fn free(&self) -> Result<(), Error> {
        match fs::remove_file(self.mount_point.join(FILLER)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.doing(|| format!("empty {}", self.mount_point.display())),
        }
    }

    /// Cuts the power: from now on nothing reaches the disk, and everything on it fails. What the file system
    /// had not written yet is lost. Then the servers that use it have to be killed, and the disk restored.
    pub fn cut_power(&self) -> Result<(), Error> {
        // Without -f: the log of the file system is not flushed.
        tool("xfs_io", &["-x", "-c", "shutdown"], &[&self.mount_point]).map(drop)
    }

    /// After a power cut: mounts it again, which replays the log of the file system.
    pub fn restore(&self) -> Result<(), Error> {
        self.unmount()?;
        self.mount()
    }

    fn mount(&self) -> Result<(), Error> {
        // Always a new one: `mount -o loop` would take an old one again, and with it a file system without
        // power.
        let device = PathBuf::from(tool("losetup", &["--find", "--show"], &[&self.image])?);
        let mounted = tool("mount", &["-t", "ext4", "-o", "noatime"], &[&device, &self.mount_point]);
        // While it is mounted, this takes effect when it is mounted no more.
        let detached = tool("losetup", &["--detach"], &[&device]);
        mounted.and(detached).map(drop)
    }

    /// At once if nobody uses it; else it is only hidden, and unmounted when the last user has ended.
    fn unmount(&self) -> Result<(), Error> {
        use nix::mount::{MntFlags, umount2};
        let unmounted = umount2(&self.mount_point, MntFlags::empty())
            .or_else(|_| umount2(&self.mount_point, MntFlags::MNT_DETACH));
        unmounted.doing(|| format!("unmount {}", self.mount_point.display()))
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // It may never have been mounted. The loop device goes with the mount.
        let _ = self.unmount();
        let _ = fs::remove_file(&self.image);
    }
}

/// Runs a tool and returns what it printed.
fn tool(name: &'static str, options: &[&str], paths: &[&Path]) -> Result<String, Error> {
    let mut command = Command::new(name);
    command.env("PATH", ADMIN_PATH).args(options).args(paths);
    let output = command.output().doing(|| format!("run {name}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let text = text(&[output.stdout, output.stderr].concat());
    Err(Error::Tool { command: format!("{command:?}"), status: output.status, output: text })
}

/// Says what was being done when a system call failed.
trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|error| Error::Io { doing: what(), source: error.into() })
    }
}
