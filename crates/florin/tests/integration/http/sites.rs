//! Where requests need no key, web pages of other sites move nothing; and bodies say what they are.

use axum::http::Method;
use florin_keys::Role;

use super::served;
use crate::common::{Http, Service, World};

const INVOICE: &str = r#"{"wallet_id":1,"ticker":"USD","amount":5}"#;

#[tokio::test]
async fn without_keys_no_page_of_another_site_moves_money() {
    let world = World::new().await;
    let environment = [("FLORIN_HTTP_AUTH", "false"), ("FLORIN_HTTP_ALLOWED_HOSTS", "florin.example")];
    let service = Service::start(&world, &environment).await;
    let http = Http::of(&service);
    let own = format!("http://{}", service.http_address);
    let send = async |headers: &[(&str, &str)]| http.send(Method::POST, "/invoice", headers, INVOICE).await;

    // What a page can send without asking the browser first.
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    {
        let answer = send(&[("content-type", content_type)]).await;
        assert_eq!(answer.refusal(), (415, "unsupported_media_type".into()), "{content_type}");
    }
    assert_eq!(
        http.send_untyped("/invoice", INVOICE).await.refusal(),
        (415, "unsupported_media_type".into())
    );
    for headers in [
        [("host", "evil.example"), ("origin", "http://evil.example")],
        [("host", "florin.example"), ("origin", "http://evil.example")],
        [("host", "localhost"), ("origin", "null")],
    ] {
        assert_eq!(send(&headers).await.refusal(), (403, "cross_site".into()), "{headers:?}");
    }
    let rebound = http.send(Method::GET, "/wallets/1/balance", &[("host", "evil.example")], "").await;
    assert_eq!(rebound.refusal(), (403, "cross_site".into()));
    let console = http.send(Method::GET, "/console/wallets", &[("host", "evil.example")], "").await;
    assert_eq!(console.status, 403);
    assert_eq!(world.ledger().await.number("SELECT count(*) FROM postings").await, 0);

    assert_eq!(send(&[("origin", &own)]).await.status, 200);
    assert_eq!(send(&[("host", "florin.example"), ("origin", "https://florin.example")]).await.status, 200);
    assert_eq!(http.send(Method::GET, "/healthz", &[("host", "probe.example")], "").await.status, 200);
}

#[tokio::test]
async fn what_is_no_plain_json_gets_a_hint() {
    let (_world, _service, http) = served(Role::Client).await;
    let post = async |headers: &[(&str, &str)], body: &[u8]| {
        let answer = http.send_bytes(Method::POST, "/invoice", headers, body).await;
        (answer.refusal().1, answer.json()["detail"].as_str().unwrap().to_owned())
    };
    let json = ("content-type", "application/json");
    let (error, detail) = post(&[json, ("content-encoding", "gzip")], b"\x1f\x8b\x08").await;
    assert_eq!(error, "unsupported_media_type");
    assert!(detail.contains("gzip") && detail.contains("uncompressed"), "{detail}");
    for (body, hint) in [
        (&b"\x1f\x8b\x08"[..], "uncompressed"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"\xff\xfe{\0}\0", "UTF-16"),
    ] {
        let (error, detail) = post(&[json], body).await;
        assert_eq!(error, "malformed");
        assert!(detail.contains(hint), "{detail}");
    }
}

/// Both ways of writing a key are the same key.
#[tokio::test]
async fn an_idempotency_key_in_quotes_is_the_key_without_them() {
    let (world, _service, http) = served(Role::Client).await;
    let first = http.post_as("order-17", "/invoice", INVOICE).await;
    let again = http.post_as(r#""order-17""#, "/invoice", INVOICE).await;
    assert_eq!((again.status, &again.text), (200, &first.text));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(http.post_as(r#""order-17"#, "/invoice", INVOICE).await.refusal().0, 400);
    assert_eq!(world.ledger().await.number("SELECT count(*) FROM postings").await, 1);
}

/// Fields of a batch's operations are none of a single request, as its schema says.
#[tokio::test]
async fn a_single_request_names_neither_its_operation_nor_its_identity() {
    let (world, _service, http) = served(Role::Client).await;
    for field in [r#""operation":"invoice""#, r#""id":"order-17""#] {
        let body = INVOICE.replace('{', &format!("{{{field},"));
        let answer = http.post("/invoice", &body).await;
        assert_eq!(answer.refusal(), (400, "malformed".into()), "{field}");
        let name = field.split('"').nth(1).unwrap();
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(&format!("unknown field {name:?}")), "{detail}");
    }
    assert_eq!(world.ledger().await.number("SELECT count(*) FROM postings").await, 0);
}
