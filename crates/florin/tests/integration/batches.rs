//! Many operations in one message: each answered as if it had come alone, or all done or none.

use florin_wire::{Reply, ResultBody};
use lapin::BasicProperties;

use crate::common::{SeedClient, Service, World};

async fn send(client: &mut SeedClient, body: &str) -> Reply {
    client.call("batch", body.as_bytes()).await
}

async fn send_as(client: &mut SeedClient, body: &str, properties: BasicProperties) -> Reply {
    client.publish("batch", body.as_bytes(), properties).await;
    client.next_reply().await
}

fn codes(results: &[ResultBody]) -> Vec<(u16, &str)> {
    results.iter().map(|result| (result.code, result.error.as_deref().unwrap_or_default())).collect()
}

#[tokio::test]
async fn each_operation_is_answered_as_if_alone() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let body = r#"{"operations":[
        {"operation":"invoice","id":"a","wallet_id":1,"ticker":"USD","amount":10},
        {"operation":"withdraw","wallet_id":1,"ticker":"USD","amount":"4.50"},
        {"operation":"withdraw","wallet_id":1,"ticker":"USD","amount":6},
        {"operation":"invoice","id":"a","wallet_id":1,"ticker":"USD","amount":10.00},
        {"operation":"invoice","id":"a","wallet_id":1,"ticker":"USD","amount":11},
        {"operation":"balance","wallet_id":1},
        {"operation":"invoice","wallet_id":1,"ticker":"USD"},
        {"operation":"transmute","wallet_id":1},
        {"operation":"transfer","wallet_id":1,"to_wallet_id":2,"ticker":"USD","amount":5.5},
        {"operation":"history","wallet_id":1,"limit":2}]}"#;
    let reply = send(&mut client, body).await;
    assert_eq!((reply.operation.as_str(), reply.code), ("batch", 200));
    let results = reply.results().unwrap();
    let expected = [
        (200, ""),
        (200, ""),
        (400, "insufficient_funds"),
        (200, ""),
        (409, "identity_reused"),
        (200, ""),
        (400, "malformed"),
        (400, "unknown_operation"),
        (200, ""),
        (200, ""),
    ];
    assert_eq!(codes(&results), expected);
    assert!(results[3].replayed && results[3].body == results[0].body);
    assert_eq!(results[5].clone().into_reply().0.body.unwrap(), r#"{"actual_balance":{"USD":5.5}}"#);
    // The history holds what came before it in the same message, and nothing else.
    let history = results[9].clone().into_reply().0.history().unwrap();
    let shown: Vec<_> =
        history.postings.iter().map(|it| (it.operation.as_str(), it.amount.0.to_string())).collect();
    assert_eq!(shown, [("transfer", "5.5".to_owned()), ("withdraw", "6".to_owned())]);
    for (operation, status, count) in
        [("batch", 200, 1), ("invoice", 200, 2), ("invoice", 409, 1), ("unknown", 400, 1)]
    {
        service
            .metric(&format!(
                r#"app_queries_status_counter{{operation="{operation}",status="{status}",transport="amqp"}} {count}"#
            ))
            .await;
    }
    world.ledger().await.assert_sound().await;
}

/// All or none: what fails leaves its neighbours undone, says which one it was, and fails again when it is sent again.
#[tokio::test]
async fn an_atomic_batch_is_done_whole_or_not_at_all() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let body = |first: u32, last: u32| {
        format!(
            r#"{{"atomic":true,"operations":[
                {{"operation":"invoice","id":"i{first}","wallet_id":1,"ticker":"USD","amount":{first}}},
                {{"operation":"withdraw","id":"w{last}","wallet_id":1,"ticker":"USD","amount":{last}}},
                {{"operation":"balance","wallet_id":1}}]}}"#
        )
    };
    let done = send(&mut client, &body(10, 3)).await;
    assert_eq!(done.code, 200);
    assert_eq!(codes(&done.results().unwrap()), [(200, ""); 3]);

    let named = client.properties().with_message_id("second".into());
    let failed = send_as(&mut client, &body(20, 28), named.clone()).await;
    let why = "operation 1 (withdraw) was refused: wallet 1 has less than 28 USD available; no operation of this batch was applied";
    assert_eq!(
        (failed.code, failed.error.as_deref(), failed.reason.as_deref()),
        (400, Some("batch_failed"), Some(why))
    );
    let results = failed.results().unwrap();
    assert_eq!(codes(&results), [(400, "batch_failed"), (400, "insufficient_funds"), (400, "batch_failed")]);
    assert!(results.iter().enumerate().all(|(n, result)| n == 1 || result.reason.as_deref() == Some(why)));
    let ledger = world.ledger().await;
    assert_eq!(ledger.balances().await["1/USD"], "7");

    // Rich by now, the same batch fails all the same: its identities have their answer.
    client.call("invoice", br#"{"wallet_id":1,"ticker":"USD","amount":1000}"#).await;
    let again = send_as(&mut client, &body(20, 28), named.clone()).await;
    assert_eq!((again.code, &again.reason), (400, &failed.reason));
    assert_eq!(codes(&again.results().unwrap()), codes(&results));
    assert_eq!(ledger.balances().await["1/USD"], "1007");

    let unreadable = r#"{"atomic":true,"operations":[{"operation":"invoice","wallet_id":1,"ticker":"USD","amount":1},
                                                     {"operation":"invoice","wallet_id":1}]}"#;
    let refused = send(&mut client, unreadable).await;
    assert_eq!(codes(&refused.results().unwrap()), [(400, "batch_failed"), (400, "malformed")]);
    assert_eq!(ledger.balances().await["1/USD"], "1007");
    ledger.assert_sound().await;
}

/// A batch without any identities, delivered again, is the same batch; sent again, it is another one.
#[tokio::test]
async fn a_batch_is_applied_once() {
    let world = World::new().await;
    let mut service = Service::start(&world, &[]).await;
    let ledger = world.ledger().await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let body = r#"{"operations":[{"operation":"invoice","wallet_id":1,"ticker":"USD","amount":1},
                                 {"operation":"invoice","wallet_id":1,"ticker":"USD","amount":1}]}"#;
    let bare = BasicProperties::default().with_reply_to(client.reply_queue.as_str().into());
    for total in ["2", "4"] {
        assert_eq!(send_as(&mut client, body, bare.clone()).await.code, 200);
        assert_eq!(ledger.balances().await["1/USD"], total);
    }
    // Killed while it waits for the commit: the broker delivers the batch to the next one.
    ledger.hold_commits().await;
    client.publish("batch", body.as_bytes(), client.properties()).await;
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let held = async { while ledger.number(waiting).await == 0 {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), held).await.expect("it waits");
    service.kill();
    ledger.release_commits().await;
    let _service = Service::start(&world, &[]).await;
    assert_eq!(client.next_reply().await.code, 200);
    assert_eq!(ledger.balances().await["1/USD"], "6");
    assert_eq!(ledger.number("SELECT count(*) FROM transactions").await, 6);
    ledger.assert_sound().await;
}

#[tokio::test]
async fn large_batches_have_their_own_limits() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let operation = r#"{"operation":"invoice","wallet_id":1,"ticker":"USD","amount":1.0000}"#;
    for (operations, expected) in [(1000, 200), (1001, 413)] {
        let body = format!(r#"{{"operations":[{}]}}"#, vec![operation; operations].join(","));
        assert!(body.len() > 65_536, "more than a single request may have");
        assert_eq!(send(&mut client, &body).await.code, expected);
    }
    assert_eq!(world.ledger().await.balances().await["1/USD"], "1000");
    let long = format!(r#"{{"operations":[{operation}],"padding":"{}"}}"#, "x".repeat(1024 * 1024));
    assert_eq!(send(&mut client, &long).await.code, 413);
}
