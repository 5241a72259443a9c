//! Who may do what.

use std::time::{Duration, SystemTime};

use florin_http::openapi_document;
use florin_keys::{Role, Token};

use super::{expiring_key, key, served};
use crate::common::{Http, Service, World};

/// Every address of the document, with every role and without a key.
#[tokio::test]
async fn each_role_reaches_its_addresses_and_no_others() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let nobody = Http::of(&service);
    let mut callers = Vec::new();
    for role in Role::ALL {
        callers.push((role, nobody.with_key(&key(&world, role.as_str(), role, None).await)));
    }
    let mut checked = 0;
    for (path, methods) in openapi_document()["paths"].as_object().unwrap() {
        let path = path
            .replace("{wallet_id}", "1")
            .replace("{transaction_id}", "0190a5b0-7c1e-7d3c-8c3e-0123456789ab");
        for (method, operation) in methods.as_object().unwrap() {
            let send = async |http: &Http| match method.as_str() {
                "get" => http.get(&path).await,
                _ => http.post(&path, "{}").await,
            };
            let Some(needed) = operation["x-role"].as_str() else {
                assert_eq!(send(&nobody).await.status, 200, "{path}");
                continue;
            };
            let needed: Role = needed.parse().unwrap();
            assert_eq!(send(&nobody).await.refusal(), (401, "unauthorized".into()), "{path}");
            for (role, http) in &callers {
                let answer = send(http).await;
                let allowed = ![401, 403].contains(&answer.status);
                assert_eq!(allowed, *role >= needed, "{role} {method} {path}: {answer:?}");
                checked += 1;
            }
        }
    }
    assert!(checked >= 3 * 14, "{checked}");
}

#[tokio::test]
async fn only_an_active_key_is_accepted() {
    let (world, service, http) = served(Role::Reader).await;
    let nobody = Http::of(&service);
    let refused = async |key: &str| nobody.with_key(key).get("/tickers").await.refusal().0;
    assert_eq!(http.get("/tickers").await.status, 200);
    let soon = SystemTime::now() + Duration::from_secs(3600);
    let later = expiring_key(&world, "later", Role::Reader, None, Some(soon)).await;
    assert_eq!(nobody.with_key(&later).get("/tickers").await.status, 200);
    let expired = expiring_key(&world, "expired", Role::Reader, None, Some(SystemTime::now())).await;
    assert_eq!(refused(&expired).await, 401);
    assert_eq!(refused(&Token::generate().reveal()).await, 401);
    assert_eq!(refused("nonsense").await, 401);
    let (first, last) = later.split_at(later.len() - 1);
    let wrong = format!("{first}{}", if last == "0" { "1" } else { "0" });
    assert_eq!(refused(&wrong).await, 401, "the secret counts to its last digit");
    let answer = nobody.get("/tickers").await;
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));

    world.store.revoke_key("later").await.unwrap();
    let revoked = async { while refused_yet(&nobody, &later).await != 401 {} };
    tokio::time::timeout(Duration::from_secs(10), revoked).await.expect("within a second or so");
    assert!(!service.log().contains(&later), "no secret is logged");
}

async fn refused_yet(http: &Http, key: &str) -> u16 {
    http.with_key(key).get("/tickers").await.status
}

#[tokio::test]
async fn a_key_covers_its_wallets_only() {
    let (world, service, all) = served(Role::Operator).await;
    let http = Http::of(&service).with_key(&key(&world, "shop", Role::Client, Some(2..=3)).await);
    let invoice = |wallet: i64| format!(r#"{{"wallet_id":{wallet},"ticker":"USD","amount":5}}"#);
    assert_eq!(http.post("/invoice", &invoice(2)).await.status, 200);
    assert_eq!(all.post("/invoice", &invoice(1)).await.status, 200);
    let refused = http.post("/invoice", &invoice(1)).await;
    assert_eq!(refused.refusal(), (403, "forbidden".into()));
    assert_eq!(refused.json()["reason"], "key shop does not cover wallet 1");
    let role = http.post("/tickers", r#"{"name":"X","scale":2}"#).await;
    assert_eq!(role.json()["reason"], "key shop has role client; this needs role operator");
    let transfer =
        |from, to| format!(r#"{{"wallet_id":{from},"to_wallet_id":{to},"ticker":"USD","amount":1}}"#);
    assert_eq!(http.post("/transfer", &transfer(2, 3)).await.status, 200);
    assert_eq!(http.post("/transfer", &transfer(2, 4)).await.status, 403);
    assert_eq!(http.post("/transfer", &transfer(1, 2)).await.status, 403);
    let batch = format!(
        r#"{{"operations":[{{"operation":"balance","wallet_id":2}},{{"operation":"invoice",{}]}}"#,
        &invoice(1)[1..]
    );
    assert_eq!(http.post("/batch", &batch).await.status, 403);

    let hold = r#"{"wallet_id":1,"ticker":"USD","amount":1,"pending":true}"#;
    let held = all.post("/withdraw", hold).await.json();
    let id = held["body"]["transaction_id"].as_str().unwrap();
    let named = format!(r#"{{"transaction_id":"{id}"}}"#);
    for path in ["/settle", "/cancel"] {
        assert_eq!(http.post(path, &named).await.refusal(), (404, "unknown_transaction".into()), "{path}");
    }
    assert_unknown_alike(&http, id).await;
    // One that does not exist yet could be anybody's later.
    let unknown = r#"{"transaction_id":"0190a5b0-7c1e-7d3c-8c3e-0123456789ab"}"#;
    for path in ["/settle", "/cancel"] {
        assert_eq!(http.post(path, unknown).await.refusal(), (404, "unknown_transaction".into()), "{path}");
    }
    let batch = format!(r#"{{"operations":[{{"operation":"cancel",{}]}}"#, &unknown[1..]);
    assert_eq!(http.post("/batch", &batch).await.refusal(), (404, "unknown_transaction".into()));
    let batch = format!(r#"{{"operations":[{{"operation":"cancel","transaction_id":"{id}"}}]}}"#);
    assert_eq!(http.post("/batch", &batch).await.refusal(), (404, "unknown_transaction".into()));
    assert_eq!(all.post("/cancel", &named).await.status, 200);

    let operator = Http::of(&service).with_key(&key(&world, "limited", Role::Operator, Some(1..=3)).await);
    let ticker = r#"{"name":"XAU","scale":4}"#;
    assert_eq!(
        operator.post("/tickers", ticker).await.refusal(),
        (403, "forbidden".into()),
        "it is for all wallets"
    );
    assert_eq!(all.post("/tickers", ticker).await.status, 201);

    assert_eq!(http.get("/wallets/1/history").await.status, 403);
    assert_eq!(http.get("/wallets/3/history").await.status, 200);
    let listed = http.get("/wallets").await.json();
    let numbers: Vec<_> =
        listed["wallets"].as_array().unwrap().iter().map(|wallet| wallet["wallet_id"].as_i64()).collect();
    assert_eq!(numbers, [Some(2), Some(3)]);
}

/// A foreign transaction and one that does not exist are answered in the same words.
async fn assert_unknown_alike(http: &Http, foreign: &str) {
    let unknown = "0190a5b0-7c1e-7d3c-8c3e-0123456789ab";
    let answer = async |id: &str| {
        let looked_up = http.get(&format!("/transactions/{id}")).await;
        let settled = http.post("/settle", &format!(r#"{{"transaction_id":"{id}"}}"#)).await;
        [looked_up, settled].map(|answer| (answer.status, answer.text.replace(id, "...")))
    };
    assert_eq!(answer(foreign).await, answer(unknown).await);
}

/// An order number belongs to its wallet: another key can neither take it in advance nor find out that it is taken.
#[tokio::test]
async fn identities_belong_to_wallets() {
    let (world, service, _) = served(Role::Operator).await;
    let nobody = Http::of(&service);
    let shop = nobody.with_key(&key(&world, "shop", Role::Client, Some(2..=3)).await);
    let other = nobody.with_key(&key(&world, "other", Role::Client, Some(4..=5)).await);
    let debit = |wallet: i64| format!(r#"{{"wallet_id":{wallet},"ticker":"USD","amount":5}}"#);
    let taken = other.post_as("order-19", "/withdraw", &debit(4)).await;
    assert_eq!(taken.refusal(), (400, "insufficient_funds".into()));
    let own = shop.post_as("order-19", "/invoice", &debit(2)).await;
    assert_eq!((own.status, own.header("idempotent-replayed")), (200, None), "{own:?}");
    let again = shop.post_as("order-19", "/invoice", &debit(2)).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")));
    let elsewhere = shop.post_as("order-19", "/invoice", &debit(3)).await;
    assert_eq!((elsewhere.status, elsewhere.header("idempotent-replayed")), (200, None));
    // Of a UUID it is only told that it is taken, in the same words whosever it is.
    let uuid = "0190a5b0-7c1e-7d3c-8c3e-0123456789ab";
    assert_eq!(other.post_as(uuid, "/invoice", &debit(4)).await.status, 200);
    let foreign = shop.post_as(uuid, "/invoice", &debit(2)).await;
    let own = other.post_as(uuid, "/withdraw", &debit(4)).await;
    assert_eq!(foreign.refusal(), (409, "identity_reused".into()));
    assert_eq!(foreign.json()["reason"], own.json()["reason"]);
}

/// Clients that never set the identity must not share one.
#[tokio::test]
async fn the_nil_uuid_is_no_identity() {
    let (_world, _service, http) = served(Role::Client).await;
    let body = r#"{"wallet_id":1,"ticker":"USD","amount":1}"#;
    let bare = "00000000000000000000000000000000";
    for nil in ["00000000-0000-0000-0000-000000000000", bare, "{00000000-0000-0000-0000-000000000000}"] {
        let answer = http.post_as(nil, "/invoice", body).await;
        assert_eq!((answer.status, answer.header("idempotent-replayed")), (200, None), "{nil}");
    }
    let balance = http.get("/wallets/1/balance").await.json();
    assert_eq!(balance["body"]["actual_balance"]["USD"], 3);
}

#[tokio::test]
async fn too_many_requests_of_a_key_are_turned_away() {
    let world = World::new().await;
    let service = Service::start(&world, &[("FLORIN_HTTP_KEY_REQUESTS_PER_SECOND", "5")]).await;
    let nobody = Http::of(&service);
    let http = nobody.with_key(&key(&world, "eager", Role::Reader, None).await);
    let mut statuses = Vec::new();
    for _ in 0..50 {
        let answer = http.get("/tickers").await;
        if answer.status == 429 {
            assert_eq!(answer.refusal(), (429, "rate_limited".into()));
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses[0], 200);
    assert!(statuses.contains(&429), "{statuses:?}");
    let calm = nobody.with_key(&key(&world, "calm", Role::Reader, None).await);
    assert_eq!(calm.get("/tickers").await.status, 200, "one key does not use up another's");
}

#[tokio::test]
async fn nobody_from_elsewhere_finds_an_open_door() {
    let world = World::new().await;
    let elsewhere = [("FLORIN_HTTP_HOST", "0.0.0.0")];
    let (status, log) = Service::spawn(&world, &elsewhere).exit().await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("florin key create"), "{log}");
    let open = [("FLORIN_HTTP_HOST", "0.0.0.0"), ("FLORIN_HTTP_AUTH", "false")];
    let service = Service::start(&world, &open).await;
    assert_eq!(Http::of(&service).get("/tickers").await.status, 200);
    drop(service);
    let key = key(&world, "first", Role::Reader, None).await;
    let service = Service::start(&world, &elsewhere).await;
    assert_eq!(Http::of(&service).get("/tickers").await.status, 401);
    assert_eq!(Http::of(&service).with_key(&key).get("/tickers").await.status, 200);
}

/// A transaction keeps whose key opened it and whose ended it; nobody asks in another's name.
#[tokio::test]
async fn who_did_what_is_kept() {
    let (world, service, ada) = served(Role::Client).await;
    let bob = Http::of(&service).with_key(&key(&world, "bob", Role::Client, None).await);
    let hold = r#"{"wallet_id":1,"ticker":"USD","amount":1,"pending":true}"#;
    let held = ada.post("/invoice", hold).await.json();
    let id = held["body"]["transaction_id"].as_str().unwrap().to_owned();
    let settle = format!(r#"{{"transaction_id":"{id}"}}"#);
    assert_eq!(bob.post("/settle", &settle).await.status, 200);
    let shown = bob.get(&format!("/transactions/{id}")).await.json();
    assert_eq!(shown["body"]["requested_by"], "key:tester");
    assert_eq!(shown["body"]["ended_by"], "key:bob");

    let forged =
        r#"{"operation":"invoice","wallet_id":1,"ticker":"USD","amount":1,"on_behalf_of":"key:tester"}"#;
    let batch = bob.post("/batch", &format!(r#"{{"operations":[{forged}]}}"#)).await.json();
    let id = batch["body"]["results"][0]["body"]["transaction_id"].as_str().unwrap().to_owned();
    let shown = bob.get(&format!("/transactions/{id}")).await.json();
    assert_eq!(shown["body"]["requested_by"], "key:bob");
    let single = r#"{"wallet_id":1,"ticker":"USD","amount":1,"on_behalf_of":"key:tester"}"#;
    assert_eq!(bob.post("/invoice", single).await.refusal().1, "malformed");
}
