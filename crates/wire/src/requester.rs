//! The requester: recorded with a transaction as who opened it or resolved it.
//!
//! The broker verifies the user of a connection, in the property `user_id`. A user that the service trusts
//! may request on behalf of others, and names them: with a header for a whole message, or with a field for
//! one operation of a batch. From other users they are ignored. The requester is no part of a
//! request's identity.

use std::sync::Arc;

use crate::envelope::Envelope;
use crate::fields::{Field, Fields};
use crate::json::string;
use crate::refusal::Refusal;

/// The header in which a trusted user names on whose behalf it requests.
pub const ON_BEHALF_OF: &str = "florin-on-behalf-of";

/// Maximum length of what is recorded, in bytes.
const LONGEST: usize = 255;
/// Prefix of a broker user's name in what is recorded.
const USER: &str = "amqp:";
const NAME: &str = "a string of 1 to 255 printable ASCII characters";

/// Who sent a message, and on whose behalf.
pub(crate) struct Requester {
    /// Whether the operations of a batch may name their own requesters.
    speaks_for_others: bool,
    /// What is recorded otherwise.
    name: Option<Arc<str>>,
}

impl Requester {
    /// The requester of a message.
    pub(crate) fn of(envelope: &Envelope<'_>) -> Result<Self, Refusal> {
        let speaks_for_others = envelope.speaks_for_others;
        let name = match envelope.on_behalf_of.filter(|_| speaks_for_others) {
            Some(name) => Some(another(name)?),
            None => envelope.user_id.map(user).transpose()?,
        };
        // A header applies to the whole message: its sender need not have written the operations in it.
        Ok(Self { speaks_for_others: speaks_for_others && envelope.on_behalf_of.is_none(), name })
    }

    /// The requester of a single request.
    pub(crate) fn into_name(self) -> Option<Arc<str>> {
        self.name
    }

    /// The requester of one operation of a batch.
    pub(crate) fn of_operation(&self, fields: &Fields<'_>) -> Result<Option<Arc<str>>, Refusal> {
        if !self.speaks_for_others {
            return Ok(self.name.clone());
        }
        let name = |raw| string(raw).filter(|name| is_name(name)).map(Arc::from);
        let given = fields.optional(Field::OnBehalfOf, NAME, name)?;
        Ok(given.or_else(|| self.name.clone()))
    }
}

fn user(user_id: &str) -> Result<Arc<str>, Refusal> {
    if user_id.len() > LONGEST - USER.len() || user_id.contains(char::is_control) {
        let reason = "user_id cannot be recorded: longer than 250 bytes, or with control characters";
        return Err(Refusal::malformed(reason));
    }
    Ok(format!("{USER}{user_id}").into())
}

fn another(name: &[u8]) -> Result<Arc<str>, Refusal> {
    let wrong = || Refusal::malformed(format!("the header {ON_BEHALF_OF} must be {NAME}"));
    std::str::from_utf8(name).ok().filter(|name| is_name(name)).map(Arc::from).ok_or_else(wrong)
}

fn is_name(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}
