//! RabbitMQ's "Move messages": a shovel puts dead letters back into the work queue as they are.

use devstack::{Options, Stack};
use florin_wire::Reply;

use super::{DEAD, ONE_USD, READ, WORK, await_ready, dead, expire, list};
use crate::common::{SeedClient, Service, World};

/// As the management UI does it: what is in the queue now.
fn move_all(servers: &Stack) {
    let uri = "amqp://";
    let shovel = format!(
        r#"{{"src-protocol":"amqp091","src-uri":"{uri}","src-queue":"{DEAD}","src-delete-after":"queue-length",
            "dest-protocol":"amqp091","dest-uri":"{uri}","dest-queue":"{WORK}","dest-add-forward-headers":false}}"#
    );
    servers.rabbit.ctl(&["set_parameter", "shovel", "move", &shovel]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_that_were_moved_are_the_requests_that_they_were() {
    let plugins = vec!["rabbitmq_shovel".to_owned()];
    let servers = Stack::start(&Options { rabbit_plugins: plugins, ..Options::default() }).unwrap();
    let world = World::on(&servers).await;
    let ledger = world.ledger().await;
    let unlucky = "ALTER TABLE postings ADD CONSTRAINT unlucky CHECK (amount <> 1)";
    ledger.sql.batch_execute(unlucky).await.unwrap();
    let service = Service::start(&world, &[]).await;
    let mut client = SeedClient::connect(&world.amqp_url).await;
    // The service writes a letter; the broker moves a request that expired; and one that it asked for by `type`.
    client.publish("invoice", ONE_USD, client.properties()).await;
    await_ready(&client, DEAD, 1).await;
    assert!(service.terminate().await.0.success());
    expire(&client, "invoice", ONE_USD, client.properties()).await;
    let by_name = client.properties().with_type("balance".into()).with_expiration("1".into());
    super::publish(&client, "", WORK, READ, by_name).await;
    await_ready(&client, DEAD, 3).await;
    let errors: Vec<_> = list(&world).await.iter().map(|letter| letter["error"].clone()).collect();
    assert_eq!(errors, ["data_refused", "expired", "expired"]);

    ledger.sql.batch_execute("ALTER TABLE postings DROP CONSTRAINT unlucky").await.unwrap();
    move_all(&servers);
    await_ready(&client, WORK, 3).await;
    let service = Service::start(&world, &[]).await;
    for _ in 0..3 {
        let delivery = client.next_delivery().await;
        assert_eq!(Reply::from_json(&delivery.data).unwrap().code, 200, "{delivery:?}");
    }
    assert_eq!(ledger.number("SELECT count(*) FROM postings").await, 2);
    await_ready(&client, DEAD, 0).await;
    service.metric("florin_in_flight_requests 0").await;
    assert_eq!(dead(&world, &["list"]).await.stdout, "no messages in florin.dead\n");
}
