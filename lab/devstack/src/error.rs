//! What can go wrong when private servers are started, stopped and asked.

use std::io;
use std::path::{Path, PathBuf};

/// Why a server could not be started, stopped or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program that devstack needs is not installed.
    #[error("{program} was not found ({looked}); run `make setup`, or install {package}")]
    Missing {
        /// The program that was looked for.
        program: &'static str,
        /// What to install to get it.
        package: &'static str,
        looked: String,
    },

    /// The folder of a server cannot be used.
    #[error("the folder {} cannot be used: {reason}", path.display())]
    Folder {
        path: PathBuf,
        /// Why not, and what to do about it.
        reason: String,
    },

    /// A server did not become ready.
    #[error("{server} did not start: {reason}\n--- end of {} ---\n{log}", log_path.display())]
    Start {
        server: &'static str,
        reason: String,
        log_path: PathBuf,
        /// The end of that log, as far as this start wrote it.
        log: String,
    },

    /// A helper program such as `psql` or `rabbitmqctl` failed.
    #[error("{program} failed ({status}): {output}")]
    Command { program: String, status: std::process::ExitStatus, output: String },

    /// A name for a database or virtual host has characters that would need quoting.
    #[error("{0:?} is not a plain name: use letters, digits, '_' and '-'")]
    Name(String),

    /// A call to the operating system failed.
    #[error("cannot {doing}: {source}")]
    Io { doing: String, source: io::Error },
}

/// Says what was being done when a system call failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|error| Error::Io { doing: what(), source: error.into() })
    }
}

impl Error {
    pub(crate) fn folder(path: &Path, reason: impl Into<String>) -> Self {
        Self::Folder { path: path.to_owned(), reason: reason.into() }
    }

    /// Whether a server did not start because somebody else took its port in the meantime.
    pub(crate) fn is_port_taken(&self) -> bool {
        self.log_says("ddress already in use") || self.log_says("eaddrinuse")
    }

    /// Whether a server did not start and its log says this.
    pub(crate) fn log_says(&self, text: &str) -> bool {
        matches!(self, Self::Start { log, .. } if log.contains(text))
    }
}

/// Refuses names that would need quoting in SQL, a URL or a command line.
pub(crate) fn plain_name(name: &str) -> Result<&str, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.starts_with('-') || !name.chars().all(plain) {
        return Err(Error::Name(name.to_owned()));
    }
    Ok(name)
}
