//! A clock for one process, which can be stepped while the process runs (libfaketime).
//!
//! Only the time of day moves. What measures durations (the monotonic clock, and with it all timeouts) goes
//! on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where libraries are, by architecture or without.
const LIBRARIES: [&str; 3] = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];
/// The one for programs with threads.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// Why a clock cannot be made or stepped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("libfaketime is not installed (package faketime; `scripts/setup.sh --faults` installs it)")]
    Missing,
    /// The file with the offset cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// A clock for one process or several.
#[derive(Debug)]
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// Fails with the reason if this machine cannot have such clocks.
    pub fn available() -> Result<(), Error> {
        library().map(drop)
    }

    /// A correct clock. The processes read its offset from `file`.
    pub fn create(file: &Path) -> Result<Self, Error> {
        let clock = Self { library: library()?, file: file.to_owned() };
        clock.step(0)?;
        Ok(clock)
    }

    /// The environment of a process that uses this clock.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            // Seconds until it reads the file again.
            ("FAKETIME_CACHE_DURATION", "1".into()),
        ]
    }

    /// Within about a second, the clock is off by this many seconds.
    pub fn step(&self, ahead_secs: i64) -> Result<(), Error> {
        let failed = |source| Error::Write { path: self.file.clone(), source };
        // Atomically, so that nobody reads half of it.
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{ahead_secs:+}\n")).map_err(failed)?;
        fs::rename(&next, &self.file).map_err(failed)
    }
}

fn library() -> Result<PathBuf, Error> {
    let folders = LIBRARIES.map(Path::new);
    let by_architecture = folders
        .iter()
        .filter_map(|folder| folder.read_dir().ok())
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut places = folders.iter().map(|folder| folder.to_path_buf()).chain(by_architecture);
    places
        .find_map(|place| Some(place.join(LIBRARY)).filter(|library| library.is_file()))
        .ok_or(Error::Missing)
}
