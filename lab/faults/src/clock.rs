//! A clock of its own for a process, which can be stepped while the process runs (libfaketime).
//!
//! Only the time of day moves. What measures durations (the monotonic clock, and with it all timeouts) goes on.

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
    /// The library is not installed.
    #[error("libfaketime is not installed (package faketime; `scripts/setup.sh --faults` installs it)")]
    Missing,
    /// The file that tells the time cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A clock for one process or several.
#[derive(Debug)]
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// Says why there can be no such clocks here.
    ///
    /// # Errors
    ///
    /// When the library is missing.
    pub fn available() -> Result<(), Error> {
        library().map(drop)
    }

    /// A clock that is right. `file` tells the processes the time.
    ///
    /// # Errors
    ///
    /// When the library is missing, or the file cannot be written.
    pub fn create(file: &Path) -> Result<Self, Error> {
        let clock = Self { library: library()?, file: file.to_owned() };
        clock.step(0)?;
        Ok(clock)
    }

    /// What to start a process with, so that it lives by this clock.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            // Seconds until it looks at the file again.
            ("FAKETIME_CACHE_DURATION", "1".into()),
        ]
    }

    /// From about a second on, the clock differs by so many seconds from the right time.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn step(&self, ahead_secs: i64) -> Result<(), Error> {
        let failed = |source| Error::Write { path: self.file.clone(), source };
        // At once, so that nobody reads the half of it.
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
