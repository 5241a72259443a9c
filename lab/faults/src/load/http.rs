//! A client over HTTP: each attempt is a call of its own, to the instances in turn.
//!
//! Its answers are recorded as replies, so that they are checked like any other.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use florin_ledger::ErrorCode;
use florin_wire::{IDEMPOTENT_REPLAYED, RawJson, Reply};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use tokio::time::sleep;
use uuid::Uuid;

use super::choose::Asked;
use crate::history::What;
use crate::world::INSTANCES;

/// After a call that failed: an instance that is gone refuses at once.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Http {
    instances: [SocketAddr; INSTANCES],
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What the body of an answer has in common with a reply.
#[derive(Deserialize)]
struct Answer {
    operation: Option<String>,
    code: u16,
    body: Option<RawJson>,
    reason: Option<String>,
    error: Option<String>,
    transaction_id: Option<Uuid>,
}

/// What a look-up names, in its path.
#[derive(Deserialize)]
struct LookUp {
    wallet_id: Option<i64>,
    limit: Option<u16>,
    transaction_id: Option<Uuid>,
}

impl Http {
    pub(super) fn new(instances: [SocketAddr; INSTANCES]) -> Self {
        Self { instances, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Sends it once. Without an answer (the error says why) the outcome is unknown.
    pub(super) async fn call(&self, asked: &Asked, attempt: u32) -> Result<What, &'static str> {
        let answer = self.send(asked, attempt).await;
        if answer.is_err() {
            sleep(PAUSE).await;
        }
        answer
    }

    async fn send(&self, asked: &Asked, attempt: u32) -> Result<What, &'static str> {
        let instance = self.instances[attempt as usize % INSTANCES];
        let (method, path) = address(asked);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{instance}{path}"))
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(message_id) = &asked.message_id {
            request = request.header("idempotency-key", message_id);
        }
        let request = request.body(Full::from(asked.body.clone())).expect("what is asked is plain text");
        let response = self.client.request(request).await.map_err(|_| "no instance answers")?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|_| "the answer broke off")?.to_bytes();
        let replayed = head.headers.contains_key(IDEMPOTENT_REPLAYED);
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| "the answer is no JSON")?;
        let text = answer.into_reply().ok_or("the service cannot tell")?.to_json();
        Ok(What::Answer { replayed, text: String::from_utf8_lossy(&text).into_owned() })
    }
}

/// Look-ups have paths of their own.
fn address(asked: &Asked) -> (Method, String) {
    let named = || serde_json::from_str(&asked.body).ok();
    match (asked.operation.as_str(), named()) {
        ("transaction", Some(LookUp { transaction_id: Some(id), .. })) => {
            (Method::GET, format!("/transactions/{id}"))
        }
        ("history", Some(LookUp { wallet_id: Some(wallet_id), limit: Some(limit), .. })) => {
            (Method::GET, format!("/wallets/{wallet_id}/history?limit={limit}"))
        }
        (operation, _) => (Method::POST, format!("/{operation}")),
    }
}

impl Answer {
    /// The reply that it holds, unless it only says that there is none.
    fn into_reply(self) -> Option<Reply> {
        let Self { operation, code, body, reason, error, transaction_id } = self;
        let is_decided = error.as_ref().is_none_or(|error| error.parse::<ErrorCode>().is_ok());
        is_decided.then(|| Reply {
            operation: operation.unwrap_or_default(),
            code,
            body: body.map(String::from),
            reason,
            error,
            transaction_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(json: &str) -> Option<String> {
        let answer: Answer = serde_json::from_str(json).unwrap();
        answer.into_reply().map(|reply| String::from_utf8(reply.to_json()).unwrap())
    }

    #[test]
    fn an_answer_is_the_reply_that_it_holds_to_the_byte() {
        let done = r#"{"operation":"invoice","code":200,"body":{"status": "Success","x":1.50}}"#;
        let told = r#"{"operation":"invoice","code":200,"body":"{\"status\": \"Success\",\"x\":1.50}"}"#;
        assert_eq!(reply(done).as_deref(), Some(told));
        let refused = r#"{"type":"/docs#unknown_wallet","title":"t","status":404,"detail":"none","operation":"balance",
            "code":404,"reason":"none","error":"unknown_wallet"}"#;
        let told = r#"{"operation":"balance","code":404,"reason":"none","error":"unknown_wallet"}"#;
        assert_eq!(reply(refused).as_deref(), Some(told));
    }

    #[test]
    fn what_only_says_that_there_is_no_answer_is_none() {
        for error in ["outcome_unknown", "unavailable", "overloaded"] {
            let json =
                format!(r#"{{"operation":"invoice","code":504,"reason":"no answer","error":"{error}"}}"#);
            assert_eq!(reply(&json), None, "{error}");
        }
    }
}
