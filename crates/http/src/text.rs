//! What a request consists of: its JSON body and its identity.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum_extra::headers::{ContentType, HeaderMapExt};
use florin_ledger::ErrorCode;
use florin_wire::Refusal;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use mime::Mime;
use tokio::time::timeout;

use super::App;
use super::problem::{Fault, Problem};

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// What AMQP takes as a `message_id`.
const LONGEST_KEY_BYTES: usize = 255;

/// The bytes of a JSON body, up to the largest limit of any endpoint; each endpoint checks its own limit.
#[derive(Debug)]
pub(super) struct JsonText(pub(super) Bytes);

impl FromRequest<App> for JsonText {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let reason = "send Content-Type: application/json";
            return Err(Problem::new(Fault::UnsupportedMediaType, reason));
        }
        let limit = app.limits.max_body_bytes.max(app.limits.max_batch_body_bytes);
        let body = Limited::new(request.into_body(), limit).collect();
        match timeout(BODY_TIMEOUT, body).await {
            Err(_) => Err(Problem::new(Fault::TooSlow, "the body did not arrive in time")),
            Ok(Ok(body)) => Ok(Self(body.to_bytes())),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let reason = format!("the body has more than {limit} bytes");
                Err(Problem::of_refusal(&Refusal { code: ErrorCode::TooLarge, reason }))
            }
            Ok(Err(_)) => Err(malformed("the body ended early")),
        }
    }
}

/// A body without a type is taken for JSON.
fn is_json(headers: &HeaderMap) -> bool {
    match headers.typed_try_get::<ContentType>() {
        Ok(None) => true,
        Ok(Some(given)) => Mime::from(given).essence_str() == mime::APPLICATION_JSON,
        Err(_) => false,
    }
}

/// The identity of the request: the `message_id` of its message.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all("idempotency-key").iter();
    let Some(key) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(malformed("more than one Idempotency-Key"));
    }
    let is_plain = |key: &&str| {
        (1..=LONGEST_KEY_BYTES).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
    };
    let key = key.to_str().ok().filter(is_plain);
    key.map(|key| Some(key.to_owned()))
        .ok_or_else(|| malformed("Idempotency-Key must be 1 to 255 visible ASCII characters"))
}

pub(super) fn malformed(reason: impl Into<String>) -> Problem {
    Problem::of_refusal(&Refusal { code: ErrorCode::Malformed, reason: reason.into() })
}
