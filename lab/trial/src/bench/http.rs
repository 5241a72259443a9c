//! The load over HTTP: one HTTP request for each.

use anyhow::{Context, bail};
use axum::body::Bytes;
use axum::http::{Method, Request as HttpRequest, header};
use florin_wire::{BatchRequest, HistoryQueryBody, Request, ResultBody};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use uuid::Uuid;

/// A client of the HTTP side, which keeps its connections.
#[derive(Debug)]
pub(super) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    authorization: String,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    body: Option<Results>,
}

#[derive(Deserialize)]
struct Results {
    results: Vec<ResultBody>,
}

impl Http {
    /// `url` has no path.
    pub(super) fn new(url: &str, key: &str) -> anyhow::Result<Self> {
        let base = url.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") {
            bail!("--http must be an address such as http://127.0.0.1:9000, without TLS, not {url:?}");
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, base, authorization: format!("Bearer {key}") })
    }

    /// The code of the answer. A transaction gets this identity.
    pub(super) async fn call(&self, request: &Request, id: Uuid) -> anyhow::Result<u16> {
        let (code, _) = match request {
            Request::History(HistoryQueryBody { wallet_id, limit, .. }) => {
                let limit = limit.map_or(String::new(), |limit| format!("?limit={limit}"));
                self.send(Method::GET, &format!("/wallets/{wallet_id}/history{limit}"), Vec::new(), None)
                    .await?
            }
            request => {
                let path = format!("/{}", request.operation());
                let id = (!matches!(request, Request::Balance(_))).then_some(id);
                self.send(Method::POST, &path, request.to_json(), id).await?
            }
        };
        Ok(code)
    }

    /// The codes of the answers to its operations.
    pub(super) async fn batch(&self, batch: &BatchRequest) -> anyhow::Result<Vec<u16>> {
        let (_, body) = self.send(Method::POST, "/batch", batch.to_json(), None).await?;
        let answer: Answer = serde_json::from_slice(&body).context("the answer cannot be read")?;
        let results = answer.body.map(|body| body.results).unwrap_or_default();
        Ok(results.into_iter().map(|result| result.code).collect())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        id: Option<Uuid>,
    ) -> anyhow::Result<(u16, Bytes)> {
        let mut request = HttpRequest::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(id) = id {
            request = request.header("idempotency-key", id.to_string());
        }
        let request = request.body(Full::from(body))?;
        let (head, body) = self.client.request(request).await.context("no answer")?.into_parts();
        let status = head.status.as_u16();
        let body = body.collect().await.context("the answer broke off")?.to_bytes();
        // What is not an answer of the ledger would be measured as one.
        if [401, 403, 404, 429, 503, 504].contains(&status) {
            bail!("{path}: {}", String::from_utf8_lossy(&body));
        }
        Ok((status, body))
    }
}
