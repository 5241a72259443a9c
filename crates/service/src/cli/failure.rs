//! How a failure is printed: one line with its cause, in plain words.

use std::error::Error;
use std::io;

use anyhow::anyhow;
use florin_store::DatabaseMessage;

/// An error with its causes. Those that only repeat what was said already are left out. What PostgreSQL says
/// beside its message (detail, hint) comes last.
#[must_use]
pub fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        // The words of the server, where the client library says "db error" and repeats them below.
        if let Some(said) = DatabaseMessage::of(cause) {
            return extended(&line, said.message) + &advice(said);
        }
        line = extended(&line, &cause.to_string());
    }
    line
}

fn extended(line: &str, text: &str) -> String {
    if line.is_empty() {
        text.to_owned()
    } else if line.contains(text) {
        line.to_owned()
    } else {
        format!("{line}: {text}")
    }
}

fn advice(said: DatabaseMessage<'_>) -> String {
    let parts = [("detail", said.detail), ("hint", said.hint)];
    let parts = parts.into_iter().filter_map(|(name, text)| Some(format!("; {name}: {}", text?)));
    let mut advice: String = parts.collect();
    if said.lacks_schema {
        advice += ". Is the schema up to date? Run `florin migrate`.";
    }
    advice
}

/// A server that cannot be reached: what, where and why, and the settings that say where it is.
#[must_use]
pub fn unreachable(
    server: &str,
    address: &str,
    settings: &str,
    error: &(dyn Error + 'static),
) -> anyhow::Error {
    anyhow!("cannot connect to {server} at {address}: {}. Set {settings}.", reason(error))
}

/// The first cause that says more than "no connection".
fn reason(error: &(dyn Error + 'static)) -> String {
    let mut causes = std::iter::successors(Some(error), |&cause| cause.source());
    let found = causes.find_map(|cause| {
        let said = DatabaseMessage::of(cause).map(|said| said.message.to_owned());
        said.or_else(|| cause.downcast_ref::<io::Error>().map(florin_tls::plain))
    });
    found.unwrap_or_else(|| error.to_string())
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn causes_are_named_once() {
        let error = anyhow!("connection refused").context("no connection: connection refused");
        let error = error.context("cannot list the wallets");
        assert_eq!(one_line(&error), "cannot list the wallets: no connection: connection refused");
    }

    #[test]
    fn the_system_is_quoted_without_its_numbers() {
        let refused = std::net::TcpStream::connect("127.0.0.1:1").context("cannot connect").unwrap_err();
        let error = unreachable("PostgreSQL", "127.0.0.1:1", "DATABASE_URL or --database-url", &*refused);
        assert_eq!(
            error.to_string(),
            "cannot connect to PostgreSQL at 127.0.0.1:1: connection refused. Set DATABASE_URL or --database-url."
        );
    }
}
