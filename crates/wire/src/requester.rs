//! Who asks: what is recorded with a transaction of the one who opened it or ended it.
//!
//! The broker vouches for the user of a connection, in the property `user_id`. A user that the service trusts may ask
//! for others, and says for whom: with a header for a whole message, or else with a field for one operation of a batch.
//! What anybody else says of that is not even looked at. None of it makes a request a different one.

use std::sync::Arc;

use crate::decode::Envelope;
use crate::fields::{Field, Fields};
use crate::json::string;
use crate::refusal::Refusal;

/// The header that says for whom a trusted user asks.
pub const ON_BEHALF_OF: &str = "florin-on-behalf-of";

/// Of what is recorded, in bytes.
const LONGEST: usize = 255;
/// Stands before the name of a user of the broker.
const USER: &str = "amqp:";
const NAME: &str = "a string of 1 to 255 printable ASCII characters";

/// The one who sent a message, and for whom.
pub(crate) struct Requester {
    /// Whether the operations of a batch say for whom they are asked.
    speaks_for_others: bool,
    /// What is recorded when they do not.
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
        // Who says it for the whole message need not have written the operations in it.
        Ok(Self { speaks_for_others: speaks_for_others && envelope.on_behalf_of.is_none(), name })
    }

    /// For whom a message asks that is one request.
    pub(crate) fn into_name(self) -> Option<Arc<str>> {
        self.name
    }

    /// For whom one operation of a batch is asked.
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
        let reason = "user_id cannot be recorded: it is longer than 250 bytes, or has control characters";
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
