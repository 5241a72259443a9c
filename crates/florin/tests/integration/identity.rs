//! The same request is applied once, whatever is sent again.

use florin_client::{CallOptions, Response};
use florin_wire::{MovementBody, Request};
use lapin::BasicProperties;
use uuid::Uuid;

use crate::common::{SeedClient, Service, World};

fn credit(amount: &str) -> Request {
    Request::Invoice(MovementBody::new(1, "USD", amount.parse().unwrap()))
}

fn debit(amount: &str) -> Request {
    Request::Withdraw(MovementBody::new(1, "USD", amount.parse().unwrap()))
}

fn under(message_id: &str) -> CallOptions {
    CallOptions { message_id: Some(message_id.to_owned()), ..CallOptions::default() }
}

#[tokio::test]
async fn a_retry_gets_the_same_answer() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let client = world.client().await;
    let id = Uuid::now_v7();
    for message_id in [id.to_string(), "order 17".to_owned()] {
        let first = client.call(&credit("10"), under(&message_id)).await.unwrap();
        let again = client.call(&credit("10.00"), under(&message_id)).await.unwrap();
        assert_eq!((first.replayed, again.replayed), (false, true));
        assert_eq!(first.reply, again.reply);
        let transaction_id = first.reply.receipt().unwrap().transaction_id;
        assert_eq!(transaction_id == id, message_id == id.to_string());
    }
    assert_eq!(world.ledger().await.balances().await["1/USD"], "20");
}

#[tokio::test]
async fn a_refusal_is_final_too() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let client = world.client().await;
    let refused = client.call(&debit("5"), under("w1")).await.unwrap();
    assert_eq!(refused.reply.error.as_deref(), Some("insufficient_funds"));
    client.call(&credit("100"), CallOptions::default()).await.unwrap();
    let again = client.call(&debit("5"), under("w1")).await.unwrap();
    assert_eq!((again.reply, again.replayed), (refused.reply, true));
    let ledger = world.ledger().await;
    assert_eq!(ledger.balances().await["1/USD"], "100");
    let error =
        ledger.sql.query_one("SELECT status, error FROM transactions WHERE operation = 'withdraw'", &[]);
    let error = error.await.unwrap();
    assert_eq!((error.get(0), error.get(1)), ("Error", "insufficient_funds"));
}

#[tokio::test]
async fn an_identity_serves_one_request_only() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let client = world.client().await;
    client.call(&credit("10"), under("x")).await.unwrap();
    for other in [credit("11"), debit("10")] {
        let Response { reply, replayed } = client.call(&other, under("x")).await.unwrap();
        assert_eq!((reply.code, reply.error.as_deref()), (409, Some("identity_reused")));
        assert!(!replayed);
    }
    assert_eq!(world.ledger().await.balances().await["1/USD"], "10");
}

#[tokio::test]
async fn a_thousand_copies_at_once_are_applied_once() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let client = world.client().await;
    let request = credit("10");
    let copies = (0..1000).map(|_| client.call(&request, under("copies")));
    let answers = futures_util::future::try_join_all(copies).await.unwrap();
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| answer.reply == answers[0].reply));
    assert_eq!(world.ledger().await.number("SELECT count(*) FROM postings").await, 1);
}

/// The original's clients give no identity: two requests that look the same are two.
#[tokio::test]
async fn without_an_identity_every_request_counts() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let body = br#"{"wallet_id":1,"ticker":"USD","amount":1}"#;
    let bare = BasicProperties::default().with_reply_to(client.reply_queue.as_str().into());
    let mut transactions = std::collections::HashSet::new();
    for round in 0..3 {
        for _ in 0..5 {
            client.publish("invoice", body, bare.clone()).await;
        }
        for _ in 0..5 {
            transactions.insert(client.next_reply().await.receipt().unwrap().transaction_id);
        }
        assert_eq!(transactions.len(), 5 * (round + 1));
    }
    let ledger = world.ledger().await;
    assert_eq!(ledger.balances().await["1/USD"], "15");
    ledger.assert_sound().await;
}

/// Two wallets never share an identity, and a UUID has one.
#[tokio::test]
async fn an_identity_belongs_to_its_wallet() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let client = world.client().await;
    let mut transactions = std::collections::HashSet::new();
    for wallet_id in 1..=3 {
        let request = Request::Invoice(MovementBody::new(wallet_id, "USD", "10".parse().unwrap()));
        let Response { reply, replayed } = client.call(&request, under("order 17")).await.unwrap();
        assert!(reply.is_done() && !replayed, "{reply:?}");
        transactions.insert(reply.receipt().unwrap().transaction_id);
    }
    assert_eq!(transactions.len(), 3);
    world.ledger().await.assert_sound().await;
}

/// The same object, written by another library: a retry. Another object: another request.
#[tokio::test]
async fn metadata_are_compared_by_their_meaning() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let client = world.client().await;
    let ask = async |metadata: &str| {
        let metadata = metadata.parse().unwrap();
        let request = Request::Invoice(MovementBody::new(1, "USD", "10".parse().unwrap()).metadata(metadata));
        client.call(&request, under("m")).await.unwrap()
    };
    let first = ask(r#"{"order": 17, "note":"caf\u00e9", "tags":["a", 1.0]}"#).await;
    let again = ask(r#"{"note":"café","order":17,"tags":["a",1]}"#).await;
    assert!(again.replayed && again.reply == first.reply, "{again:?}");
    let other = ask(r#"{"note":"café","order":18,"tags":["a",1]}"#).await;
    assert_eq!(other.reply.error.as_deref(), Some("identity_reused"));
}

/// An empty `message_id` is none, nor is the UUID of zeros only: they would be the same for everybody.
#[tokio::test]
async fn an_empty_identity_is_none() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let body = br#"{"wallet_id":1,"ticker":"USD","amount":1}"#;
    let nil = "00000000-0000-0000-0000-000000000000";
    let urn = format!("URN:UUID:{nil}");
    for message_id in ["", nil, &nil.replace('-', ""), &urn, &format!("{{{nil}}}"), nil] {
        client.publish("invoice", body, client.properties().with_message_id(message_id.into())).await;
        assert_eq!(client.next_reply().await.code, 200);
    }
    assert_eq!(world.ledger().await.balances().await["1/USD"], "6");
}
