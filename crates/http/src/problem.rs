//! Errors as `application/problem+json` (RFC 9457), with the fields that AMQP replies have.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use florin_client::Reply;
use florin_ledger::ErrorCode;
use florin_wire::{Guide, IDEMPOTENT_REPLAYED, RawJson, Refusal};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::database::DatabaseError;

/// The errors that only HTTP has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    TooSlow,
    TickerExists,
    UnsupportedMediaType,
    HeadTooLarge,
    CrossSite,
    RateLimited,
    TooManyInFlight,
    Overloaded,
    Unavailable,
    OutcomeUnknown,
}

impl Fault {
    pub(super) const ALL: [Self; 14] = [
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::TooSlow,
        Self::TickerExists,
        Self::UnsupportedMediaType,
        Self::HeadTooLarge,
        Self::CrossSite,
        Self::RateLimited,
        Self::TooManyInFlight,
        Self::Overloaded,
        Self::Unavailable,
        Self::OutcomeUnknown,
    ];

    /// The stable name, the status and the title.
    pub(super) const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, "Missing or invalid API key."),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "Not allowed for this API key."),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "Not found."),
            Self::MethodNotAllowed => {
                ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.")
            }
            Self::TooSlow => ("too_slow", StatusCode::REQUEST_TIMEOUT, "The request did not arrive in time."),
            Self::TickerExists => (
                "ticker_exists",
                StatusCode::CONFLICT,
                "The ticker exists with another scale. Scales never change.",
            ),
            Self::UnsupportedMediaType => (
                "unsupported_media_type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Unsupported media type: send application/json.",
            ),
            Self::HeadTooLarge => (
                "head_too_large",
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "The head of the request is too large.",
            ),
            Self::CrossSite => (
                "cross_site",
                StatusCode::FORBIDDEN,
                "Not allowed from another site or under this host name.",
            ),
            Self::RateLimited => {
                ("rate_limited", StatusCode::TOO_MANY_REQUESTS, "The API key exceeded its request rate.")
            }
            Self::TooManyInFlight => (
                "too_many_in_flight",
                StatusCode::TOO_MANY_REQUESTS,
                "The API key has too many requests in progress.",
            ),
            Self::Overloaded => (
                "overloaded",
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many requests in progress. Nothing was done.",
            ),
            Self::Unavailable => (
                "unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The broker or the database cannot be reached. Nothing was done.",
            ),
            Self::OutcomeUnknown => (
                "outcome_unknown",
                StatusCode::GATEWAY_TIMEOUT,
                "No answer in time: read the transaction, or send the request again under its Idempotency-Key.",
            ),
        }
    }
}

#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    document: Box<Document>,
    replayed: bool,
    retry_after: Option<Duration>,
}

/// The body of the response.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "problem")]
pub(super) struct Document {
    /// Where the error is described.
    r#type: String,
    /// What the error means.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What was wrong with this request.
    detail: String,
    /// The operation that was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    /// The same as `status`, as in AMQP replies.
    code: u16,
    /// The same as `detail`, as in AMQP replies.
    reason: String,
    /// The stable name of the error.
    error: String,
    /// The transaction that the request has opened or would have opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "uuid"))]
    transaction_id: Option<Uuid>,
    /// The result of each operation of a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    body: Option<RawJson>,
}

impl Problem {
    pub(super) fn new(fault: Fault, reason: impl Into<String>) -> Self {
        let (error, status, title) = fault.parts();
        let retry_after = matches!(fault, Fault::TooManyInFlight | Fault::Overloaded | Fault::Unavailable)
            .then_some(Duration::from_secs(1));
        let document = Document::new(error, title, status, reason.into());
        Self { status, document: Box::new(document), replayed: false, retry_after }
    }

    pub(super) fn of_refusal(Refusal { code, reason }: &Refusal) -> Self {
        let status = StatusCode::from_u16(code.status()).expect("codes of errors are statuses of HTTP");
        let document = Document::new(code.as_str(), title(*code), status, reason.clone());
        Self { status, document: Box::new(document), replayed: false, retry_after: None }
    }

    /// From a reply that refuses.
    pub(super) fn from_reply(reply: Reply, replayed: bool) -> Self {
        let Reply { operation, code, body, reason, error, transaction_id } = reply;
        let error = error.unwrap_or_default();
        let title = error.parse().map_or("The request was refused.", title);
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST);
        let document = Document {
            operation: Some(operation),
            transaction_id,
            body: body.and_then(|body| body.parse().ok()),
            ..Document::new(&error, title, status, reason.unwrap_or_default())
        };
        Self { status, document: Box::new(document), replayed, retry_after: None }
    }

    pub(super) fn of_operation(mut self, operation: &str) -> Self {
        self.document.operation = Some(operation.to_owned());
        self
    }

    pub(super) fn of_transaction(mut self, transaction_id: Option<Uuid>) -> Self {
        self.document.transaction_id = transaction_id;
        self
    }

    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable name of the error, the title, and what was wrong with this request.
    pub(super) fn words(&self) -> (&str, &'static str, &str) {
        (&self.document.error, self.document.title, &self.document.reason)
    }

    pub(super) const fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }
}

/// The detail says what is malformed, so the title is short.
const fn title(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Malformed => "Invalid request",
        code => Guide::of(code).meaning,
    }
}

impl Document {
    fn new(error: &str, title: &'static str, status: StatusCode, reason: String) -> Self {
        Self {
            r#type: format!("/docs#{error}"),
            title,
            status: status.as_u16(),
            detail: reason.clone(),
            operation: None,
            code: status.as_u16(),
            reason,
            error: error.to_owned(),
            transaction_id: None,
            body: None,
        }
    }
}

/// A database failure decides nothing. Its text may name hosts, so only the log has it.
impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        tracing::warn!(%error, "HTTP request failed: no answer from the database");
        let reason = match &error {
            DatabaseError::TimedOut(_) => error.to_string(),
            _ => "the database is unavailable; the log of the service says why".to_owned(),
        };
        Self::new(Fault::Unavailable, reason)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.document).expect("text and numbers are JSON");
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, [(header::CONTENT_TYPE, content_type)], body).into_response();
        let headers = response.headers_mut();
        if let Some(delay) = self.retry_after {
            let whole_secs = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, whole_secs.max(1).into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.replayed {
            headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use florin_ledger::ErrorCode;

    use super::*;

    #[test]
    fn names_are_one_of_a_kind() {
        let faults = Fault::ALL.map(|fault| fault.parts().0);
        let names: BTreeSet<_> = faults.into_iter().chain(ErrorCode::ALL.map(ErrorCode::as_str)).collect();
        assert_eq!(names.len(), faults.len() + ErrorCode::ALL.len());
        assert_eq!(Fault::ALL.len(), Fault::OutcomeUnknown as usize + 1);
    }

    #[test]
    fn delays_are_whole_seconds_and_at_least_one() {
        for (delay_ms, shown) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let problem = Problem::new(Fault::RateLimited, "").retry_after(Duration::from_millis(delay_ms));
            assert_eq!(problem.into_response().headers()[header::RETRY_AFTER], shown);
        }
    }
}
