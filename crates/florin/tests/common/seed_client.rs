//! The client of the original system, to the letter: its declarations, its properties, its reply queue.

use std::time::Duration;

use florin_wire::Reply;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(60);

pub struct SeedClient {
    connection: Connection,
    pub channel: Channel,
    pub reply_queue: String,
    replies: Consumer,
}

impl SeedClient {
    pub async fn connect(amqp_url: &str) -> Self {
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(amqp_url, properties).await.expect("a broker");
        let channel = connection.create_channel().await.expect("a channel");
        let transient = ExchangeDeclareOptions::default();
        channel
            .exchange_declare("queries".into(), ExchangeKind::Topic, transient, FieldTable::default())
            .await
            .expect("the exchange is declared as the service declares it");
        let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
        let queue =
            channel.queue_declare("".into(), exclusive, FieldTable::default()).await.expect("a queue");
        let no_ack = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let replies = channel
            .basic_consume(queue.name().clone(), "".into(), no_ack, FieldTable::default())
            .await
            .expect("a consumer");
        Self { connection, channel, reply_queue: queue.name().to_string(), replies }
    }

    /// What the original sets on every request.
    pub fn properties(&self) -> BasicProperties {
        BasicProperties::default()
            .with_content_type("application/json".into())
            .with_correlation_id(Uuid::new_v4().to_string().into())
            .with_reply_to(self.reply_queue.as_str().into())
    }

    pub async fn publish(&self, operation: &str, body: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions::default();
        let published =
            self.channel.basic_publish("queries".into(), operation.into(), options, body, properties);
        published.await.expect("published").await.expect("no confirm is asked for");
    }

    /// A direct reply address of this client.
    pub async fn direct_address(&self) -> String {
        self.direct_replies().await.0
    }

    /// The same, with what comes there. The broker writes the address into a message that is published, and
    /// returns the message if no queue takes it.
    pub async fn direct_replies(&self) -> (String, Consumer) {
        let direct = || "amq.rabbitmq.reply-to".into();
        let channel = self.connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        let no_ack = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let consume = channel.basic_consume(direct(), "".into(), no_ack, FieldTable::default());
        let replies = consume.await.expect("a consumer");
        let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
        let properties = BasicProperties::default().with_reply_to(direct());
        let sent = channel.basic_publish("".into(), "nowhere".into(), mandatory, b"", properties);
        let confirmation = sent.await.expect("published").await.expect("confirmed");
        let returned = confirmation.take_message().expect("returned");
        let address = returned.delivery.properties.reply_to().as_ref().expect("an address");
        (address.to_string(), replies)
    }

    pub async fn next_delivery(&mut self) -> Delivery {
        let next = tokio::time::timeout(PATIENCE, self.replies.next()).await;
        next.expect("a reply in time").expect("the consumer stands").expect("the connection stands")
    }

    pub async fn next_reply(&mut self) -> Reply {
        Reply::from_json(&self.next_delivery().await.data).expect("a reply")
    }

    /// Sends one request and waits for its answer.
    pub async fn call(&mut self, operation: &str, body: &[u8]) -> Reply {
        let properties = self.properties();
        self.publish(operation, body, properties.clone()).await;
        let delivery = self.next_delivery().await;
        assert_eq!(delivery.properties.correlation_id(), properties.correlation_id());
        Reply::from_json(&delivery.data).expect("a reply")
    }
}
