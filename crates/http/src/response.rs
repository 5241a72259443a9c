//! AMQP replies as HTTP responses: the same objects, but `body` is an object and not a string that holds one.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use florin_client::Reply;
use florin_wire::{IDEMPOTENT_REPLAYED, RawJson};
use serde::Serialize;

use super::problem::Problem;

/// A successful reply.
#[derive(Serialize)]
struct Done {
    operation: String,
    code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<RawJson>,
}

pub(super) fn of_reply(reply: Reply, replayed: bool) -> Response {
    if !reply.is_done() {
        return Problem::from_reply(reply, replayed).into_response();
    }
    let Reply { operation, code, body, .. } = reply;
    let body = body.map(|body| body.parse().expect("the body of a reply holds JSON"));
    let mut response =
        json(StatusCode::from_u16(code).unwrap_or(StatusCode::OK), &Done { operation, code, body });
    if replayed {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// JSON whose numbers keep their digits.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).expect("text and numbers are JSON");
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}
