//! The one way of printing: results go to the standard output, everything else to the standard error.
//!
//! `println!` panics when its reader is gone, as in `florin verify | head -1`. Here a closed pipe means that
//! the reader has seen enough: the command goes on, and ends with the exit code that it would have had.

use std::io::{self, Write};

use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// The flag of every listing and report.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct OutputArgs {
    /// Prints JSON, for programs. The names of its fields do not change.
    #[arg(long)]
    pub json: bool,
}

impl OutputArgs {
    /// Prints a result as JSON, or as the text that is made of it.
    pub fn print<T: Serialize>(self, result: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        if self.json { print(&(serde_json::to_string_pretty(result)? + "\n")) } else { print(&text(result)) }
    }
}

/// Writes a result.
pub fn print(text: &str) -> anyhow::Result<()> {
    written(io::stdout().lock(), text).context("cannot write the result")
}

/// Writes a line to the standard error. A failure is ignored, because there is nowhere to report it.
pub fn note(line: &str) {
    prompt(&format!("{line}\n"));
}

/// Writes a question to the standard error, for an answer on the same line.
pub fn prompt(question: &str) {
    let _ = written(io::stderr().lock(), question);
}

fn written(mut stream: impl Write, text: &str) -> io::Result<()> {
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// A table without borders. The columns with these indices hold numbers, and are aligned to the right.
#[must_use]
pub fn table(header: &[&str], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for index in numbers {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_disk_is() {
        written(Failing(io::ErrorKind::BrokenPipe), "text").unwrap();
        written(Failing(io::ErrorKind::StorageFull), "text").unwrap_err();
    }
}
