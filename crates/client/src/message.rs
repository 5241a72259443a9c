//! Requests as they are kept until they are answered, and messages as they are sent.

use florin_ledger::Operation;
use florin_wire::{BATCH, BatchWriter, Body, Claim, ON_BEHALF_OF, PROOF, ProofKey, is_identity};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

/// Survives a restart of the broker.
const PERSISTENT: u8 = 2;
/// A larger body is sent alone: it may exceed the service's limit for a single request (64 KiB unless
/// configured), and then has to be refused, which it would not be in a batch.
const MAX_COALESCED_BODY_BYTES: usize = 8 * 1024;
/// Approximate overhead of a call in a batch, in bytes.
const FRAME_BYTES: usize = 64;

/// What a caller sends.
#[derive(Debug)]
pub(crate) enum Message {
    /// A request of this protocol. It may share a message with others.
    Call(Call),
    /// Any bytes with any properties, always in a message of their own.
    Raw(Box<Outgoing>),
}

/// A request with an identity.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) message_id: ShortString,
    pub(crate) body: Body,
    /// On whose behalf it is requested.
    pub(crate) on_behalf_of: Option<String>,
}

/// A message, without the properties that differ from one attempt to the next.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) operation: ShortString,
    pub(crate) properties: BasicProperties,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The call, if it may share a message. Replies to `history` are long: many of them in one message could
    /// exceed the broker's limit, and sharing would save little.
    pub(crate) fn coalescable(&self) -> Option<&Call> {
        match self {
            Self::Call(call) => Some(call).filter(|call| {
                call.operation != Operation::History && call.body.as_bytes().len() <= MAX_COALESCED_BODY_BYTES
            }),
            Self::Raw(_) => None,
        }
    }

    /// The message if it is sent alone.
    pub(crate) fn outgoing(&self) -> Outgoing {
        match self {
            Self::Call(call) => Outgoing {
                operation: call.operation.as_str().into(),
                properties: properties(call.on_behalf_of.as_deref()).with_message_id(call.message_id.clone()),
                body: call.body.as_bytes().to_vec(),
            },
            Self::Raw(outgoing) => Outgoing::clone(outgoing),
        }
    }

    pub(crate) fn operation(&self) -> &str {
        match self {
            Self::Call(call) => call.operation.as_str(),
            Self::Raw(outgoing) => outgoing.operation.as_str(),
        }
    }

    /// The identity of the request.
    pub(crate) fn message_id(&self) -> Option<&str> {
        let message_id = match self {
            Self::Call(call) => Some(&call.message_id),
            Self::Raw(outgoing) => outgoing.properties.message_id().as_ref(),
        };
        message_id.map(ShortString::as_str).filter(|id| is_identity(id))
    }
}

impl Call {
    /// Approximate size in a batch, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        let on_behalf_of = self.on_behalf_of.as_ref().map_or(0, |name| ON_BEHALF_OF.len() + name.len());
        FRAME_BYTES + self.message_id.as_str().len() + on_behalf_of + self.body.as_bytes().len()
    }
}

impl Outgoing {
    /// Many calls as one message. It needs no identity of its own, because each call has one.
    pub(crate) fn batch(calls: BatchWriter) -> Self {
        Self { operation: BATCH.into(), properties: properties(None), body: calls.finish(false) }
    }

    /// The message with the proof that it is the service's own.
    pub(crate) fn proven(self, key: &ProofKey) -> Self {
        let Self { operation, properties, body } = self;
        let mut headers = properties.headers().clone().unwrap_or_default();
        let on_behalf_of = match headers.inner().get(ON_BEHALF_OF) {
            Some(AMQPValue::LongString(name)) => Some(name.as_bytes()),
            _ => None,
        };
        let message_id = properties.message_id().as_ref().map(ShortString::as_str);
        let claim = Claim { operation: operation.as_str(), message_id, on_behalf_of, body: &body };
        let proof = key.prove(&claim);
        headers.insert(PROOF.into(), AMQPValue::LongString(proof.into()));
        Self { operation, properties: properties.with_headers(headers), body }
    }
}

/// Properties that all requests have in common, and on whose behalf they are sent.
pub(crate) fn properties(on_behalf_of: Option<&str>) -> BasicProperties {
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT);
    let Some(name) = on_behalf_of else { return properties };
    let mut headers = FieldTable::default();
    headers.insert(ON_BEHALF_OF.into(), AMQPValue::LongString(name.into()));
    properties.with_headers(headers)
}
