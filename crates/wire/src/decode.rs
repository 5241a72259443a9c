//! The service's side of requests: a delivery becomes commands.

use florin_ledger::Command;

use crate::batch::Batch;
use crate::command::{command, fields_of, operation};
use crate::envelope::{Envelope, Limits};
use crate::fields::{Fields, text};
use crate::identity::identity;
use crate::names::BATCH;
use crate::refusal::Refusal;
use crate::requester::Requester;

/// A delivery, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// A single request.
    One(Command),
    /// Several operations in one message.
    Batch(Batch),
}

/// Decodes a delivery.
///
/// # Errors
///
/// A [`Refusal`] if the body is too large, the operation is unknown or the body cannot be decoded. All other
/// checks are the rules'. In a batch, each operation is refused on its own.
pub fn decode(envelope: &Envelope<'_>, body: &[u8], limits: &Limits) -> Result<Decoded, Refusal> {
    let is_batch = envelope.operation == BATCH;
    let limit = if is_batch { limits.max_batch_body_bytes } else { limits.max_body_bytes };
    if body.len() > limit {
        let reason = format!("the body has {} bytes; the limit is {limit}", body.len());
        return Err(Refusal::too_large(reason));
    }
    let requester = Requester::of(envelope)?;
    if is_batch {
        return Batch::decode(envelope, &requester, text(body)?).map(Decoded::Batch);
    }
    let operation = operation(envelope.operation)?;
    let body = text(body)?;
    let fields = Fields::read(body)?;
    let fields = fields.check(&[fields_of(operation)], envelope.unknown_fields())?;
    let identify = |wallet_id, request_hash| identity(envelope, body, wallet_id, request_hash);
    command(operation, fields, requester.into_name(), identify).map(Decoded::One)
}
