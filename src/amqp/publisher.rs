//! Sends replies, and acknowledges the requests once the broker has confirmed them.
//!
//! Batches are sent as they come and settled in their order; the confirms of one overlap with the sending of
//! the next. What was not confirmed when the connection broke is sent again on the next one: a client may
//! see a reply twice, but never none.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use florin_ledger::Operation;
use florin_wire::{IDEMPOTENT_REPLAYED, Reply};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesOrdered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::Ticket;
use super::connection::{Error, Link, RPC_TIMEOUT, Reconnect, Role, connect, lost, within};
use crate::engine::{Done, Verdict};
use crate::metrics::Metrics;

/// How long the broker may take to confirm a batch of replies.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// Batches that wait for their confirms at a time.
const MAX_UNSETTLED: usize = 16;
const PERSISTENT: u8 = 2;
const REPLY_SUCCESS: u16 = 200;

/// Sends replies.
#[derive(Debug)]
pub struct Publisher {
    /// Where the broker is.
    pub url: String,
    /// Where to tell whether the connection stands.
    pub link: Link,
    /// Where to count.
    pub metrics: Arc<Metrics>,
}

/// A request that was worked on.
#[derive(Debug)]
struct Outgoing {
    ticket: Ticket,
    /// None when the request cannot be answered: it is dead-lettered.
    reply: Option<EncodedReply>,
}

#[derive(Debug)]
struct EncodedReply {
    operation: &'static str,
    code: u16,
    json: Vec<u8>,
    properties: BasicProperties,
}

impl Publisher {
    /// Sends what comes through `done` until that is closed and all is settled.
    pub async fn run(self, mut done: Receiver<Vec<Done<Ticket>>>, shutdown: CancellationToken) {
        let mut unsettled = VecDeque::new();
        let mut reconnect = Reconnect::new(Role::Publisher, Arc::clone(&self.metrics), shutdown);
        while let Err(error) = self.session(&mut done, &mut unsettled).await {
            if reconnect.pause_after(error).await.is_break() {
                break;
            }
        }
    }

    async fn session(
        &self,
        done: &mut Receiver<Vec<Done<Ticket>>>,
        unsettled: &mut VecDeque<Arc<Vec<Outgoing>>>,
    ) -> Result<(), Error> {
        let connection = connect(&self.url, Role::Publisher).await?;
        let channel = within(RPC_TIMEOUT, "open a channel", connection.create_channel()).await?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        within(RPC_TIMEOUT, "turn on confirms", confirms).await?;
        self.link.register(Role::Publisher, &connection);
        let mut lost = std::pin::pin!(lost(connection.events_listener()));
        let mut confirmed: FuturesOrdered<_> =
            unsettled.iter().map(|batch| send(channel.clone(), Arc::clone(batch))).collect();
        let mut open = true;
        loop {
            tokio::select! {
                Some(confirmations) = confirmed.next() => {
                    let confirmations = confirmations?;
                    if let Some(batch) = unsettled.pop_front() {
                        self.settle(&batch, &confirmations).await;
                    }
                }
                batch = done.recv(), if open && unsettled.len() < MAX_UNSETTLED => match batch {
                    Some(batch) => {
                        let batch: Vec<Outgoing> = batch.into_iter().map(Outgoing::new).collect();
                        let batch = Arc::new(batch);
                        unsettled.push_back(Arc::clone(&batch));
                        confirmed.push_back(send(channel.clone(), batch));
                    }
                    None => open = false,
                },
                error = &mut lost => return Err(error),
            }
            if !open && unsettled.is_empty() {
                return within(RPC_TIMEOUT, "close", connection.close(REPLY_SUCCESS, "done".into())).await;
            }
        }
    }

    /// The batch is answered: acknowledges its requests and counts its answers.
    async fn settle(&self, batch: &[Outgoing], confirmations: &[Option<Confirmation>]) {
        for (outgoing, confirmation) in batch.iter().zip(confirmations) {
            let refused = matches!(confirmation, Some(Confirmation::Nack(_)));
            if refused || outgoing.reply.is_none() {
                self.metrics.dead_lettered.inc();
                tracing::error!(
                    operation = outgoing.ticket.operation.as_str(),
                    reply_refused = refused,
                    "a request cannot be answered and goes to the dead-letter queue"
                );
                outgoing.ticket.session.dead_letter(outgoing.ticket.delivery_tag).await;
            }
            if let Some(Confirmation::Ack(Some(_))) = confirmation {
                self.metrics.replies_unroutable.inc();
            }
            self.count(outgoing);
        }
        for (index, outgoing) in batch.iter().enumerate() {
            let next = batch.get(index + 1);
            let last_of_session =
                next.is_none_or(|next| !Arc::ptr_eq(&next.ticket.session, &outgoing.ticket.session));
            if last_of_session {
                outgoing.ticket.session.acknowledge_up_to(outgoing.ticket.delivery_tag).await;
            }
        }
    }

    fn count(&self, outgoing: &Outgoing) {
        let Some(reply) = &outgoing.reply else { return };
        let code = reply.code.to_string();
        self.metrics.answers.with_label_values(&[reply.operation, &code]).inc();
        let duration = outgoing.ticket.received_at.elapsed();
        self.metrics.request_seconds.with_label_values(&[reply.operation]).observe(duration.as_secs_f64());
        if reply.properties.headers().is_some() {
            self.metrics.replays.inc();
        }
    }
}

impl Outgoing {
    fn new(done: Done<Ticket>) -> Self {
        let Done { verdict, ticket } = done;
        let (reply, replayed) = match verdict {
            Verdict::Decided(command, outcome) => (Reply::to_command(&command, &outcome), outcome.replayed),
            Verdict::Refused(refusal) => (Reply::refused(ticket.operation.as_str(), &refusal), false),
            Verdict::Unacceptable(reason) => {
                tracing::error!(reason, "the database refuses a request");
                return Self { ticket, reply: None };
            }
        };
        let reply = EncodedReply {
            operation: known(ticket.operation.as_str()),
            code: reply.code,
            json: reply.to_json(),
            properties: properties(&ticket, replayed),
        };
        Self { ticket, reply: Some(reply) }
    }
}

/// The operation for a metric: what clients write must not make new series.
fn known(operation: &str) -> &'static str {
    operation.parse().map_or("unknown", Operation::as_str)
}

fn properties(ticket: &Ticket, replayed: bool) -> BasicProperties {
    let mut properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT);
    if let Some(correlation_id) = &ticket.correlation_id {
        properties = properties.with_correlation_id(correlation_id.clone());
    }
    if replayed {
        let mut headers = FieldTable::default();
        headers.insert(IDEMPOTENT_REPLAYED.into(), AMQPValue::Boolean(true));
        properties = properties.with_headers(headers);
    }
    properties
}

/// Publishes a batch and awaits all its confirms. They are awaited together: the broker confirms many at a
/// time.
async fn send(channel: Channel, batch: Arc<Vec<Outgoing>>) -> Result<Vec<Option<Confirmation>>, Error> {
    let all = try_join_all(batch.iter().map(|outgoing| send_one(&channel, outgoing)));
    within(CONFIRM_TIMEOUT, "confirm the replies", all).await
}

/// None when there is nothing to send.
async fn send_one(channel: &Channel, outgoing: &Outgoing) -> lapin::Result<Option<Confirmation>> {
    let (Some(reply), Some(reply_to)) = (&outgoing.reply, &outgoing.ticket.reply_to) else { return Ok(None) };
    // Mandatory: a reply whose queue is gone comes back, and is counted.
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let default_exchange = ShortString::default();
    let confirm = channel
        .basic_publish(default_exchange, reply_to.clone(), options, &reply.json, reply.properties.clone())
        .await?;
    confirm.await.map(Some)
}
