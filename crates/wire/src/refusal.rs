//! Refusals that need no database.

use std::fmt;

use florin_ledger::{ErrorCode, Operation};

/// Names and messages that a client wrote are shown up to so many characters.
const SHOWN: usize = 32;

/// A request that is refused before the rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why, for programs.
    pub code: ErrorCode,
    /// Why, for people.
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

    /// What the parser says may hold all of a long string.
    pub(crate) fn unreadable(error: &serde_json::Error) -> Self {
        const LONGEST: usize = 120;
        Self::malformed(format!("the body cannot be read: {}", shortened(&error.to_string(), LONGEST)))
    }

    /// A name that is none of the known ones, which are few, with the nearest of them.
    #[must_use]
    pub fn unknown_name(what: &str, name: &str, known: &[&str]) -> Self {
        let name = shown(name);
        Self::malformed(match nearest(name, known) {
            Some(nearest) => format!("unknown {what} {name:?}; did you mean {nearest:?}?"),
            None if known.is_empty() => format!("unknown {what} {name:?}; none is taken here"),
            None => format!("unknown {what} {name:?}; known are {}", known.join(", ")),
        })
    }

    pub(crate) fn unknown_operation(name: &str) -> Self {
        let known = Operation::ALL.map(Operation::as_str).join(", ");
        let reason = format!("there is no operation {name:?}; there are {known}, {}", crate::BATCH);
        Self { code: ErrorCode::UnknownOperation, reason }
    }
}

/// The one of these names that is meant, if it differs in a third of its letters at most.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase();
    let distance = |known: &str| strsim::osa_distance(&name, known);
    let nearest = known.iter().copied().min_by_key(|known| distance(known))?;
    let longest = name.chars().count().max(nearest.len());
    (distance(nearest) <= longest / 3).then_some(nearest)
}

/// A name as it is shown to people.
pub(crate) fn shown(name: &str) -> &str {
    shortened(name, SHOWN)
}

fn shortened(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).map_or(text, |(end, _)| &text[..end])
}
