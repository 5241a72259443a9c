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

    pub(crate) fn unknown_operation(name: &str) -> Self {
        let known = Operation::ALL.map(Operation::as_str).join(", ");
        let reason = format!("there is no operation {name:?}; there are {known}, {}", crate::BATCH);
        Self { code: ErrorCode::UnknownOperation, reason }
    }
}

/// A name as it is shown to people.
pub(crate) fn shown(name: &str) -> &str {
    shortened(name, SHOWN)
}

fn shortened(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).map_or(text, |(end, _)| &text[..end])
}
