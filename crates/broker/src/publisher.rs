//! Sends replies and events, and acknowledges the requests once the broker has confirmed them.
//!
//! Batches are sent as they come and settled in their order; the confirms of one overlap with the sending of
//! the next. What was not confirmed when the connection broke is sent again on the next one: a client may
//! see a reply twice, but never none.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{try_join, try_join_all};
use futures_util::stream::FuturesOrdered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, Connection, ConnectionStatus};
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Mutex, watch};

use super::connection::{Error, Link, RPC_TIMEOUT, Reconnect, Role, connect, lost, patiently, within};
use super::given_up::GivenUp;
use super::outgoing::{Batch, EncodedEvents, Fate, Message, Outgoing};
use super::{Exchange, Ticket};
use crate::job::Completed;
use florin_metrics::{AMQP, Metrics};

/// How long the broker may take to confirm a batch of replies.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// A reply that the broker objects to so often is given up, and so is a dead letter that was sent so often.
const MAX_OBJECTIONS: u32 = 3;
/// How long an event waits that a queue refused.
const REFUSED_EVENT_DELAY: Duration = Duration::from_secs(1);
/// Batches that wait for their confirms at a time. With few of them, the next batches are larger under load, which is
/// cheaper for PostgreSQL and the broker (docs/performance.md).
const MAX_UNSETTLED: usize = 4;
const REPLY_SUCCESS: u16 = 200;

/// Sends replies and events.
#[derive(Debug)]
pub struct Publisher {
    /// Where the broker is.
    pub url: String,
    /// Whether changes of transactions are published.
    pub with_events: bool,
    /// Where to tell whether the connection stands.
    pub link: Link,
    /// Where to count.
    pub metrics: Arc<Metrics>,
}

/// Where things are sent.
#[derive(Debug, Clone)]
struct Channels {
    replies: Channel,
    /// One at a time: lapin may hand a returned message to the confirm of another one of the channel, and a dead
    /// letter that was returned must not be taken for one that was taken.
    dead_letters: Arc<Mutex<Channel>>,
}

impl Channels {
    async fn open(connection: &Connection) -> Result<Self, Error> {
        let replies = open_channel(connection).await?;
        let dead_letters = Arc::new(Mutex::new(open_channel(connection).await?));
        Ok(Self { replies, dead_letters })
    }
}

async fn open_channel(connection: &Connection) -> Result<Channel, Error> {
    let channel = within(RPC_TIMEOUT, "open a channel", connection.create_channel()).await?;
    let confirms = channel.confirm_select(ConfirmSelectOptions::default());
    within(RPC_TIMEOUT, "turn on confirms", confirms).await?;
    Ok(channel)
}

impl Publisher {
    /// Sends what comes through `done` until that is closed and all is settled; `settled` counts the requests.
    pub async fn run(self, mut done: Receiver<Completed<Ticket>>, settled: watch::Sender<u64>) {
        let mut unsettled = VecDeque::new();
        let mut reconnect = Reconnect::new(Role::Publisher, Arc::clone(&self.metrics));
        let mut one_by_one = false;
        while let Err(error) = self.session(&mut done, &mut unsettled, &settled, one_by_one).await {
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
        done: &mut Receiver<Completed<Ticket>>,
        unsettled: &mut VecDeque<Arc<Batch>>,
        settled: &watch::Sender<u64>,
        one_by_one: bool,
    ) -> Result<(), Error> {
        let connection = connect(&self.url, Role::Publisher).await?;
        let channels = Channels::open(&connection).await?;
        if self.with_events {
            within(
                RPC_TIMEOUT,
                "declare the exchange of events",
                Exchange::events().declare(&channels.replies),
            )
            .await?;
        }
        self.link.register(Role::Publisher, &connection);
        let mut lost = std::pin::pin!(lost(connection.events_listener()));
        if one_by_one {
            for outgoing in unsettled.iter().flat_map(|batch| &batch.requests) {
                send_alone(&channels, connection.status(), outgoing).await?;
            }
        }
        let send =
            |batch: &Arc<Batch>| send(channels.clone(), connection.status().clone(), Arc::clone(batch));
        let mut sending: FuturesOrdered<_> = unsettled.iter().map(send).collect();
        let mut open = true;
        while open || !unsettled.is_empty() {
            tokio::select! {
                Some(sent) = sending.next() => {
                    sent?;
                    if let Some(batch) = unsettled.pop_front() {
                        self.settle(&batch).await;
                        settled.send_modify(|requests| *requests += batch.requests.len() as u64);
                    }
                }
                batch = done.recv(), if open && unsettled.len() < MAX_UNSETTLED => match batch {
                    Some(answers) => {
                        let batch = Arc::new(Batch::new(answers, self.with_events));
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
    async fn settle(&self, batch: &Batch) {
        for outgoing in &batch.requests {
            self.count(outgoing);
        }
        self.metrics.events.inc_by(batch.events.iter().map(|events| events.count as u64).sum());
        let same_session =
            |one: &Outgoing, next: &Outgoing| Arc::ptr_eq(&one.ticket.session, &next.ticket.session);
        for of_session in batch.requests.chunk_by(same_session) {
            // What was rejected must not be acknowledged again: the broker would close the channel.
            for rejected in of_session.iter().filter(|outgoing| outgoing.is_rejected()) {
                let Ticket { session, delivery_tag, .. } = &rejected.ticket;
                match rejected.fate.get() {
                    Some(Fate::GivenBack) => session.give_back(*delivery_tag).await,
                    _ => session.dead_letter(*delivery_tag).await,
                }
            }
            if let Some(last) = of_session.iter().rfind(|outgoing| !outgoing.is_rejected()) {
                last.ticket.session.acknowledge_up_to(last.ticket.delivery_tag).await;
            }
        }
    }

    fn count(&self, outgoing: &Outgoing) {
        match outgoing.fate.get() {
            Some(Fate::PutAside | Fate::Impossible) => return self.metrics.dead_lettered.inc(),
            Some(Fate::GivenBack) => return,
            Some(Fate::NoQueue) => self.metrics.replies_unroutable.inc(),
            Some(Fate::Sent) | None => {}
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

/// Publishes the replies and the events of a batch and awaits all its confirms. They are awaited together: the
/// broker confirms many at a time. A broker in need takes nothing for as long as it is in need, and that is waited
/// for.
async fn send(channels: Channels, connection: ConnectionStatus, batch: Arc<Batch>) -> Result<(), Error> {
    let replies = try_join_all(batch.requests.iter().map(|outgoing| send_one(&channels, outgoing)));
    let events = try_join_all(batch.events.iter().map(|events| send_events(&channels.replies, events)));
    let all = try_join(replies, events);
    patiently(CONFIRM_TIMEOUT, "confirm the replies", &connection, all).await.map(drop)
}

/// Sends a reply while no other is under way, to find out whether it is the one that the broker objects to.
async fn send_alone(
    channels: &Channels,
    connection: &ConnectionStatus,
    outgoing: &Outgoing,
) -> Result<(), Error> {
    let sent = send_one(channels, outgoing);
    let sent = patiently(CONFIRM_TIMEOUT, "confirm the reply", connection, sent).await;
    if let Err(Error::Objection(error)) = &sent
        && outgoing.objections.fetch_add(1, Ordering::Relaxed) + 1 == MAX_OBJECTIONS
    {
        if Error::is_of_address(error) {
            outgoing.refuse_address(&error.to_string());
        } else {
            outgoing.give_up(&GivenUp::reply_refused(&error.to_string()));
        }
    }
    sent
}

async fn send_one(channels: &Channels, outgoing: &Outgoing) -> lapin::Result<()> {
    if outgoing.fate.get().is_some() {
        return Ok(());
    }
    if let Some(dead_letter) = outgoing.dead_letter.get() {
        return put_aside(channels, outgoing, dead_letter).await;
    }
    let Some(reply) = &outgoing.reply else { return Ok(()) };
    // Mandatory: a reply whose queue is gone comes back, and is counted.
    let fate = match publish(&channels.replies, &reply.message, true).await? {
        Confirmation::Ack(None) | Confirmation::NotRequested => Fate::Sent,
        Confirmation::Ack(Some(_)) | Confirmation::Nack(_) => Fate::NoQueue,
    };
    let _ = outgoing.fate.set(fate);
    Ok(())
}

/// Copies a request to the dead-letter queue. Where that fails, for whatever reason, the broker has to move it.
async fn put_aside(channels: &Channels, outgoing: &Outgoing, dead_letter: &Message) -> lapin::Result<()> {
    let mut fate = Fate::Impossible;
    if outgoing.objections.fetch_add(1, Ordering::Relaxed) < MAX_OBJECTIONS {
        // Mandatory: the request must not be acknowledged when there is no such queue.
        let channel = channels.dead_letters.lock().await;
        let confirmation = publish(&channel, dead_letter, true).await?;
        if matches!(confirmation, Confirmation::Ack(None) | Confirmation::NotRequested) {
            fate = Fate::PutAside;
        }
    }
    let _ = outgoing.fate.set(fate);
    Ok(())
}

/// Events that nobody listens to are fine. Those that a queue refuses are sent again, for they must not be lost.
async fn send_events(channel: &Channel, events: &EncodedEvents) -> lapin::Result<()> {
    while events.confirmed.get().is_none() {
        if publish(channel, &events.message, false).await?.is_ack() {
            let _ = events.confirmed.set(());
        } else {
            let routing_key = events.message.routing_key.as_str();
            tracing::error!(routing_key, "a queue of events refuses them: the service waits for it");
            tokio::time::sleep(REFUSED_EVENT_DELAY).await;
        }
    }
    Ok(())
}

async fn publish(channel: &Channel, message: &Message, mandatory: bool) -> lapin::Result<Confirmation> {
    let options = BasicPublishOptions { mandatory, ..Default::default() };
    let properties = message.properties.clone();
    let exchange = message.exchange.into();
    let sent =
        channel.basic_publish(exchange, message.routing_key.clone(), options, &message.body, properties);
    sent.await?.await
}
