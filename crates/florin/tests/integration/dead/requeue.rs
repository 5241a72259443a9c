//! A requeued request is the request that it was.

use florin_wire::Reply;
use lapin::types::{FieldTable, ShortString};

use super::{
    DEAD, ONE_USD, READ, WORK, await_ready, dead, declare, expire, fill, list, publish, ready, take_all,
    without_a_service,
};
use crate::common::{SeedClient, Service, World, spawn_florin};

#[tokio::test]
async fn a_requeued_request_that_was_applied_is_answered_as_before_and_not_applied_again() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let named = client.properties().with_message_id("order 17".into());
    let bare = client.properties();
    let mut first = Vec::new();
    for properties in [&named, &bare] {
        client.publish("invoice", ONE_USD, properties.clone()).await;
        first.push(client.next_reply().await);
    }
    // To the queue by its name: the operation is the type.
    let direct = client.properties().with_type("invoice".into());
    publish(&client, "", WORK, ONE_USD, direct.clone()).await;
    first.push(client.next_reply().await);
    // All are acknowledged: one that came back would stand before those that expire.
    service.metric("florin_in_flight_requests 0").await;
    assert!(service.terminate().await.0.success());

    // The same again, and nobody is there to answer in time.
    for properties in [&named, &bare] {
        expire(&client, "invoice", ONE_USD, properties.clone()).await;
    }
    publish(&client, "", WORK, ONE_USD, direct.with_expiration("1".into())).await;
    await_ready(&client, DEAD, 3).await;
    let messages = list(&world).await;
    assert!(messages.iter().all(|message| message["error"] == "expired"), "{messages:?}");
    assert!(messages.iter().all(|message| message["operation"] == "invoice"), "{messages:?}");
    let requeued = dead(&world, &["requeue", "--all"]).await;
    assert_eq!(requeued.stdout, "messages requeued to florin.work: 3\n", "{requeued:?}");
    await_ready(&client, WORK, 3).await;
    await_ready(&client, DEAD, 0).await;

    let _service = Service::start(&world, &[]).await;
    for before in first {
        let again = client.next_delivery().await;
        let reply = Reply::from_json(&again.data).unwrap();
        assert_eq!(reply, before);
        assert!(again.properties.headers().is_some(), "it is marked as a repetition");
    }
    let ledger = world.ledger().await;
    assert_eq!(ledger.number("SELECT count(*) FROM postings").await, 3);
}

#[tokio::test]
async fn a_requeued_request_that_was_never_applied_is_applied_once() {
    let world = World::new().await;
    let mut client = without_a_service(&world).await;
    let properties = client.properties();
    expire(&client, "invoice", ONE_USD, properties.clone()).await;
    let id = list(&world).await[0]["id"].as_str().unwrap().to_owned();
    let text = dead(&world, &["show", &id]).await.stdout;
    assert!(text.contains("expired: its expiration passed before it was delivered"), "{text}");
    declare(&client, "elsewhere", FieldTable::default()).await;
    assert_eq!(dead(&world, &["requeue", &id[..6], "--queue", "elsewhere"]).await.code, Some(0));
    let [message] = take_all(&client, "elsewhere").await.try_into().unwrap();
    assert_eq!(message.properties.expiration(), &None);
    let headers = message.properties.headers().clone().unwrap();
    let names: Vec<&str> = headers.inner().keys().map(ShortString::as_str).collect();
    assert_eq!(names, ["florin-exchange", "florin-requeued"], "nothing else of its former life");
    // There are two of it, as after a crash of the tool.
    for _ in 0..2 {
        publish(&client, "", WORK, &message.data, message.properties.clone()).await;
    }

    let _service = Service::start(&world, &[]).await;
    let replies = [client.next_reply().await, client.next_reply().await];
    assert_eq!(replies[0].code, 200);
    assert_eq!(replies[0], replies[1]);
    assert_eq!(world.ledger().await.number("SELECT count(*) FROM postings").await, 1);
}

/// Unknown fields are ignored on the exchange of the first clients only: a requeued request keeps the name of its exchange,
/// also if it is dead-lettered and requeued once more.
#[tokio::test]
async fn a_requeued_request_is_judged_by_the_exchange_that_it_was_published_to() {
    const ODD: &[u8] = br#"{"wallet_id":1,"ticker":"USD","amount":1,"comment":"odd"}"#;
    let world = World::new().await;
    let mut client = without_a_service(&world).await;
    declare(&client, "elsewhere", FieldTable::default()).await;
    for (exchange, expected) in [("queries", 200), ("florin.requests", 400)] {
        let properties = client.properties().with_expiration("1".into());
        publish(&client, exchange, "invoice", ODD, properties).await;
        await_ready(&client, DEAD, 1).await;
        assert_eq!(dead(&world, &["requeue", "--all", "--queue", "elsewhere"]).await.code, Some(0));
        // Dead-lettered again, it is requeued from where it was requeued to.
        let [message] = take_all(&client, "elsewhere").await.try_into().unwrap();
        publish(&client, "", DEAD, &message.data, message.properties).await;
        await_ready(&client, DEAD, 1).await;
        assert_eq!(dead(&world, &["requeue", "--all"]).await.code, Some(0));
        let service = Service::start(&world, &[]).await;
        assert_eq!(client.next_reply().await.code, expected, "{exchange}");
        assert!(service.terminate().await.0.success());
    }
    world.ledger().await.assert_sound().await;
}

#[tokio::test]
async fn killed_while_it_requeues_it_loses_nothing() {
    let world = World::new().await;
    let client = without_a_service(&world).await;
    fill(&client, 1000).await;
    let mut tool = spawn_florin(&world.amqp_url, &["dead", "requeue", "--all"]);
    while ready(&client, WORK).await < 100 {
        tokio::task::yield_now().await;
    }
    tool.kill().unwrap();
    tool.wait().unwrap();
    // What the killed one held comes back a moment later.
    while ready(&client, DEAD).await > 0 || ready(&client, WORK).await < 1000 {
        let requeued = dead(&world, &["requeue", "--all"]).await;
        assert_eq!(requeued.code, Some(0), "{requeued:?}");
    }
    let _service = Service::start(&world, &[]).await;
    await_ready(&client, WORK, 0).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let balances = client.call("balance", READ).await.balances().unwrap();
    assert_eq!(balances.actual_balance["USD"].0, "1000".parse().unwrap());
    assert_eq!(world.ledger().await.number("SELECT count(*) FROM postings").await, 1000);
}
