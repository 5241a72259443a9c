//! What a delivery carries beside its body, and how large bodies may be.

use std::time::SystemTime;

use crate::names::SEED_EXCHANGE;

/// What a delivery carries beside its body.
#[derive(Debug, Clone, Copy, Default)]
pub struct Envelope<'a> {
    /// The operation: the routing key, or the `type` of a message sent to the work queue directly.
    pub operation: &'a str,
    /// The exchange that the request was published to; empty for the work queue by its name, and for HTTP. On
    /// [`SEED_EXCHANGE`] unknown fields are ignored, everywhere else they are refused.
    pub exchange: &'a str,
    /// The client's identity for the request.
    pub message_id: Option<&'a str>,
    /// The queue that expects the reply.
    pub reply_to: Option<&'a str>,
    /// The client's own number for the request, echoed in the reply.
    pub correlation_id: Option<&'a str>,
    /// When the broker delivered this message for the first time; none if it may be a redelivery.
    pub first_received_at: Option<SystemTime>,
    /// The broker user who sent the request. The broker verifies it.
    pub user_id: Option<&'a str>,
    /// On whose behalf: the header [`ON_BEHALF_OF`](crate::ON_BEHALF_OF); empty if it is not text.
    pub on_behalf_of: Option<&'a [u8]>,
    /// Whether that user may request on behalf of others. The header of any other user is ignored.
    pub speaks_for_others: bool,
}

/// Maximum sizes of bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum size of a single request, in bytes.
    pub max_body_bytes: usize,
    /// Maximum size of a batch, in bytes.
    pub max_batch_body_bytes: usize,
}

/// What to do with fields that a request does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnknownFields {
    Refused,
    Ignored,
}

impl Envelope<'_> {
    /// The system that Florin replaces ignored unknown fields, and its clients may rely on it. For everybody
    /// else a misspelt `pending` must not move money.
    pub(crate) fn unknown_fields(&self) -> UnknownFields {
        if self.exchange == SEED_EXCHANGE { UnknownFields::Ignored } else { UnknownFields::Refused }
    }
}
