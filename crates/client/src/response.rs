//! Answers, as callers get them.

use florin_wire::{IDEMPOTENT_REPLAYED, Reply, ResultBody};
use lapin::BasicProperties;
use lapin::types::AMQPValue;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// What the service said.
    pub reply: Reply,
    /// Whether the request had been answered before, and this is the same answer again.
    pub replayed: bool,
}

/// The answer to a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchResponse {
    /// What the service said of the batch as a whole; the results are taken out of it.
    pub reply: Reply,
    /// The answers to its operations, in their order; none when the batch was refused unread.
    pub results: Vec<Response>,
    /// Whether all of it had been answered before.
    pub replayed: bool,
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct RawReply {
    /// The bytes.
    pub body: Vec<u8>,
    /// All that came beside them.
    pub properties: BasicProperties,
}

impl RawReply {
    /// Whether the request had been answered before, and this is the same answer again.
    #[must_use]
    pub fn replayed(&self) -> bool {
        let headers = self.properties.headers().as_ref();
        let replayed = headers.and_then(|headers| headers.inner().get(IDEMPOTENT_REPLAYED));
        replayed == Some(&AMQPValue::Boolean(true))
    }

    /// The reply in it.
    ///
    /// # Errors
    ///
    /// When the bytes are no reply.
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
