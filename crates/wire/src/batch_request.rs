//! The client's side of batches: one message out of several requests.

use crate::fields::{Field, Fields, text};
use crate::refusal::Refusal;
use crate::request::Request;

/// Several requests for one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchRequest {
    /// At least one, at most [`MAX_BATCH_OPERATIONS`](crate::MAX_BATCH_OPERATIONS).
    pub operations: Vec<BatchItem>,
    /// Whether all operations are applied, or none.
    pub atomic: bool,
}

/// One request of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchItem {
    /// The client's identity for the operation: what `message_id` is for a single request.
    pub id: Option<String>,
    /// The operation and its arguments.
    pub request: Request,
}

impl BatchRequest {
    /// The body as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut writer = BatchWriter::new();
        for BatchItem { id, request } in &self.operations {
            writer.push(request.operation().as_str(), id.as_deref(), None, &Body::from(request));
        }
        writer.finish(self.atomic)
    }
}

/// The body of a single request, as the text of one JSON object that can be copied into a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body(Vec<u8>);

impl Body {
    /// Accepts a body that a caller wrote.
    ///
    /// # Errors
    ///
    /// When it is not a JSON object, has a field twice, or a field that a batch needs for itself
    /// (`operation`, `id`, `on_behalf_of`): the service would refuse it, or read it differently in a batch.
    pub fn read(json: &[u8]) -> Result<Self, Refusal> {
        let text = text(json)?;
        let fields = Fields::read(text)?;
        let fields = fields.unambiguous()?;
        for field in [Field::Operation, Field::Id, Field::OnBehalfOf] {
            if fields.is_named(field) {
                let name = field.name();
                return Err(Refusal::malformed(format!(
                    "field {name:?} is reserved for the operations of a batch"
                )));
            }
        }
        Ok(Self(text.trim().as_bytes().to_vec()))
    }

    /// The JSON text, without surrounding whitespace.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text between the braces.
    fn content(&self) -> &[u8] {
        let inner = self.0.get(1..self.0.len().saturating_sub(1)).unwrap_or_default();
        inner.trim_ascii()
    }
}

impl From<&Request> for Body {
    fn from(request: &Request) -> Self {
        Self(request.to_json())
    }
}

impl From<Body> for Vec<u8> {
    fn from(body: Body) -> Self {
        body.0
    }
}

/// Writes the body of a batch from the bodies of single requests.
#[derive(Debug, Clone)]
pub struct BatchWriter {
    json: Vec<u8>,
    operations: usize,
}

impl Default for BatchWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchWriter {
    /// A batch without operations so far.
    #[must_use]
    pub fn new() -> Self {
        Self { json: br#"{"operations":["#.to_vec(), operations: 0 }
    }

    /// Adds an operation with the client's identity for it, and on whose behalf it is requested (the service
    /// believes that only of users it trusts).
    ///
    /// # Panics
    ///
    /// Never: text is JSON.
    pub fn push(&mut self, operation: &str, id: Option<&str>, on_behalf_of: Option<&str>, body: &Body) {
        let json = &mut self.json;
        if self.operations > 0 {
            json.push(b',');
        }
        self.operations += 1;
        json.extend_from_slice(br#"{"operation":"#);
        serde_json::to_writer(&mut *json, operation).expect("text is JSON");
        let own = [(&br#","id":"#[..], id), (br#","on_behalf_of":"#, on_behalf_of)];
        for (name, text) in own {
            if let Some(text) = text {
                json.extend_from_slice(name);
                serde_json::to_writer(&mut *json, text).expect("text is JSON");
            }
        }
        let content = body.content();
        if !content.is_empty() {
            json.push(b',');
            json.extend_from_slice(content);
        }
        json.push(b'}');
    }

    /// Number of operations so far.
    #[must_use]
    pub const fn operations(&self) -> usize {
        self.operations
    }

    /// Size of the body so far, in bytes, without its end.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        self.json.len()
    }

    /// Completes the body.
    #[must_use]
    pub fn finish(self, atomic: bool) -> Vec<u8> {
        let Self { mut json, .. } = self;
        json.extend_from_slice(if atomic { br#"],"atomic":true}"# } else { b"]}" });
        json
    }
}
