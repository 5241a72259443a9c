//! A service by hand: the test takes messages, and answers when it wants to.

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::time::Duration;

use florin_client::{
    BalanceQueryBody, BasicProperties, CallOptions, Client, ClientOptions, Coalescing, Error, Reply, Request,
    Response, Route,
};
use futures_util::future::FutureExt;
use futures_util::stream::StreamExt;
use lapin::message::Delivery;
use lapin::options::BasicConsumeOptions;
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer};

use crate::broker::{amqp_url, fresh_name, observer};
use crate::responder;

const LONG: Duration = Duration::from_secs(60);

/// The service: a queue, and what comes to it.
pub(crate) struct Service {
    pub(crate) queue: String,
    requests: Consumer,
    pub(crate) channel: Channel,
    _connection: Connection,
}

/// A message, as the service sees it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) delivery: Delivery,
    pub(crate) operation: String,
    /// What is in it: identities and wallets.
    pub(crate) calls: Vec<(String, i64)>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        let queue = fresh_name();
        let (connection, channel) = observer().await;
        responder::declare(&channel, &queue, &queue).await.unwrap();
        let no_ack = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let requests = channel
            .basic_consume(queue.as_str().into(), "".into(), no_ack, FieldTable::default())
            .await
            .unwrap();
        Self { queue, requests, channel, _connection: connection }
    }

    /// A client that sends to the queue.
    pub(crate) async fn client(&self, options: ClientOptions) -> Client {
        let route = Route::Queue(self.queue.clone());
        Client::connect(amqp_url(), ClientOptions { route, ..options }).await.unwrap()
    }

    pub(crate) async fn next(&mut self) -> Seen {
        let next = tokio::time::timeout(LONG, self.requests.next()).await;
        let delivery = next.expect("a message in time").unwrap().unwrap();
        let operation = responder::operation(&delivery).to_owned();
        let wallet = |body: &serde_json::Value| body["wallet_id"].as_i64().unwrap_or_default();
        let calls = match operation.as_str() {
            "batch" => responder::operations(&delivery.data)
                .into_iter()
                .map(|(_, id, body)| (id, wallet(&body.into())))
                .collect(),
            _ => {
                let id = delivery.properties.message_id().as_ref().map_or("", ShortString::as_str);
                let body = serde_json::from_slice(&delivery.data).unwrap();
                vec![(id.to_owned(), wallet(&body))]
            }
        };
        Seen { delivery, operation, calls }
    }

    /// Answers as it should be.
    pub(crate) async fn answer(&self, seen: &Seen) {
        self.send(seen, responder::echo(&seen.operation, &seen.delivery.data).to_json()).await;
    }

    pub(crate) async fn send(&self, seen: &Seen, body: Vec<u8>) {
        responder::send(&self.channel, &seen.delivery, body).await.unwrap().await.unwrap();
    }

    /// Takes messages and answers them, until so many calls were answered. Returns the operations of the messages.
    pub(crate) async fn answer_calls(&mut self, calls: usize) -> Vec<String> {
        let (mut operations, mut answered) = (Vec::new(), 0);
        while answered < calls {
            let seen = self.next().await;
            self.answer(&seen).await;
            answered += seen.calls.len();
            operations.push(seen.operation);
        }
        operations
    }

    /// Takes messages and answers them for ever: for tests in which a call may go out more than once.
    pub(crate) async fn answer_all(&mut self, calls: &mut Vec<(String, (String, i64))>) -> Infallible {
        loop {
            let seen = self.next().await;
            self.answer(&seen).await;
            calls.extend(seen.calls.into_iter().map(|call| (seen.operation.clone(), call)));
        }
    }
}

impl Seen {
    pub(crate) fn wallets(&self) -> Vec<i64> {
        self.calls.iter().map(|(_, wallet_id)| *wallet_id).collect()
    }
}

/// Calls gather while one message travels.
pub(crate) fn one_message() -> ClientOptions {
    let coalescing = Some(Coalescing { messages_in_flight: 1, ..Coalescing::default() });
    ClientOptions { coalescing, timeout: LONG, attempt_timeout: LONG, ..ClientOptions::default() }
}

pub(crate) type Call<'a> = Pin<Box<dyn Future<Output = Result<Response, Error>> + Send + 'a>>;

/// A call that is made now: the client has it before the next one.
pub(crate) fn start<'a>(call: impl Future<Output = Result<Response, Error>> + Send + 'a) -> Call<'a> {
    let mut call: Call<'a> = Box::pin(call);
    assert!(call.as_mut().now_or_never().is_none(), "it is not answered yet");
    call
}

/// A request for the balances of a wallet.
pub(crate) fn balance(wallet_id: i64) -> Request {
    Request::Balance(BalanceQueryBody::new(wallet_id))
}

pub(crate) fn named(message_id: &str) -> CallOptions {
    CallOptions { message_id: Some(message_id.into()), ..CallOptions::default() }
}

/// What the answers to `balance` say.
pub(crate) fn bodies(responses: Vec<Response>) -> Vec<String> {
    responses.into_iter().map(|response| response.reply.body.unwrap()).collect()
}

/// What they have to say.
pub(crate) fn wallets(wallet_ids: RangeInclusive<i64>) -> Vec<String> {
    wallet_ids.map(|wallet_id| format!("{{\"wallet_id\":{wallet_id}}}")).collect()
}

pub(crate) async fn assert_answered(call: Call<'_>, wallet_id: i64) {
    let response = call.await.unwrap();
    assert_eq!(response.reply.operation, "balance");
    assert_eq!(response.reply.body, Some(format!("{{\"wallet_id\":{wallet_id}}}")));
}

/// A call of bytes and properties, without an identity.
pub(crate) async fn raw(client: &Client, wallet_id: i64) -> Result<Response, Error> {
    let body = format!("{{\"wallet_id\":{wallet_id}}}").into_bytes();
    let raw = client.call_raw("balance", body, BasicProperties::default(), None).await?;
    Ok(Response { reply: Reply::from_json(&raw.body).unwrap(), replayed: raw.replayed() })
}
