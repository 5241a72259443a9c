//! Servers at their limits, and the cut behind a published message, which needs a broker too.

use std::net::SocketAddr;
use std::time::Duration;

use devstack::{Options, Postgres, Rabbit};
use florin_faults::limits::{Alarm, Crowd};
use florin_faults::proxy::{Mode, Proxy};
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_postgres::NoTls;

const PATIENCE: Duration = Duration::from_secs(30);

async fn channel(amqp_url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    (connection, channel)
}

async fn declare(channel: &Channel) {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("q".into(), options, FieldTable::default()).await.unwrap();
}

/// Publishes one message and says whether it was confirmed.
async fn publish(channel: &Channel) -> lapin::Result<bool> {
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish("".into(), "q".into(), options, b"text", BasicProperties::default());
    Ok(sent.await?.await?.is_ack())
}

#[tokio::test]
async fn a_broker_in_need_takes_nothing_until_its_alarm_ends() {
    let mut rabbit = spawn_blocking(|| Rabbit::launch(&Options::default()).unwrap()).await.unwrap();
    let url = rabbit.url();
    let (_connection, publisher) = channel(&url).await;
    declare(&publisher).await;
    for alarm in [Alarm::Memory, Alarm::Disk] {
        assert!(timeout(PATIENCE, publish(&publisher)).await.unwrap().unwrap());
        rabbit = spawn_blocking(move || alarm.ring(&rabbit).map(|()| rabbit)).await.unwrap().unwrap();
        let held = tokio::spawn({
            let publisher = publisher.clone();
            async move { publish(&publisher).await.unwrap() }
        });
        let alarms = rabbit.ctl(&["eval", "rabbit_alarm:get_alarms()."]).unwrap();
        assert!(alarms.contains("resource_limit"), "{alarms}");
        assert!(!held.is_finished());
        rabbit = spawn_blocking(move || alarm.end(&rabbit).map(|()| rabbit)).await.unwrap().unwrap();
        assert!(timeout(PATIENCE, held).await.unwrap().unwrap());
    }
    a_message_arrives_whose_publisher_is_cut(&rabbit).await;
    spawn_blocking(move || drop(rabbit)).await.unwrap();
}

async fn a_message_arrives_whose_publisher_is_cut(rabbit: &Rabbit) {
    let (_connection, direct) = channel(&rabbit.url()).await;
    direct.queue_purge("q".into(), QueuePurgeOptions::default()).await.unwrap();
    let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], rabbit.port()))).unwrap();
    let url = rabbit.url().replace(&rabbit.port().to_string(), &proxy.address().port().to_string());
    for messages in 1..=5 {
        let (_connection, publisher) = channel(&url).await;
        proxy.set(Mode::CutAfterPublish);
        // Confirmed or not: the confirm may have been under way.
        let _ = timeout(PATIENCE, publish(&publisher)).await.unwrap();
        timeout(PATIENCE, proxy.until_open()).await.unwrap();
        assert_eq!(proxy.moments(), messages);
        let arrived = async {
            while direct.basic_get("q".into(), BasicGetOptions { no_ack: true }).await.unwrap().is_none() {}
        };
        timeout(PATIENCE, arrived).await.expect("the message");
    }
}

#[tokio::test]
async fn nobody_gets_a_connection_until_the_crowd_goes() {
    let settings = vec![("max_connections".to_owned(), "20".to_owned())];
    let options = Options { postgres_settings: settings, ..Options::default() };
    let postgres = spawn_blocking(move || Postgres::launch(&options).unwrap()).await.unwrap();
    let url = postgres.url();
    let (inside, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    inside.query_one("SELECT 1", &[]).await.unwrap();

    let crowd = Crowd::gather(&url).await.unwrap();
    assert_eq!(crowd.len(), 20);
    assert!(inside.query_one("SELECT 1", &[]).await.is_err(), "it was told to go");
    assert!(tokio_postgres::connect(&url, NoTls).await.is_err());
    drop(crowd);
    let back = async { while tokio_postgres::connect(&url, NoTls).await.is_err() {} };
    timeout(PATIENCE, back).await.unwrap();
    spawn_blocking(move || drop(postgres)).await.unwrap();
}
