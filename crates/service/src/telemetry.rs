//! Logs: text on a terminal, JSON otherwise, always on stderr, because stdout is for results.
//!
//! Request bodies and secrets are never logged. Our own code does not log them; the AMQP library would,
//! below `info` and in its report of returned messages, so that is off whatever the filter says.

use std::io::{self, IsTerminal};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterFn, ParseError, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Registry, fmt};

use crate::config::{Log, LogFormat};

/// Libraries that log several lines for a failure of which the service logs one. A filter that names them
/// overrides this.
const QUIET_LIBRARIES: &str = "lapin=off,lapin::thread=error,deadpool=off,tokio_postgres=error";

/// Why logging cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is malformed.
    #[error("the log filter is malformed")]
    Filter(#[from] ParseError),
    /// Logging was started before.
    #[error("logging cannot be started")]
    Start(#[from] TryInitError),
}

/// Starts logging for this process.
///
/// # Errors
///
/// When the filter is malformed, or logging was started before.
pub fn init(log: &Log) -> Result<(), Error> {
    let filter = EnvFilter::builder().parse(format!("{QUIET_LIBRARIES},{}", log.filter))?;
    let lines = lines(log.format, io::stderr);
    tracing_subscriber::registry().with(lines.with_filter(without_bodies())).with(filter).try_init()?;
    Ok(())
}

fn lines<W>(format: LogFormat, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let on_terminal = io::stderr().is_terminal();
    // A log that cannot be written is lost. To say so on the standard error, which is the log, would be a
    // panic.
    let layer = fmt::layer().with_writer(writer).log_internal_errors(false);
    match format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Auto if !on_terminal => layer.json().flatten_event(true).boxed(),
        LogFormat::Auto | LogFormat::Human => layer.with_ansi(on_terminal).boxed(),
    }
}

/// Drops what would hold a client's message.
fn without_bodies() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    filter_fn(|metadata| {
        let target = metadata.target();
        let below_info = *metadata.level() > Level::INFO;
        !(target.starts_with("lapin::returned_messages") || target.starts_with("lapin") && below_info)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn bodies_are_not_logged_whatever_the_filter() {
        let written = Written::default();
        let writer = written.clone();
        let lines = lines(LogFormat::Json, move || writer.clone());
        let filter = EnvFilter::builder().parse("trace,lapin=trace").unwrap();
        let subscriber =
            tracing_subscriber::registry().with(lines.with_filter(without_bodies())).with(filter);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "lapin::returned_messages", message = "a body");
            tracing::trace!(target: "lapin::channels", frame = "a body");
            tracing::warn!(target: "lapin::channel", "a fault");
            tracing::debug!(target: "florin::engine", commands = 3, "committed");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("a body"), "{text}");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!((&lines[0]["message"], &lines[1]["commands"]), (&"a fault".into(), &3.into()));
    }
}
