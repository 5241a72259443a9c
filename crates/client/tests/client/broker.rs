//! One broker for all tests of a file; each test has its own queue.

use std::sync::OnceLock;

use devstack::{Options, Rabbit};
use lapin::{Channel, Connection, ConnectionProperties};
use uuid::Uuid;

pub(crate) fn amqp_url() -> &'static str {
    static BROKER: OnceLock<(Rabbit, String)> = OnceLock::new();
    let (_, url) = BROKER.get_or_init(|| {
        let rabbit = Rabbit::launch(&Options::default()).unwrap();
        let url = rabbit.url();
        (rabbit, url)
    });
    url
}

pub(crate) fn fresh_name() -> String {
    format!("test.{}", Uuid::new_v4())
}

/// A channel of a test's own; it lives as long as the connection.
pub(crate) async fn observer() -> (Connection, Channel) {
    let connection = Connection::connect(amqp_url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}
