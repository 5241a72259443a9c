//! What the addresses do.

use axum::http::Method;
use florin_client::{CallOptions, MovementBody, Request};
use florin_http::openapi_document;
use florin_keys::Role;
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use super::served;
use crate::common::Http;

const INVOICE: &str = r#"{"wallet_id":1,"ticker":"USD","amount":10.50}"#;

async fn balance(http: &Http) -> String {
    let answer = http.get("/wallets/1/balance").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text
}

#[tokio::test]
async fn money_moves_with_exact_digits() {
    let (world, _service, http) = served(Role::Client).await;
    let invoice = r#"{"wallet_id":"1","ticker":"USDT","amount":"99999999999999999999.000001"}"#;
    let answer = http.post("/invoice", invoice).await;
    assert_eq!((answer.status, answer.header("idempotent-replayed")), (200, None), "{answer:?}");
    assert_eq!(answer.json()["operation"], "invoice");
    assert_eq!(answer.json()["body"]["status"], "Success");
    let transfer = r#"{"wallet_id":1,"to_wallet_id":2,"ticker":"USDT","amount":0.000001}"#;
    assert_eq!(http.post("/transfer", transfer).await.status, 200);
    assert!(balance(&http).await.contains(r#"{"USDT":99999999999999999999}"#));
    assert!(http.post("/balance", r#"{"wallet_id":2}"#).await.text.contains(r#"{"USDT":0.000001}"#));
    world.ledger().await.assert_sound().await;
}

#[tokio::test]
async fn a_retry_is_answered_as_the_first_time_also_over_amqp() {
    let (world, _service, http) = served(Role::Client).await;
    let id = Uuid::now_v7().to_string();
    let first = http.post_as(&id, "/invoice", INVOICE).await;
    assert_eq!(first.json()["body"]["transaction_id"], id);
    let again = http.post_as(&id, "/invoice", INVOICE).await;
    assert_eq!((again.status, &again.text), (200, &first.text));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let other = http.post_as(&id, "/invoice", &INVOICE.replace("10.50", "10.51")).await;
    assert_eq!(other.refusal(), (409, "identity_reused".into()));

    let request = Request::Invoice(MovementBody::new(1, "USD", "10.5".parse().unwrap()));
    let options = CallOptions { message_id: Some(id), ..CallOptions::default() };
    let response = world.client().await.call(&request, options).await.unwrap();
    assert!(response.replayed);
    assert!(balance(&http).await.contains(r#"{"USD":10.5}"#));
    world.ledger().await.assert_sound().await;
}

/// The same identities over HTTP and AMQP at once.
#[tokio::test]
async fn each_identity_is_applied_once_whichever_way_it_comes() {
    let (world, _service, http) = served(Role::Client).await;
    let client = world.client().await;
    let ids: Vec<String> = (0..200).map(|index| format!("order-{index}")).collect();
    let request = Request::Invoice(MovementBody::new(1, "USD", "1".parse().unwrap()));
    let over_http = ids.iter().map(|id| async {
        let answer = http.post_as(id, "/invoice", r#"{"wallet_id":1,"ticker":"USD","amount":1}"#).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["body"]["transaction_id"].as_str().unwrap().to_owned()
    });
    let over_amqp = ids.iter().map(|id| async {
        let options = CallOptions { message_id: Some(id.clone()), ..CallOptions::default() };
        let reply = client.call(&request, options).await.unwrap().reply;
        reply.receipt().unwrap().transaction_id.to_string()
    });
    let (first, second) = tokio::join!(join_all(over_http), join_all(over_amqp));
    assert_eq!(first, second);
    assert!(balance(&http).await.contains(r#"{"USD":200}"#));
    world.ledger().await.assert_sound().await;
}

#[tokio::test]
async fn what_waits_is_shown_and_ended() {
    let (world, _service, http) = served(Role::Client).await;
    http.post("/invoice", INVOICE).await;
    let hold = r#"{"wallet_id":1,"ticker":"USD","amount":4,"pending":true,"metadata":{"order":17}}"#;
    let held = http.post("/withdraw", hold).await;
    assert_eq!(held.status, 202, "{held:?}");
    let id = held.json()["body"]["transaction_id"].as_str().unwrap().to_owned();
    let text = balance(&http).await;
    assert!(
        text.contains(r#""actual_balance":{"USD":6.5}"#) && text.contains(r#""frozen_balance":{"USD":4}"#)
    );
    let shown = http.get(&format!("/transactions/{id}")).await.json();
    assert_eq!(
        (&shown["body"]["status"], &shown["body"]["metadata"]["order"]),
        (&json!("Created"), &json!(17))
    );
    let settled = http.post("/settle", &format!(r#"{{"transaction_id":"{id}","amount":3}}"#)).await;
    assert_eq!(settled.status, 200, "{settled:?}");
    let cancelled = http.post("/cancel", &format!(r#"{{"transaction_id":"{id}"}}"#)).await;
    assert_eq!(cancelled.refusal(), (409, "already_final".into()));
    let page = http.get("/wallets/1/history?ticker=USD&limit=2").await.json();
    assert_eq!(page["body"]["postings"].as_array().unwrap().len(), 2);
    let next = page["body"]["next"].as_str().unwrap().to_owned();
    let rest = http.get(&format!("/wallets/1/history?ticker=USD&before={next}")).await.json();
    assert_eq!(rest["body"]["postings"].as_array().unwrap().len(), 1);
    world.ledger().await.assert_sound().await;
}

#[tokio::test]
async fn a_batch_answers_each_operation() {
    let (world, _service, http) = served(Role::Client).await;
    let batch = |atomic| {
        json!({"atomic": atomic, "operations": [
            {"operation": "invoice", "wallet_id": 1, "ticker": "USD", "amount": 5},
            {"operation": "withdraw", "wallet_id": 2, "ticker": "USD", "amount": 7},
        ]})
        .to_string()
    };
    let each = http.post_as("batch-1", "/batch", &batch(false)).await;
    assert_eq!(each.status, 200, "{each:?}");
    let codes = |answer: &Value| -> Vec<u64> {
        let results = answer["body"]["results"].as_array().unwrap();
        results.iter().map(|result| result["code"].as_u64().unwrap()).collect()
    };
    assert_eq!(codes(&each.json()), [200, 400]);
    let again = http.post_as("batch-1", "/batch", &batch(false)).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let none = http.post("/batch", &batch(true)).await;
    assert_eq!(none.refusal().1, "batch_failed");
    assert_eq!(codes(&none.json()).len(), 2);
    assert!(balance(&http).await.contains(r#"{"USD":5}"#));
    world.ledger().await.assert_sound().await;
}

#[tokio::test]
async fn bad_requests_say_what_is_wrong() {
    let (_world, _service, http) = served(Role::Operator).await;
    let uuid = "0190a5b0-7c1e-7d3c-8c3e-0123456789ab";
    let posts = [
        ("/invoice", "{", 400, "malformed"),
        ("/invoice", "", 400, "malformed"),
        ("/invoice", r#"{"wallet_id":1,"ticker":"USD","amount":-1}"#, 400, "amount_not_positive"),
        ("/invoice", r#"{"wallet_id":1,"ticker":"USD","amount":0.001}"#, 400, "amount_too_precise"),
        ("/invoice", r#"{"wallet_id":99,"ticker":"USD","amount":1}"#, 400, "unknown_wallet"),
        ("/invoice", r#"{"wallet_id":1,"ticker":"XXX","amount":1}"#, 400, "unknown_ticker"),
        ("/withdraw", r#"{"wallet_id":1,"ticker":"USD","amount":1}"#, 400, "insufficient_funds"),
        ("/cancel", &format!(r#"{{"transaction_id":"{uuid}"}}"#), 404, "unknown_transaction"),
        ("/batch", r#"{"operations":[]}"#, 400, "malformed"),
        ("/balance", r#"{"wallet_id":99}"#, 400, "unknown_wallet"),
        ("/wallets", r#"{"from":0}"#, 400, "malformed"),
        ("/wallets", r#"[1,2]"#, 400, "malformed"),
        ("/wallets", r#"{"from":1,"to":200000}"#, 400, "malformed"),
        ("/tickers", r#"{"name":"a b","scale":2}"#, 400, "malformed"),
        ("/tickers", r#"{"name":"X","scale":19}"#, 400, "malformed"),
        ("/tickers", r#"{"name":"USD","scale":3}"#, 409, "ticker_exists"),
        ("/nothing", "{}", 404, "not_found"),
        ("/healthz", "{}", 405, "method_not_allowed"),
    ];
    for (path, body, status, error) in posts {
        let answer = http.post(path, body).await;
        assert_eq!(answer.refusal(), (status, error.into()), "{path} {body}: {answer:?}");
    }
    let gets = [
        ("/wallets/x/balance", 400, "malformed"),
        ("/wallets/%ff/balance", 400, "malformed"),
        ("/wallets/99/balance", 400, "unknown_wallet"),
        ("/wallets/1/balance?tickr=USD", 400, "malformed"),
        ("/wallets/1/balance?ticker=USD&ticker=RUB", 400, "malformed"),
        ("/wallets/1/balance?at=yesterday", 400, "malformed"),
        ("/wallets/1/history?limit=0", 400, "malformed"),
        ("/wallets?limit=1001", 400, "malformed"),
        ("/wallets?after=x", 400, "malformed"),
        ("/transactions/17", 400, "malformed"),
        ("/invoice", 405, "method_not_allowed"),
    ];
    for (path, status, error) in gets {
        assert_eq!(http.get(path).await.refusal(), (status, error.into()), "{path}");
    }
    let missing = http.get(&format!("/transactions/{uuid}")).await;
    assert_eq!(missing.refusal(), (404, "unknown_transaction".into()));
}

/// The title names the kind of error, the detail what is wrong with this request.
#[tokio::test]
async fn titles_are_short_and_details_specific() {
    let (_world, service, http) = served(Role::Operator).await;
    let malformed = http.post("/invoice", "{").await.json();
    assert_eq!(malformed["title"], "Invalid request");
    assert_eq!(malformed["detail"], malformed["reason"]);
    let missing = http.get("/nothing").await.json();
    assert_eq!(missing["detail"], "No such endpoint. See /docs.");
    let nobody = Http::of(&service).get("/tickers").await.json();
    assert_eq!(nobody["title"], "Missing or invalid API key.");
}

#[tokio::test]
async fn heads_and_lengths_are_limited() {
    let (_world, _service, http) = served(Role::Client).await;
    let text = [("content-type", "text/plain")];
    let answer = http.send(Method::POST, "/invoice", &text, INVOICE).await;
    assert_eq!(answer.refusal(), (415, "unsupported_media_type".into()));
    let typed = [("content-type", "application/json; charset=utf-8")];
    assert_eq!(http.send(Method::POST, "/invoice", &typed, INVOICE).await.status, 200);
    let long = format!(r#"{{"wallet_id":1,"x":"{}"}}"#, "x".repeat(70_000));
    assert_eq!(http.post("/balance", &long).await.refusal(), (413, "too_large".into()));
    let longer = "x".repeat(1_048_577);
    assert_eq!(http.post("/batch", &longer).await.refusal(), (413, "too_large".into()));
    let keys = [("idempotency-key", "a"), ("idempotency-key", "b")];
    assert_eq!(http.send(Method::POST, "/invoice", &keys, INVOICE).await.refusal().0, 400);
    let key = "x".repeat(256);
    assert_eq!(http.post_as(&key, "/invoice", INVOICE).await.refusal().0, 400);
    assert_eq!(http.post_as(&key[1..], "/invoice", INVOICE).await.status, 200);
    assert_eq!(http.post_as("a b", "/invoice", INVOICE).await.refusal().0, 400);
}

#[tokio::test]
async fn wallets_and_tickers_are_made_and_listed() {
    let (_world, _service, http) = served(Role::Operator).await;
    let made = http.post("/wallets", r#"{"from":8,"to":12}"#).await;
    assert_eq!((made.status, made.text.as_str()), (201, r#"{"created":3}"#));
    assert_eq!(http.post("/wallets", r#"{"from":12}"#).await.status, 200);
    assert_eq!(http.post("/tickers", r#"{"name":"BTC","scale":8}"#).await.status, 201);
    assert_eq!(http.post("/tickers", r#"{"name":"BTC","scale":8}"#).await.status, 200);
    http.post("/invoice", r#"{"wallet_id":11,"ticker":"BTC","amount":0.00000001}"#).await;
    let page = http.get("/wallets?after=9&limit=2").await;
    assert_eq!(
        page.text,
        concat!(
            r#"{"wallets":[{"wallet_id":10,"balances":[]},{"wallet_id":11,"balances":"#,
            r#"[{"ticker":"BTC","actual":0.00000001,"frozen":0}]}],"next":11}"#
        )
    );
    assert_eq!(
        http.get("/wallets?after=11").await.json(),
        json!({"wallets": [{"wallet_id": 12, "balances": []}]})
    );
    let tickers = http.get("/tickers").await.json();
    assert_eq!(tickers["tickers"][0], json!({"name": "BTC", "scale": 8}));
}

/// The address of every page, and the examples of every request, as the document has them.
#[tokio::test]
async fn the_document_is_served_and_its_examples_are_understood() {
    let (_world, service, http) = served(Role::Operator).await;
    assert_eq!(Http::of(&service).get("/openapi.json").await.json(), *openapi_document());
    assert_eq!(Http::of(&service).get("/asyncapi.json").await.json()["asyncapi"], "3.0.0");
    let document = openapi_document();
    let mut sent = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let body = &methods["post"]["requestBody"]["content"]["application/json"]["examples"];
        for (name, example) in body.as_object().into_iter().flatten() {
            let answer = http.post(path, &example["value"].to_string()).await;
            assert!(
                ![404, 405, 413, 415, 500].contains(&answer.status) || path == "/settle" || path == "/cancel"
            );
            if answer.status >= 400 {
                assert_ne!(answer.refusal().1, "malformed", "{path} {name}: {answer:?}");
            }
            sent += 1;
        }
    }
    assert!(sent > 12, "{sent} examples");
}
