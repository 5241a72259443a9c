//! A client of the HTTP side.

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::Service;

/// Sends requests to one service, with one key.
#[derive(Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    key: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON. Numbers in it may lose digits: amounts are compared in `text`.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a text"))
    }

    /// The status and the name of the error.
    pub fn refusal(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert_eq!(problem["code"], self.status, "{self:?}");
        assert_eq!(problem["detail"], problem["reason"], "{self:?}");
        (self.status, problem["error"].as_str().expect("an error").to_owned())
    }
}

impl Http {
    /// Without a key.
    pub fn of(service: &Service) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, base: format!("http://{}", service.http_address), key: None }
    }

    pub fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(Method::POST, path, &[], body).await
    }

    /// Under an identity.
    pub async fn post_as(&self, key: &str, path: &str, body: &str) -> Answer {
        self.send(Method::POST, path, &[("idempotency-key", key)], body).await
    }

    /// A body is JSON unless the headers say otherwise.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let json = (!body.is_empty() && headers.iter().all(|(name, _)| *name != "content-type"))
            .then_some(("content-type", "application/json"));
        let headers: Vec<_> = headers.iter().copied().chain(json).collect();
        self.send_bytes(method, path, &headers, body.as_bytes()).await
    }

    /// Without a content type.
    pub async fn send_untyped(&self, path: &str, body: &str) -> Answer {
        self.send_bytes(Method::POST, path, &[], body.as_bytes()).await
    }

    pub async fn send_bytes(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_vec())).expect("a request");
        let (head, body) = self.client.request(request).await.expect("an answer").into_parts();
        let text = body.collect().await.expect("the whole of it").to_bytes();
        let text = String::from_utf8(text.into()).expect("UTF-8");
        Answer { status: head.status.as_u16(), headers: head.headers, text }
    }
}
