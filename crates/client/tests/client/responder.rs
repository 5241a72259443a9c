//! Stands in for the service: answers every request at once, without a database.

use std::time::Duration;

use florin_wire::{BATCH, BatchBody, RawJson, Reply, ResultBody};
use futures_util::future::try_join_all;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};
use serde_json::{Map, Value};
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

async fn answer(channel: &Channel, request: &Delivery) -> lapin::Result<lapin::PublisherConfirm> {
    let reply = echo(operation(request), &request.data);
    send(channel, request, reply.to_json()).await
}

/// Sends an answer to whoever waits for it.
pub(crate) async fn send(
    channel: &Channel,
    request: &Delivery,
    body: Vec<u8>,
) -> lapin::Result<lapin::PublisherConfirm> {
    let asked = &request.properties;
    let properties =
        BasicProperties::default().with_correlation_id(asked.correlation_id().clone().unwrap_or_default());
    let reply_to = asked.reply_to().clone().unwrap_or_default();
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    channel.basic_publish("".into(), reply_to, options, &body, properties).await
}

pub(crate) fn operation(request: &Delivery) -> &str {
    request.properties.kind().as_ref().unwrap_or(&request.routing_key).as_str()
}

/// The answer holds the body of the request, so that a test can tell whose answer it is.
pub(crate) fn echo(operation: &str, body: &[u8]) -> Reply {
    let body = if operation == BATCH {
        let results = operations(body).into_iter().map(|(operation, _, body)| ResultBody {
            operation,
            code: 200,
            body: Some(RawJson::new(&body).unwrap()),
            reason: None,
            error: None,
            transaction_id: None,
            replayed: false,
        });
        serde_json::to_string(&BatchBody { results: results.collect() }).unwrap()
    } else {
        String::from_utf8_lossy(body).into_owned()
    };
    Reply {
        operation: operation.to_owned(),
        code: 200,
        body: Some(body),
        reason: None,
        error: None,
        transaction_id: None,
    }
}

/// The operations of a batch: their names, ids and what is left of their bodies.
pub(crate) fn operations(batch: &[u8]) -> Vec<(String, String, Map<String, Value>)> {
    let mut batch: Map<String, Value> = serde_json::from_slice(batch).unwrap();
    let Some(Value::Array(operations)) = batch.remove("operations") else { panic!("no list: {batch:?}") };
    let operations = operations.into_iter().map(|operation| {
        let Value::Object(mut body) = operation else { panic!("no object: {operation}") };
        let mut text = |name| body.remove(name).unwrap().as_str().unwrap().to_owned();
        (text("operation"), text("id"), body)
    });
    operations.collect()
}
