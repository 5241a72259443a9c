//! Stands in for the service: answers every request at once, without a database.

use std::time::Duration;

use florin_wire::Reply;
use futures_util::future::try_join_all;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};
use tokio::time::timeout;

/// A broker that is starting may leave a declaration without an answer.
const START_LIMIT: Duration = Duration::from_secs(3);

/// Declares what the service declares: the durable exchange and the durable queue bound to it.
pub(crate) async fn declare(channel: &Channel, exchange: &str, queue: &str) -> lapin::Result<()> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(exchange.into(), ExchangeKind::Topic, durable, FieldTable::default()).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), durable, arguments).await?;
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), "#".into(), options, FieldTable::default()).await
}

/// Answers until the connection ends: one round for all requests that are there.
pub(crate) async fn respond(amqp_url: &str, exchange: &str, queue: &str) -> lapin::Result<()> {
    let Ok(started) = timeout(START_LIMIT, start(amqp_url, exchange, queue)).await else { return Ok(()) };
    let (_connection, channel, mut requests) = started?;
    while let Some(first) = requests.next().await {
        let batch = all_ready(first?, &mut requests)?;
        let confirms = try_join_all(batch.iter().map(|request| answer(&channel, request))).await?;
        try_join_all(confirms).await?;
        if let Some(last) = batch.last() {
            last.ack(BasicAckOptions { multiple: true }).await?;
        }
    }
    Ok(())
}

async fn start(
    amqp_url: &str,
    exchange: &str,
    queue: &str,
) -> lapin::Result<(Connection, Channel, Consumer)> {
    let connection = Connection::connect(amqp_url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    declare(&channel, exchange, queue).await?;
    channel.basic_qos(2000, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let requests = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
    Ok((connection, channel, requests))
}

fn all_ready(first: Delivery, requests: &mut Consumer) -> lapin::Result<Vec<Delivery>> {
    let mut batch = vec![first];
    while let Some(Some(request)) = requests.next().now_or_never() {
        batch.push(request?);
    }
    Ok(batch)
}

/// The answer holds the body of the request, so that a test can tell whose answer it is.
async fn answer(channel: &Channel, request: &Delivery) -> lapin::Result<lapin::PublisherConfirm> {
    let asked = &request.properties;
    let reply = Reply {
        operation: asked.kind().clone().unwrap_or_else(|| request.routing_key.clone()).to_string(),
        code: 200,
        body: Some(String::from_utf8_lossy(&request.data).into_owned()),
        reason: None,
        error: None,
        transaction_id: None,
    };
    let properties =
        BasicProperties::default().with_correlation_id(asked.correlation_id().clone().unwrap_or_default());
    let reply_to = asked.reply_to().clone().unwrap_or_default();
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    channel.basic_publish("".into(), reply_to, options, &reply.to_json(), properties).await
}
