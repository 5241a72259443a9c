//! The clients' records: one line of JSON before each attempt and after each answer, in the order in which
//! the client saw them.
//!
//! The order of the lines is what the checker reasons with, so a line is written before the thing that it
//! announces (an attempt) and after the thing that it reports (an answer).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// One line of a client's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Milliseconds since the run began. For people: the checker goes by the order.
    pub at_ms: u64,
    /// Which request, by the client's own name for it, which is its `correlation_id` as well.
    pub request: String,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// It is about to be sent, perhaps again.
    Send {
        /// 1 for the first time.
        attempt: u32,
        operation: String,
        /// Its identity, if it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message_id: Option<String>,
        body: String,
    },
    /// The broker has confirmed an attempt: from now on it must not be lost.
    Confirmed { attempt: u32 },
    /// The broker did not accept an attempt: it was returned or nacked.
    NotTaken { attempt: u32, why: String },
    /// The outcome of an attempt is unknown.
    Unknown { attempt: u32, why: String },
    Answer {
        /// Whether its header says that it repeats an earlier one.
        replayed: bool,
        text: String,
    },
}

/// A file that lines are appended to.
#[derive(Debug)]
pub struct History {
    start: Instant,
    file: Mutex<File>,
}

impl History {
    /// Opens a file, and makes it if it is not there.
    pub fn open(path: &Path, start: Instant) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { start, file: Mutex::new(file) })
    }

    /// Writes a line. When this returns, it is in the file.
    ///
    /// # Panics
    ///
    /// When it cannot be written: a run without its history proves nothing.
    pub fn write(&self, request: &str, what: What) {
        let at_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let line = Line { at_ms, request: request.to_owned(), what };
        let mut text = serde_json::to_vec(&line).expect("text and numbers are JSON");
        text.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&text).expect("a history can be written");
    }
}

/// The history of a client in the folder of a run.
#[must_use]
pub fn path(folder: &Path, client: u32) -> PathBuf {
    folder.join(format!("history-{client}.jsonl"))
}
