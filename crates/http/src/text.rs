//! What a request consists of: its JSON body and its identity.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use axum_extra::headers::{ContentType, HeaderMapExt};
use florin_ledger::ErrorCode;
use florin_wire::Refusal;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use mime::Mime;
use sfv::{BareItem, Item, Parser};
use tokio::time::timeout;

use super::App;
use super::problem::{Fault, Problem};

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// What AMQP takes as a `message_id`.
const LONGEST_KEY_BYTES: usize = 255;

/// The first bytes of what is no JSON in UTF-8, and what to do about it.
const FOREIGN_BEGINNINGS: [(&[u8], &str); 4] = [
    (b"\xef\xbb\xbf", "the body begins with a byte order mark: send UTF-8 without one"),
    (b"\xff\xfe", "the body is UTF-16: send UTF-8"),
    (b"\xfe\xff", "the body is UTF-16: send UTF-8"),
    (b"\x1f\x8b", "the body is compressed (gzip): send it uncompressed"),
];

/// The bytes of a JSON body, up to the largest limit of any endpoint; whoever reads it knows its own limit.
#[derive(Debug)]
pub(super) struct JsonText(pub(super) Bytes);

impl FromRequest<App> for JsonText {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        check_type(&request)?;
        let limit = app.limits.max_body_bytes.max(app.limits.max_batch_body_bytes);
        let body = Limited::new(request.into_body(), limit).collect();
        let body = match timeout(BODY_TIMEOUT, body).await {
            Err(_) => return Err(Problem::new(Fault::TooSlow, "the body did not arrive in time")),
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let reason = format!("the body has more than {limit} bytes");
                return Err(Problem::of_refusal(&Refusal { code: ErrorCode::TooLarge, reason }));
            }
            Ok(Err(_)) => return Err(malformed("the body ended early")),
        };
        match FOREIGN_BEGINNINGS.iter().find(|(beginning, _)| body.starts_with(beginning)) {
            Some((_, reason)) => Err(malformed(*reason)),
            None => Ok(Self(body)),
        }
    }
}

/// The type is required: without it, a web page could send a body without asking the browser first.
fn check_type(request: &Request<Body>) -> Result<(), Problem> {
    let headers = request.headers();
    let unsupported = |reason| Err(Problem::new(Fault::UnsupportedMediaType, reason));
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
        let encoding = encoding.to_str().unwrap_or("with this encoding").to_owned();
        return unsupported(format!(
            "a body that is encoded ({encoding}) is not taken: send it uncompressed"
        ));
    }
    let is_json = match headers.typed_try_get::<ContentType>() {
        Ok(None) => request.body().is_end_stream(),
        Ok(Some(given)) => Mime::from(given).essence_str() == mime::APPLICATION_JSON,
        Err(_) => false,
    };
    if is_json { Ok(()) } else { unsupported("send the header Content-Type: application/json".to_owned()) }
}

/// The identity of the request: the `message_id` of its message.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all("idempotency-key").iter();
    let Some(key) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(malformed("more than one Idempotency-Key"));
    }
    let is_plain = |key: &String| {
        (1..=LONGEST_KEY_BYTES).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
    };
    let key = key.to_str().ok().and_then(unquoted).filter(is_plain);
    key.map(Some).ok_or_else(|| malformed("Idempotency-Key must be 1 to 255 visible ASCII characters"))
}

/// `"abc"` is abc, as the IETF draft has it (a string of RFC 9651); none when the quotes are wrong.
fn unquoted(key: &str) -> Option<String> {
    if !key.starts_with('"') {
        return Some(key.to_owned());
    }
    let item: Item = Parser::new(key).parse().ok()?;
    match item.bare_item {
        BareItem::String(text) if item.params.is_empty() => Some(text.as_str().to_owned()),
        _ => None,
    }
}

pub(super) fn malformed(reason: impl Into<String>) -> Problem {
    Problem::of_refusal(&Refusal { code: ErrorCode::Malformed, reason: reason.into() })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn key(value: &'static str) -> Option<String> {
        let headers = HeaderMap::from_iter([(
            header::HeaderName::from_static("idempotency-key"),
            HeaderValue::from_static(value),
        )]);
        idempotency_key(&headers).ok().flatten()
    }

    #[test]
    fn a_key_in_quotes_is_the_key_without_them() {
        for (given, meant) in
            [("abc", "abc"), (r#""abc""#, "abc"), (r#""a\"b\\c""#, r#"a"b\c"#), ("a\"b", "a\"b")]
        {
            assert_eq!(key(given).as_deref(), Some(meant), "{given}");
        }
        for given in ["", r#""""#, r#"""#, r#""abc"#, r#""abc"x"#, r#""abc";q=1"#, r#""a b""#, r#""a\b""#] {
            assert_eq!(key(given), None, "{given}");
        }
    }
}
