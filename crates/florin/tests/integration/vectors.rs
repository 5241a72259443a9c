//! Requests that were sent to the original system, and what Florin answers to each.

use std::collections::BTreeMap;

use florin_ledger::Decimal;
use lapin::BasicProperties;
use serde::Deserialize;

use crate::common::{SeedClient, Service, World};

#[derive(Deserialize)]
struct Vector {
    name: String,
    operation: String,
    body: String,
    /// The balances before, by `wallet/ticker`.
    before: BTreeMap<String, String>,
    code: u16,
    /// The balances in the answer, as numbers in text.
    balances: Option<BTreeMap<String, String>>,
    #[serde(default)]
    without_properties: bool,
}

#[tokio::test]
async fn the_recorded_requests_are_answered_as_expected() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../data/wire_vectors.json")).unwrap();
    assert_eq!(vectors.len(), 38);
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    for vector in vectors {
        for (balance, amount) in &vector.before {
            let (wallet_id, ticker) = balance.split_once('/').unwrap();
            set_balance(&mut client, wallet_id, ticker, amount.parse().unwrap()).await;
        }
        let reply = if vector.without_properties {
            let properties = BasicProperties::default().with_reply_to(client.reply_queue.as_str().into());
            client.publish(&vector.operation, vector.body.as_bytes(), properties).await;
            client.next_reply().await
        } else {
            client.call(&vector.operation, vector.body.as_bytes()).await
        };
        let Vector { name, operation, code, balances, .. } = vector;
        assert_eq!((reply.operation.as_str(), reply.code), (operation.as_str(), code), "{name}: {reply:?}");
        assert_eq!(reply.reason.is_some(), code != 200, "{name}: {reply:?}");
        if let Some(expected) = balances {
            let balances = reply.balances().unwrap();
            let got = balances.actual_balance.into_iter().map(|(ticker, amount)| (ticker, amount.0));
            let expected = expected.into_iter().map(|(ticker, amount)| (ticker, amount.parse().unwrap()));
            assert_eq!(got.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{name}");
            assert!(balances.frozen_balance.is_empty(), "{name}");
        }
    }
    world.ledger().await.assert_sound().await;
}

/// Invoices or withdraws the difference.
async fn set_balance(client: &mut SeedClient, wallet_id: &str, ticker: &str, wanted: Decimal) {
    let read = client.call("balance", format!(r#"{{"wallet_id":{wallet_id}}}"#).as_bytes()).await;
    let scale = florin_ledger::Scale::new(2).unwrap();
    let units = |decimal: Decimal| decimal.to_minor(scale).unwrap();
    let present = read.balances().unwrap().actual_balance.get(ticker).map_or(0, |amount| units(amount.0));
    let difference = units(wanted) - present;
    if difference != 0 {
        let operation = if difference > 0 { "invoice" } else { "withdraw" };
        let amount = Decimal::from_minor(difference.abs(), scale);
        let body = format!(r#"{{"wallet_id":{wallet_id},"ticker":"{ticker}","amount":{amount}}}"#);
        assert_eq!(client.call(operation, body.as_bytes()).await.code, 200);
    }
}
