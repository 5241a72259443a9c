//! What the person at the terminal sees: what runs, and how long it will take.

use std::fmt::Display;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::stats::time;

/// A bar on a terminal, lines elsewhere.
#[derive(Debug)]
pub(crate) struct Ui {
    bar: Option<ProgressBar>,
    total: f64,
    done: f64,
}

impl Ui {
    /// `expected`: seconds that the run takes, about.
    pub(crate) fn new(total: f64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(1000);
            let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self { bar, total, done: 0.0 }
    }

    pub(crate) fn say(&self, what: impl Display) {
        let left = time((self.total - self.done).max(0.0));
        match &self.bar {
            Some(bar) => bar.set_message(format!("{what} (about {left} left)")),
            None => eprintln!("[{:>3.0} %] {what}", self.percent()),
        }
    }

    /// A line that stays.
    pub(crate) fn note(&self, what: impl Display) {
        match &self.bar {
            Some(bar) => bar.println(what.to_string()),
            None => eprintln!("{what}"),
        }
    }

    /// Moves the bar on by some of the expected seconds.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to 1000")]
    pub(crate) fn advance(&mut self, seconds: f64) {
        self.done += seconds;
        if let Some(bar) = &self.bar {
            bar.set_position((self.percent() * 10.0) as u64);
        }
    }

    fn percent(&self) -> f64 {
        if self.total > 0.0 { (100.0 * self.done / self.total).min(100.0) } else { 100.0 }
    }
}

impl Drop for Ui {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
