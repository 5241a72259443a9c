//! The original's client works unchanged: its scenario, its exchange, its metric.

use std::collections::BTreeMap;

use florin_wire::Reply;

use crate::common::{SeedClient, Service, World};

#[tokio::test]
async fn its_scenario_is_answered_and_counted() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    let scenario = [("invoice", 30), ("withdraw", 40), ("balance", 50)];
    for (operation, count) in scenario {
        for number in 0..count {
            let wallet_id = 1 + number % 8;
            let body = match operation {
                "balance" => format!(r#"{{"wallet_id":{wallet_id}}}"#),
                _ => format!(r#"{{"wallet_id":{wallet_id},"ticker":"USD","amount":1}}"#),
            };
            client.publish(operation, body.as_bytes(), client.properties()).await;
        }
    }
    let mut answers: BTreeMap<(String, u16), u32> = BTreeMap::new();
    for _ in 0..120 {
        let delivery = client.next_delivery().await;
        assert_eq!(delivery.properties.delivery_mode(), &Some(2), "a reply survives as long as its queue");
        let reply = Reply::from_json(&delivery.data).unwrap();
        *answers.entry((reply.operation, reply.code)).or_default() += 1;
    }
    let of = |operation: &str, code| answers.get(&(operation.to_owned(), code)).copied().unwrap_or_default();
    // Thirty units came in, wallet by wallet, before forty are asked for.
    assert_eq!((of("invoice", 200), of("balance", 200)), (30, 50), "{answers:?}");
    assert_eq!((of("withdraw", 200), of("withdraw", 400)), (30, 10), "{answers:?}");

    for ((operation, code), count) in &answers {
        let line = format!(
            "app_queries_status_counter{{operation=\"{operation}\",status=\"{code}\",transport=\"amqp\"}} {count}"
        );
        service.metric(&line).await;
    }
    world.ledger().await.assert_sound().await;
}
