//! What the service gives up says why.

use std::collections::HashSet;

use florin_wire::Reply;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;

use super::{DEAD, ONE_USD, await_ready, dead, list};
use crate::common::{SeedClient, Service, World};

/// The broker closes the connection of whoever publishes to such a name.
const HOSTILE: &str = "amq.rabbitmq.reply-to.a.b";

#[tokio::test]
async fn what_the_service_gives_up_says_why() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let ledger = world.ledger().await;
    let unlucky = "ALTER TABLE postings ADD CONSTRAINT unlucky CHECK (amount <> 13)";
    ledger.sql.batch_execute(unlucky).await.unwrap();
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let mut headers = FieldTable::default();
    headers.insert("tenant".into(), AMQPValue::LongString("blue".into()));
    headers.insert("CC".into(), AMQPValue::FieldArray(vec![AMQPValue::LongString("x".into())].into()));
    for number in 0..20 {
        let properties = client.properties().with_message_id(format!("m{number}").into());
        let properties = properties.with_headers(headers.clone()).with_user_id("florin".into());
        let properties = properties.with_expiration("3600000".into());
        let (body, properties) = match number {
            7 => (&br#"{"wallet_id":1,"ticker":"USD","amount":13}"#[..], properties),
            11 => (ONE_USD, properties.with_reply_to(HOSTILE.into())),
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
    assert!(reply["reason"].as_str().unwrap().contains(HOSTILE), "{reply}");
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
