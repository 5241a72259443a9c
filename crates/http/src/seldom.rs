//! Log lines about what may happen thousands of times a second.

use std::time::Duration;

use tokio::time::Instant;

const PERIOD: Duration = Duration::from_secs(10);

/// Lets one line through in ten seconds.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    last: Option<Instant>,
    /// Since the last line.
    withheld: u64,
}

impl Seldom {
    /// Whether a line is due, and how many were not written before it.
    pub(super) fn due(&mut self) -> Option<u64> {
        if self.last.is_some_and(|last| last.elapsed() < PERIOD) {
            self.withheld += 1;
            return None;
        }
        self.last = Some(Instant::now());
        Some(std::mem::take(&mut self.withheld))
    }
}
