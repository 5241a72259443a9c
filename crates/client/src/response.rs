//! Answers as callers get them.

use florin_wire::{IDEMPOTENT_REPLAYED, Reply, ResultBody};
use lapin::BasicProperties;
use lapin::types::AMQPValue;

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The service's reply: done or refused.
    pub reply: Reply,
    /// Whether this repeats the answer to an earlier request with the same identity.
    pub replayed: bool,
}

/// The answer to a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchResponse {
    /// The reply to the batch as a whole, without its body.
    pub reply: Reply,
    /// The results of the operations, in order; none if the batch as a whole was refused.
    pub results: Vec<Response>,
    /// Whether all results repeat earlier ones.
    pub replayed: bool,
}

/// An answer as it arrived.
#[derive(Debug, Clone)]
pub struct RawReply {
    /// The bytes of the message.
    pub body: Vec<u8>,
    /// The properties and headers of the message.
    pub properties: BasicProperties,
}

impl RawReply {
    /// Whether this repeats the answer to an earlier request with the same identity.
    #[must_use]
    pub fn replayed(&self) -> bool {
        let headers = self.properties.headers().as_ref();
        let replayed = headers.and_then(|headers| headers.inner().get(IDEMPOTENT_REPLAYED));
        replayed == Some(&AMQPValue::Boolean(true))
    }

    /// Parses the reply.
    ///
    /// # Errors
    ///
    /// When the bytes are not a reply.
    pub fn read(&self) -> Result<Response, serde_json::Error> {
        let reply = Reply::from_json(&self.body)?;
        Ok(Response { reply, replayed: self.replayed() })
    }

    pub(crate) fn read_batch(&self) -> Result<BatchResponse, serde_json::Error> {
        let Response { mut reply, replayed } = self.read()?;
        let results = match reply.body {
            Some(_) => reply.results()?,
            None => Vec::new(),
        };
        reply.body = None;
        Ok(BatchResponse { reply, results: results.into_iter().map(Response::from).collect(), replayed })
    }
}

impl From<ResultBody> for Response {
    fn from(result: ResultBody) -> Self {
        let (reply, replayed) = result.into_reply();
        Self { reply, replayed }
    }
}
