//! Calls against a real broker, with a stand-in for the service.

use std::time::{Duration, Instant};

use florin_client::{
    BalanceQueryBody, BasicProperties, CallOptions, Client, ClientOptions, Error, Replies, Request, Route,
};
use futures_util::future::try_join_all;
use lapin::options::BasicGetOptions;
use lapin::{Channel, Connection};

use crate::broker::{amqp_url, fresh_name, observer};
use crate::responder;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(400);

/// A queue that nobody takes anything from, and a client that sends to it.
async fn silent_queue(options: ClientOptions) -> (String, Client, Connection, Channel) {
    let name = fresh_name();
    let (connection, channel) = observer().await;
    responder::declare(&channel, &name, &name).await.unwrap();
    let options = ClientOptions { route: Route::Queue(name.clone()), ..options };
    (name, Client::connect(amqp_url(), options).await.unwrap(), connection, channel)
}

fn balance() -> Request {
    Request::Balance(BalanceQueryBody::new(1))
}

/// The `message_id` of every message in the queue.
async fn message_ids(channel: &Channel, queue: &str) -> Vec<Option<String>> {
    let mut found = Vec::new();
    let options = BasicGetOptions { no_ack: true };
    while let Some(message) = channel.basic_get(queue.into(), options).await.unwrap() {
        let properties = &message.delivery.properties;
        let message_id = properties.message_id().as_ref().map(ToString::to_string);
        let survives_a_restart = properties.delivery_mode() == &Some(2);
        assert_eq!(survives_a_restart, message_id.is_some(), "as `call` sends it, or bare");
        found.push(message_id);
    }
    found
}

#[tokio::test]
async fn every_call_gets_its_own_answer() {
    let name = fresh_name();
    let (_connection, channel) = observer().await;
    responder::declare(&channel, &name, &name).await.unwrap();
    let task = tokio::spawn({
        let name = name.clone();
        async move { responder::respond(amqp_url(), &name, &name).await }
    });
    for route in [Route::Exchange(name.clone()), Route::Queue(name.clone())] {
        for replies in [Replies::ExclusiveQueue, Replies::DirectReplyTo] {
            let options =
                ClientOptions { route: route.clone(), replies, timeout: LONG, ..Default::default() };
            let client = Client::connect(amqp_url(), options).await.unwrap();
            let calls = (0..1000_i64).map(|wallet_id| client.balance(wallet_id));
            let responses = try_join_all(calls).await.unwrap();
            for (wallet_id, response) in responses.into_iter().enumerate() {
                assert_eq!(response.reply.operation, "balance");
                assert_eq!(response.reply.body, Some(format!("{{\"wallet_id\":{wallet_id}}}")));
                assert!(!response.replayed);
            }
            client.close().await;
        }
    }
    task.abort();
}

#[tokio::test]
async fn a_request_that_no_queue_takes_fails_at_once_and_the_client_stays_of_use() {
    for route in [Route::Queue(fresh_name()), Route::Exchange(fresh_name())] {
        let options = ClientOptions { route: route.clone(), timeout: LONG, ..Default::default() };
        let client = Client::connect(amqp_url(), options).await.unwrap();
        let started = Instant::now();
        let error = client.invoice(1, "USD", "1".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, Error::Unroutable { .. }), "{error}");
        assert!(error.to_string().contains(&route.to_string()), "{error}");
        assert!(started.elapsed() < LONG / 2);

        let (Route::Queue(name) | Route::Exchange(name)) = route;
        let (_connection, channel) = observer().await;
        responder::declare(&channel, &name, &name).await.unwrap();
        let task = tokio::spawn(async move { responder::respond(amqp_url(), &name, &name).await });
        assert!(client.balance(1).await.unwrap().reply.is_done());
        task.abort();
    }
}

#[tokio::test]
async fn out_of_time_names_the_identity_under_which_all_attempts_were_sent() {
    let options = ClientOptions { attempt_timeout: SHORT / 4, ..ClientOptions::default() };
    let (queue, client, _connection, channel) = silent_queue(options).await;
    let timeout = Some(SHORT);
    let call = CallOptions { message_id: Some("order-17".into()), timeout, on_behalf_of: None };
    let error = client.call(&balance(), call).await.unwrap_err();
    assert!(
        matches!(&error, Error::OutcomeUnknown { message_id, .. } if message_id == "order-17"),
        "{error}"
    );
    let ids = message_ids(&channel, &queue).await;
    assert!(ids.len() > 1, "{ids:?}");
    assert!(ids.iter().all(|id| id.as_deref() == Some("order-17")), "{ids:?}");
}

#[tokio::test]
async fn without_an_identity_nothing_is_sent_twice() {
    let options = ClientOptions { attempt_timeout: SHORT / 4, ..ClientOptions::default() };
    let (queue, client, _connection, channel) = silent_queue(options).await;
    let sent = client.call_raw("balance", b"{}".to_vec(), BasicProperties::default(), Some(SHORT)).await;
    assert!(matches!(sent, Err(Error::OutcomeUnknown { .. })), "{sent:?}");
    assert_eq!(message_ids(&channel, &queue).await, [None]);
}

#[tokio::test]
async fn calls_in_flight_are_bounded_and_abandoned_ones_give_their_place_back() {
    let options = ClientOptions { max_in_flight: 2, timeout: LONG, ..ClientOptions::default() };
    let (queue, client, _connection, channel) = silent_queue(options).await;
    let waiting: Vec<_> = (0..2)
        .map(|wallet_id| {
            let client = client.clone();
            tokio::spawn(async move { client.balance(wallet_id).await })
        })
        .collect();
    let third = || client.call_raw("balance", b"{}".to_vec(), BasicProperties::default(), Some(SHORT));
    // The first of these may come before the two others, and finds no answer instead of no place.
    while !matches!(third().await, Err(Error::Overloaded { max_in_flight: 2, .. })) {}
    for call in waiting {
        call.abort();
    }
    message_ids(&channel, &queue).await;
    let task = tokio::spawn(async move { responder::respond(amqp_url(), &queue, &queue).await });
    assert!(client.balance(1).await.unwrap().reply.is_done());
    task.abort();
}

#[tokio::test]
async fn what_cannot_be_sent_says_why() {
    let connect = |url| Client::connect(url, ClientOptions::default());
    assert!(matches!(connect("http://localhost").await, Err(Error::Address(_))));
    assert!(matches!(connect("amqp://127.0.0.1:1").await, Err(Error::Connect(_))));
    let client = connect(amqp_url()).await.unwrap();
    let options = CallOptions { message_id: Some("x".repeat(256)), ..CallOptions::default() };
    let error = client.call(&balance(), options).await.unwrap_err();
    assert!(matches!(error, Error::TooLong("message_id")), "{error}");
}
