//! Sends replies, and acknowledges the requests once the broker has confirmed them.
//!
//! Batches are sent as they come and settled in their order; the confirms of one overlap with the sending of
//! the next. What was not confirmed when the connection broke is sent again on the next one: a client may
//! see a reply twice, but never none.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use florin_ledger::Operation;
use florin_wire::{IDEMPOTENT_REPLAYED, Reply};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesOrdered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, ConnectionStatus};
use tokio::sync::mpsc::Receiver;

use super::Ticket;
use super::connection::{Error, Link, RPC_TIMEOUT, Reconnect, Role, connect, lost, patiently, within};
use crate::engine::{Done, Verdict};
use crate::metrics::{Metrics, UNKNOWN_OPERATION};

/// How long the broker may take to confirm a batch of replies.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// A reply that the broker objects to so often is given up.
const MAX_OBJECTIONS: u32 = 3;
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
    /// None when the request cannot be answered.
    reply: Option<EncodedReply>,
    /// Set when there is nothing more to send.
    fate: OnceLock<Fate>,
    /// How often the broker closed the connection while this reply, alone, was on its way.
    objections: AtomicU32,
}

#[derive(Debug)]
struct EncodedReply {
    operation: &'static str,
    code: u16,
    json: Vec<u8>,
    properties: BasicProperties,
}

/// What became of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It was confirmed, or nobody waits for it.
    Sent,
    /// No queue took it: the client's is gone, or full. The client may ask again under the same identity.
    NoQueue,
    /// There is none, or the broker objects to it. The request goes to the dead-letter queue.
    Impossible,
}

type Batch = Arc<Vec<Outgoing>>;

impl Publisher {
    /// Sends what comes through `done` until that is closed and all is settled.
    pub async fn run(self, mut done: Receiver<Vec<Done<Ticket>>>) {
        let mut unsettled = VecDeque::new();
        let mut reconnect = Reconnect::new(Role::Publisher, Arc::clone(&self.metrics));
        let mut one_by_one = false;
        while let Err(error) = self.session(&mut done, &mut unsettled, one_by_one).await {
            self.link.unregister(Role::Publisher);
            // Some reply is one that the broker closes the connection for. It must be found.
            one_by_one = matches!(error, Error::Objection(_));
            reconnect.pause_after(&error).await;
            if unsettled.is_empty() && done.is_empty() && done.is_closed() {
                return;
            }
        }
    }

    async fn session(
        &self,
        done: &mut Receiver<Vec<Done<Ticket>>>,
        unsettled: &mut VecDeque<Batch>,
        one_by_one: bool,
    ) -> Result<(), Error> {
        let connection = connect(&self.url, Role::Publisher).await?;
        let channel = within(RPC_TIMEOUT, "open a channel", connection.create_channel()).await?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        within(RPC_TIMEOUT, "turn on confirms", confirms).await?;
        self.link.register(Role::Publisher, &connection);
        let mut lost = std::pin::pin!(lost(connection.events_listener()));
        if one_by_one {
            for outgoing in unsettled.iter().flat_map(|batch| batch.iter()) {
                send_alone(&channel, connection.status(), outgoing).await?;
            }
        }
        let send = |batch: &Batch| send(channel.clone(), connection.status().clone(), Arc::clone(batch));
        let mut sending: FuturesOrdered<_> = unsettled.iter().map(send).collect();
        let mut open = true;
        while open || !unsettled.is_empty() {
            tokio::select! {
                Some(sent) = sending.next() => {
                    sent?;
                    if let Some(batch) = unsettled.pop_front() {
                        self.settle(&batch).await;
                    }
                }
                batch = done.recv(), if open && unsettled.len() < MAX_UNSETTLED => match batch {
                    Some(batch) => {
                        let batch = Arc::new(batch.into_iter().map(Outgoing::new).collect());
                        sending.push_back(send(&batch));
                        unsettled.push_back(batch);
                    }
                    None => open = false,
                },
                error = &mut lost => return Err(error),
            }
        }
        let closed = within(RPC_TIMEOUT, "close", connection.close(REPLY_SUCCESS, "done".into())).await;
        if let Err(error) = closed {
            tracing::debug!(%error, "all replies are sent, but the connection was not closed in good order");
        }
        Ok(())
    }

    /// The batch is answered: counts its answers and acknowledges its requests.
    async fn settle(&self, batch: &[Outgoing]) {
        for outgoing in batch {
            self.count(outgoing);
        }
        for of_session in batch.chunk_by(|one, next| Arc::ptr_eq(&one.ticket.session, &next.ticket.session)) {
            // What was rejected must not be acknowledged again: the broker would close the channel.
            for impossible in of_session.iter().filter(|outgoing| outgoing.is_impossible()) {
                let operation = impossible.ticket.operation.as_str();
                tracing::error!(operation, "a request cannot be answered and goes to the dead-letter queue");
                impossible.ticket.session.dead_letter(impossible.ticket.delivery_tag).await;
            }
            if let Some(last) = of_session.iter().rfind(|outgoing| !outgoing.is_impossible()) {
                last.ticket.session.acknowledge_up_to(last.ticket.delivery_tag).await;
            }
        }
    }

    fn count(&self, outgoing: &Outgoing) {
        match outgoing.fate.get() {
            Some(Fate::Impossible) => return self.metrics.dead_lettered.inc(),
            Some(Fate::NoQueue) => self.metrics.replies_unroutable.inc(),
            Some(Fate::Sent) | None => {}
        }
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
                return Self {
                    ticket,
                    reply: None,
                    fate: Fate::Impossible.into(),
                    objections: AtomicU32::new(0),
                };
            }
        };
        let reply = EncodedReply {
            operation: known(ticket.operation.as_str()),
            code: reply.code,
            json: reply.to_json(),
            properties: properties(&ticket, replayed),
        };
        Self { ticket, reply: Some(reply), fate: OnceLock::new(), objections: AtomicU32::new(0) }
    }

    fn is_impossible(&self) -> bool {
        self.fate.get() == Some(&Fate::Impossible)
    }
}

/// The operation for a metric: what clients write must not make new series.
fn known(operation: &str) -> &'static str {
    operation.parse().map_or(UNKNOWN_OPERATION, Operation::as_str)
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
/// time. A broker in need takes nothing for as long as it is in need, and that is waited for.
async fn send(channel: Channel, connection: ConnectionStatus, batch: Batch) -> Result<(), Error> {
    let all = try_join_all(batch.iter().map(|outgoing| send_one(&channel, outgoing)));
    patiently(CONFIRM_TIMEOUT, "confirm the replies", &connection, all).await.map(drop)
}

/// Sends a reply while no other is under way, to find out whether it is the one that the broker objects to.
async fn send_alone(
    channel: &Channel,
    connection: &ConnectionStatus,
    outgoing: &Outgoing,
) -> Result<(), Error> {
    let sent = send_one(channel, outgoing);
    let sent = patiently(CONFIRM_TIMEOUT, "confirm the reply", connection, sent).await;
    if let Err(Error::Objection(error)) = &sent
        && outgoing.objections.fetch_add(1, Ordering::Relaxed) + 1 == MAX_OBJECTIONS
    {
        tracing::error!(%error, "the broker objects to a reply: probably its reply_to is malformed");
        let _ = outgoing.fate.set(Fate::Impossible);
    }
    sent
}

async fn send_one(channel: &Channel, outgoing: &Outgoing) -> lapin::Result<()> {
    if outgoing.fate.get().is_some() {
        return Ok(());
    }
    let (Some(reply), Some(reply_to)) = (&outgoing.reply, &outgoing.ticket.reply_to) else {
        let _ = outgoing.fate.set(Fate::Sent);
        return Ok(());
    };
    // Mandatory: a reply whose queue is gone comes back, and is counted.
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let default_exchange = ShortString::default();
    let confirm = channel
        .basic_publish(default_exchange, reply_to.clone(), options, &reply.json, reply.properties.clone())
        .await?;
    let fate = match confirm.await? {
        Confirmation::Ack(None) | Confirmation::NotRequested => Fate::Sent,
        Confirmation::Ack(Some(_)) | Confirmation::Nack(_) => Fate::NoQueue,
    };
    let _ = outgoing.fate.set(fate);
    Ok(())
}
