//! Publishes replies and events, and acks the requests once the broker has confirmed them.
//!
//! Batches are published as they come and acked in order; the confirms of one overlap with publishing the
//! next. What was not confirmed when the connection was lost is published again on the next one: a client
//! may see a reply twice, but never none.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use florin_amqp::Addresses;
use florin_metrics::{AMQP, Metrics};
use futures_util::StreamExt;
use futures_util::future::{try_join, try_join_all};
use futures_util::stream::FuturesOrdered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, Connection, ConnectionStatus};
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Mutex, watch};

use crate::connection::{
    Error, Link, REPLY_SUCCESS, RPC_TIMEOUT, Reconnect, Role, confirmed_within, lost, open, within,
};
use crate::dead_letter::Reason;
use crate::declare::Declarer;
use crate::events::Parking;
use crate::job::Completed;
use crate::outgoing::{Batch, Disposition, Message, Outgoing};
use crate::scout::Scout;
use crate::{Exchange, Ticket};

/// How long the broker may take to confirm a batch of replies.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// Attempts to send a reply alone before its request is dead-lettered; then attempts to send the dead
/// letter.
const MAX_ATTEMPTS: u32 = 3;
/// Maximum number of batches that wait for their confirms. With few of them, the next batches are larger under load,
/// which is cheaper for PostgreSQL and the broker (docs/performance.md).
const MAX_UNCONFIRMED: usize = 4;

/// Publishes replies and events.
#[derive(Debug)]
pub struct Publisher {
    /// Where the broker is.
    pub addresses: Addresses,
    /// Whether changes of transactions are published.
    pub with_events: bool,
    /// Shared state: are events parked?
    pub parking: Parking,
    /// Shared state: is the connection up?
    pub link: Link,
    /// Counters of the process.
    pub metrics: Arc<Metrics>,
}

/// The channels of one session.
#[derive(Debug, Clone)]
struct Channels {
    replies: Channel,
    /// Used by one message at a time: lapin may attach a returned message to the confirm of another one of
    /// the channel, and a returned dead letter must not count as confirmed.
    dead_letters: Arc<Mutex<Channel>>,
    /// For the same reason.
    parked_events: Arc<Mutex<Channel>>,
    /// A connection of its own, for addresses over which the broker may close it.
    scout: Arc<Scout>,
}

impl Channels {
    async fn open(connection: &Connection, scout: Arc<Scout>) -> Result<Self, Error> {
        let replies = open_channel(connection).await?;
        let dead_letters = Arc::new(Mutex::new(open_channel(connection).await?));
        let parked_events = Arc::new(Mutex::new(open_channel(connection).await?));
        Ok(Self { replies, dead_letters, parked_events, scout })
    }
}

pub(crate) async fn open_channel(connection: &Connection) -> Result<Channel, Error> {
    let channel = within(RPC_TIMEOUT, "open a channel", connection.create_channel()).await?;
    let confirms = channel.confirm_select(ConfirmSelectOptions::default());
    within(RPC_TIMEOUT, "turn on confirms", confirms).await?;
    Ok(channel)
}

impl Publisher {
    /// Publishes what comes through `done` until that is closed and everything is acked. `acked` counts the
    /// requests.
    pub async fn run(self, mut done: Receiver<Completed<Ticket>>, acked: watch::Sender<u64>) {
        let mut unconfirmed = VecDeque::new();
        let mut reconnect = Reconnect::new(Role::Publisher, Arc::clone(&self.metrics));
        let mut one_by_one = false;
        let scout = Arc::new(Scout::new(self.addresses.clone()));
        while let Err(error) = self.session(&mut done, &mut unconfirmed, &acked, &scout, one_by_one).await {
            self.link.unregister(Role::Publisher);
            // The broker closed the connection over one of the replies, which has to be found.
            one_by_one = matches!(error, Error::ReplyRejected(_));
            reconnect.pause_after(&error).await;
            if unconfirmed.is_empty() && done.is_empty() && done.is_closed() {
                return;
            }
        }
    }

    async fn session(
        &self,
        done: &mut Receiver<Completed<Ticket>>,
        unconfirmed: &mut VecDeque<Arc<Batch>>,
        acked: &watch::Sender<u64>,
        scout: &Arc<Scout>,
        one_by_one: bool,
    ) -> Result<(), Error> {
        let connection = open(&self.addresses, Role::Publisher.as_str()).await?;
        let channels = Channels::open(&connection, Arc::clone(scout)).await?;
        if self.with_events {
            Declarer::new(&connection).await?.exchange(&Exchange::events()).await?;
        }
        self.link.register(Role::Publisher, &connection);
        let mut lost = std::pin::pin!(lost(connection.events_listener()));
        if one_by_one {
            for outgoing in unconfirmed.iter().flat_map(|batch| &batch.requests) {
                send_alone(&channels, connection.status(), outgoing).await?;
            }
        }
        let send = |batch: &Arc<Batch>| {
            send(channels.clone(), connection.status().clone(), self.parking.clone(), Arc::clone(batch))
        };
        let mut sending: FuturesOrdered<_> = unconfirmed.iter().map(send).collect();
        let mut open = true;
        while open || !unconfirmed.is_empty() {
            tokio::select! {
                Some(sent) = sending.next() => {
                    sent?;
                    if let Some(batch) = unconfirmed.pop_front() {
                        self.acknowledge(&batch).await;
                        acked.send_modify(|requests| *requests += batch.requests.len() as u64);
                    }
                }
                batch = done.recv(), if open && unconfirmed.len() < MAX_UNCONFIRMED => match batch {
                    Some(completed) => {
                        let batch = Arc::new(Batch::new(completed, self.with_events));
                        sending.push_back(send(&batch));
                        unconfirmed.push_back(batch);
                    }
                    None => open = false,
                },
                error = &mut lost => return Err(error),
            }
        }
        let closed =
            within(RPC_TIMEOUT, "close the connection", connection.close(REPLY_SUCCESS, "done".into())).await;
        if let Err(error) = closed {
            tracing::debug!(%error, "all replies are confirmed, but closing the connection failed");
        }
        Ok(())
    }

    /// Everything of the batch is confirmed: counts its answers and acks its requests.
    async fn acknowledge(&self, batch: &Batch) {
        for outgoing in &batch.requests {
            self.count(outgoing);
        }
        self.metrics.events.inc_by(batch.events.iter().map(|events| events.count as u64).sum());
        let same_session =
            |one: &Outgoing, next: &Outgoing| Arc::ptr_eq(&one.ticket.session, &next.ticket.session);
        for of_session in batch.requests.chunk_by(same_session) {
            // A rejected delivery must not be acked as well: the broker would close the channel.
            for outgoing in of_session {
                let Ticket { session, delivery_tag, .. } = &outgoing.ticket;
                match outgoing.disposition.get() {
                    Some(Disposition::Requeued) => session.requeue(*delivery_tag).await,
                    Some(Disposition::Rejected) => session.reject(*delivery_tag).await,
                    _ => {}
                }
            }
            if let Some(last) = of_session.iter().rfind(|outgoing| !outgoing.is_not_acked()) {
                last.ticket.session.acknowledge_up_to(last.ticket.delivery_tag).await;
            }
        }
    }

    fn count(&self, outgoing: &Outgoing) {
        match outgoing.disposition.get() {
            Some(Disposition::DeadLettered | Disposition::Rejected) => {
                return self.metrics.dead_lettered.inc();
            }
            Some(Disposition::Requeued | Disposition::Postponed) => return,
            Some(Disposition::Unroutable) => self.metrics.replies_unroutable.inc(),
            Some(Disposition::Replied) | None => {}
        }
        let Some(reply) = &outgoing.reply else { return };
        for ((operation, code), answers) in &reply.answers {
            self.metrics
                .answers
                .with_label_values(&[operation, code.to_string().as_str(), AMQP])
                .inc_by(*answers);
        }
        let duration = outgoing.ticket.received_at.elapsed();
        self.metrics
            .request_seconds
            .with_label_values(&[reply.operation, AMQP])
            .observe(duration.as_secs_f64());
        if reply.replayed {
            self.metrics.replays.inc();
        }
    }
}

/// Publishes the replies and the events of a batch and awaits their confirms together, because the broker confirms
/// many at a time. A resource alarm blocks publishing; that time does not count.
async fn send(
    channels: Channels,
    connection: ConnectionStatus,
    parking: Parking,
    batch: Arc<Batch>,
) -> Result<(), Error> {
    let replies = try_join_all(batch.requests.iter().map(|outgoing| send_one(&channels, outgoing)));
    let publish_events = |events| parking.publish(&channels.replies, &channels.parked_events, events);
    let events = try_join_all(batch.events.iter().map(publish_events));
    let all = try_join(replies, events);
    confirmed_within(CONFIRM_TIMEOUT, "confirm the replies", &connection, all).await.map(drop)
}

/// Publishes a reply while no other is in flight, to find out whether it is the one that the broker rejects.
async fn send_alone(
    channels: &Channels,
    connection: &ConnectionStatus,
    outgoing: &Outgoing,
) -> Result<(), Error> {
    let sent = send_one(channels, outgoing);
    let sent = confirmed_within(CONFIRM_TIMEOUT, "confirm the reply", connection, sent).await;
    if let Err(Error::ReplyRejected(error)) = &sent
        && outgoing.attempts.fetch_add(1, Ordering::Relaxed) + 1 == MAX_ATTEMPTS
    {
        if Error::rejects_address(error) {
            outgoing.reject_address(&error.to_string());
        } else {
            outgoing.dead_letter(&Reason::reply_refused(&error.to_string()));
        }
    }
    sent
}

async fn send_one(channels: &Channels, outgoing: &Outgoing) -> lapin::Result<()> {
    if outgoing.disposition.get().is_some() {
        return Ok(());
    }
    if let Some(dead_letter) = outgoing.dead_letter.get() {
        return send_dead_letter(channels, outgoing, dead_letter).await;
    }
    let Some(reply) = &outgoing.reply else { return Ok(()) };
    let confirmation = match channels.scout.unknown_kind(reply.message.routing_key.as_str()) {
        None => publish(&channels.replies, &reply.message, true).await?,
        Some(kind) => match channels.scout.publish(kind, &reply.message).await {
            Ok(confirmation) => confirmation,
            Err(reason) => {
                outgoing.reject_address(&reason);
                return match outgoing.dead_letter.get() {
                    Some(dead_letter) => send_dead_letter(channels, outgoing, dead_letter).await,
                    None => Ok(()),
                };
            }
        },
    };
    // Mandatory: a reply whose queue is gone is returned, and counted.
    let disposition = match confirmation {
        Confirmation::Ack(None) | Confirmation::NotRequested => Disposition::Replied,
        Confirmation::Ack(Some(_)) | Confirmation::Nack(_) => Disposition::Unroutable,
    };
    let _ = outgoing.disposition.set(disposition);
    Ok(())
}

/// Publishes the dead letter of a request. If that fails, for whatever reason, the broker has to move the
/// request.
async fn send_dead_letter(
    channels: &Channels,
    outgoing: &Outgoing,
    dead_letter: &Message,
) -> lapin::Result<()> {
    let mut disposition = Disposition::Rejected;
    if outgoing.attempts.fetch_add(1, Ordering::Relaxed) < MAX_ATTEMPTS {
        // Mandatory: the request must not be acked if there is no such queue.
        let channel = channels.dead_letters.lock().await;
        let confirmation = publish(&channel, dead_letter, true).await?;
        if matches!(confirmation, Confirmation::Ack(None) | Confirmation::NotRequested) {
            disposition = Disposition::DeadLettered;
        }
    }
    let _ = outgoing.disposition.set(disposition);
    Ok(())
}

pub(crate) async fn publish(
    channel: &Channel,
    message: &Message,
    mandatory: bool,
) -> lapin::Result<Confirmation> {
    let options = BasicPublishOptions { mandatory, ..Default::default() };
    let properties = message.properties.clone();
    let exchange = message.exchange.into();
    let sent =
        channel.basic_publish(exchange, message.routing_key.clone(), options, &message.body, properties);
    sent.await?.await
}
