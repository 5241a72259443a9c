//! What the service gives up says why.

use std::collections::HashSet;

use florin_wire::Reply;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;

use super::{DEAD, ONE_USD, READ, await_ready, dead, list, take_all};
use crate::common::{RawAmqp, RawProperties, SeedClient, Service, World, nested_headers, unknown_node};

#[tokio::test]
async fn what_the_service_gives_up_says_why() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let ledger = world.ledger().await;
    let unlucky = "ALTER TABLE postings ADD CONSTRAINT unlucky CHECK (amount <> 13)";
    ledger.sql.batch_execute(unlucky).await.unwrap();
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let hostile = unknown_node(1);
    let mut headers = FieldTable::default();
    headers.insert("tenant".into(), AMQPValue::LongString("blue".into()));
    headers.insert("CC".into(), AMQPValue::FieldArray(vec![AMQPValue::LongString("x".into())].into()));
    for number in 0..20 {
        let properties = client.properties().with_message_id(format!("m{number}").into());
        let properties = properties.with_headers(headers.clone()).with_user_id("florin".into());
        let properties = properties.with_expiration("3600000".into());
        let (body, properties) = match number {
            7 => (&br#"{"wallet_id":1,"ticker":"USD","amount":13}"#[..], properties),
            11 => (ONE_USD, properties.with_reply_to(hostile.as_str().into())),
            _ => (ONE_USD, properties),
        };
        client.publish("invoice", body, properties).await;
    }
    // A reply may come twice, for the connection was lost over another one.
    let mut answered = HashSet::new();
    while answered.len() < 18 {
        let delivery = client.next_delivery().await;
        assert_eq!(Reply::from_json(&delivery.data).unwrap().code, 200);
        answered.insert(delivery.properties.correlation_id().clone());
    }
    await_ready(&client, DEAD, 2).await;
    service.metric("florin_dead_lettered_total 2").await;
    service.metric("florin_in_flight_requests 0").await;

    let messages = list(&world).await;
    let of = |error: &str| messages.iter().find(|message| message["error"] == error).unwrap();
    let (data, reply) = (of("data_refused"), of("reply_to_refused"));
    assert_eq!((&data["message_id"], &data["operation"]), (&"m7".into(), &"invoice".into()));
    assert!(data["reason"].as_str().unwrap().contains("unlucky"), "{data}");
    assert!(reply["reason"].as_str().unwrap().contains(&hostile), "{reply}");
    assert_eq!(ledger.balances().await["1/USD"], "19", "a request without an answer is applied all the same");

    let shown = dead(&world, &["show", "m7", "--json"]).await.json();
    assert_eq!(shown["exchange"], "queries");
    assert_eq!(shown["routing_key"], "invoice");
    assert_eq!(shown["body"], r#"{"wallet_id":1,"ticker":"USD","amount":13}"#);
    assert_eq!(shown["properties"]["reply_to"], client.reply_queue);
    assert_eq!(shown["properties"]["content_type"], "application/json");
    assert_eq!(shown["properties"]["expiration"], Value::Null);
    assert_eq!(shown["headers"]["tenant"], "blue");
    assert_eq!(shown["headers"]["florin-user-id"], "florin");
    assert_eq!(shown["headers"]["CC"], Value::Null);
    assert_eq!(shown["headers"]["florin-headers-left-out"], 1);
    let text = dead(&world, &["show", reply["id"].as_str().unwrap()]).await.stdout;
    assert!(
        text.contains("reason            reply_to_refused: ") && text.contains("\"amount\": 1\n"),
        "{text}"
    );

    // Once the database takes it, it is a request like any other.
    ledger.sql.batch_execute("ALTER TABLE postings DROP CONSTRAINT unlucky").await.unwrap();
    let requeued = dead(&world, &["requeue", "m7", "--json"]).await.json();
    assert_eq!(requeued["requeued"], 1);
    let answer = loop {
        let answer = client.next_delivery().await;
        if answered.insert(answer.properties.correlation_id().clone()) {
            break answer;
        }
    };
    assert_eq!(Reply::from_json(&answer.data).unwrap().code, 200);
    assert_eq!(answer.properties.headers(), &None, "it was never applied, so nothing is repeated");
    assert_eq!(ledger.balances().await["1/USD"], "32");
    await_ready(&client, DEAD, 1).await;
    ledger.assert_sound().await;
}

/// A letter carries what the service wrote, and of the client's headers only what is flat.
#[tokio::test]
async fn a_letter_carries_no_structure_of_the_client() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let headers = nested_headers(20_000);
    let properties =
        RawProperties { headers: &headers, reply_to: b"florin.work", ..RawProperties::default() };
    let mut raw = RawAmqp::connect(&world.amqp_url).await;
    raw.publish("florin.requests", "balance", &properties, READ).await;
    await_ready(&client, DEAD, 1).await;
    let [letter] = take_all(&client, DEAD).await.try_into().unwrap();
    let headers = letter.properties.headers().clone().unwrap();
    let names = headers.inner().keys().map(lapin::types::ShortString::as_str);
    let names: Vec<&str> = names.filter(|name| *name != "x-delivery-count").collect();
    let written = ["error", "exchange", "headers-left-out", "reason", "routing-key", "time"];
    let expected: Vec<String> = written.iter().map(|name| format!("florin-{name}")).collect();
    assert_eq!(names, [&expected.iter().map(String::as_str).collect::<Vec<_>>()[..], &["tenant"]].concat());
    assert_eq!(headers.inner()["florin-headers-left-out"], AMQPValue::LongLongInt(1));
    assert_eq!(letter.data, READ);
    assert_eq!(client.call("balance", READ).await.code, 200);
    service.metric("florin_dead_lettered_total 1").await;
}

/// A reply address that is not allowed is never allowed; the request can be executed without it.
#[tokio::test]
async fn a_letter_can_be_requeued_without_its_reply() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let client = SeedClient::connect(&world.amqp_url).await;
    let properties = client.properties().with_message_id("m".into());
    client.publish("invoice", ONE_USD, properties.with_reply_to("florin.work".into())).await;
    await_ready(&client, DEAD, 1).await;
    assert_eq!(list(&world).await[0]["error"], "reply_to_not_allowed");
    await_ready(&client, DEAD, 1).await;
    assert_eq!(dead(&world, &["requeue", "m"]).await.code, Some(0));
    await_ready(&client, DEAD, 1).await;
    let ledger = world.ledger().await;
    assert_eq!(ledger.number("SELECT count(*) FROM postings").await, 0);
    assert_eq!(dead(&world, &["requeue", "m", "--no-reply"]).await.code, Some(0));
    while ledger.number("SELECT count(*) FROM postings").await == 0 {}
    service.metric("florin_in_flight_requests 0").await;
    await_ready(&client, DEAD, 0).await;
}
