//! Requests as they are kept until they are answered, and messages as they travel.

use florin_ledger::Operation;
use florin_wire::{BATCH, BatchWriter, Body, ON_BEHALF_OF};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

/// Survives a restart of the broker.
const PERSISTENT: u8 = 2;
/// A longer body travels alone: it may be more than the service takes as a single request (64 KiB, unless it is set
/// up differently), and is to be refused for that, as it would not be in a batch.
const MAX_GATHERED_BODY_BYTES: usize = 8 * 1024;
/// What stands around a call in a batch, at most about so many bytes.
const FRAME_BYTES: usize = 64;

/// What a caller wants to have sent.
#[derive(Debug)]
pub(crate) enum Message {
    /// A request of this protocol. It may travel with others.
    Call(Call),
    /// Any bytes with any properties.
    Raw(Box<Outgoing>),
}

/// A request with an identity.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) message_id: ShortString,
    pub(crate) body: Body,
    /// For whom it is asked.
    pub(crate) on_behalf_of: Option<String>,
}

/// A message without what differs from one attempt to the next.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) operation: ShortString,
    pub(crate) properties: BasicProperties,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The call, if it may travel with others. The answers to `history` are long: many of them in one message could
    /// be more than the broker takes, and sharing it would save little.
    pub(crate) fn gatherable(&self) -> Option<&Call> {
        match self {
            Self::Call(call) => Some(call).filter(|call| {
                call.operation != Operation::History && call.body.as_bytes().len() <= MAX_GATHERED_BODY_BYTES
            }),
            Self::Raw(_) => None,
        }
    }

    /// How it travels alone.
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

    /// What makes a retry the same request. The service takes an empty one for none.
    pub(crate) fn message_id(&self) -> Option<&str> {
        let message_id = match self {
            Self::Call(call) => Some(&call.message_id),
            Self::Raw(outgoing) => outgoing.properties.message_id().as_ref(),
        };
        message_id.map(ShortString::as_str).filter(|id| !id.is_empty())
    }
}

impl Call {
    /// How long it is in a batch, about.
    pub(crate) fn size_bytes(&self) -> usize {
        let on_behalf_of = self.on_behalf_of.as_ref().map_or(0, |name| ON_BEHALF_OF.len() + name.len());
        FRAME_BYTES + self.message_id.as_str().len() + on_behalf_of + self.body.as_bytes().len()
    }
}

impl Outgoing {
    /// Many calls as one message. It needs no identity, for each of them has its own.
    pub(crate) fn batch(calls: BatchWriter) -> Self {
        Self { operation: BATCH.into(), properties: properties(None), body: calls.finish(false) }
    }
}

/// What all requests have in common, and for whom they are asked.
pub(crate) fn properties(on_behalf_of: Option<&str>) -> BasicProperties {
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT);
    let Some(name) = on_behalf_of else { return properties };
    let mut headers = FieldTable::default();
    headers.insert(ON_BEHALF_OF.into(), AMQPValue::LongString(name.into()));
    properties.with_headers(headers)
}
