//! Refusals that need no database.

use std::fmt;

use florin_ledger::{ErrorCode, Operation};
use uuid::Uuid;

use crate::names::BATCH;

/// Text that a client wrote is quoted up to this many characters.
const SHOWN: usize = 32;

/// A request that is refused before the rules see it, with the reply's error and reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The `error` of the reply, for programs.
    pub code: ErrorCode,
    /// The `reason` of the reply, for people.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Refusal {
    pub(crate) fn malformed(reason: impl Into<String>) -> Self {
        Self { code: ErrorCode::Malformed, reason: reason.into() }
    }

    pub(crate) fn too_large(reason: impl Into<String>) -> Self {
        Self { code: ErrorCode::TooLarge, reason: reason.into() }
    }

    /// Shortened: the parser may quote all of a long string.
    pub(crate) fn unreadable(error: &serde_json::Error) -> Self {
        const LONGEST: usize = 120;
        Self::malformed(format!("the body cannot be read: {}", shortened(&error.to_string(), LONGEST)))
    }

    /// An unknown name of a field or parameter; the reason names the nearest known one, or all of them.
    #[must_use]
    pub fn unknown_name(what: &str, name: &str, known: &[&str]) -> Self {
        Self::unknown_name_near(what, name, known, &[])
    }

    /// The same, where names of a surrounding message are known as well. They are not listed, so that the
    /// reason is the same whether a request is sent alone or in a batch.
    pub(crate) fn unknown_name_near(what: &str, name: &str, known: &[&str], around: &[&str]) -> Self {
        let name = shown(name);
        Self::malformed(match nearest(name, &[known, around].concat()) {
            Some(nearest) => format!("unknown {what} {name:?}; did you mean {nearest:?}?"),
            None if known.is_empty() => format!("unknown {what} {name:?}; there are none here"),
            None => format!("unknown {what} {name:?}; known are {}", known.join(", ")),
        })
    }

    /// The named transaction does not exist, or must look as if it did not.
    #[must_use]
    pub fn unknown_transaction(id: Uuid) -> Self {
        Self { code: ErrorCode::UnknownTransaction, reason: format!("there is no transaction {id}") }
    }

    pub(crate) fn unknown_operation(name: &str) -> Self {
        let known = Operation::ALL.map(Operation::as_str).join(", ");
        let reason = format!("unknown operation {name:?}; known are {known}, {BATCH}");
        Self { code: ErrorCode::UnknownOperation, reason }
    }
}

/// The most similar of these names, if at most a third of its letters differ.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase();
    let distance = |known: &str| strsim::osa_distance(&name, known);
    let nearest = known.iter().copied().min_by_key(|known| distance(known))?;
    let longest = name.chars().count().max(nearest.len());
    (distance(nearest) <= longest / 3).then_some(nearest)
}

/// A name as it is quoted in reasons.
pub(crate) fn shown(name: &str) -> &str {
    shortened(name, SHOWN)
}

fn shortened(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).map_or(text, |(end, _)| &text[..end])
}
