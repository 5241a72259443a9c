//! Publishes events, and parks those that a listener's queue refuses, so that requests go on.
//!
//! RabbitMQ does not say which of the queues bound to the exchange refused an event; the others have it. After some
//! time it is parked, in a durable queue of our own, and published again until every queue takes it: at most one event at
//! a time, in the order in which they were parked. Requests are acked when their events are confirmed by the exchange or by
//! the queue of parked events, and a parked event is acked when the exchange has confirmed it. So whoever is killed in
//! between, each event is in one place at least.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use florin_amqp::{Addresses, Backoff};
use florin_metrics::{Condition, Health, Metrics};
use florin_wire::names::{EVENTS_EXCHANGE, PARKED_EVENTS};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Confirmation};
use tokio::sync::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::connection::{Error, INSTANCE, RPC_TIMEOUT, Reconnect, Role, confirmed_within, open, within};
use crate::declare::Declarer;
use crate::outgoing::{EncodedEvents, Message, properties};
use crate::publisher::{open_channel, publish};
use crate::{Exchange, Queue};

/// How long an event waits after a queue refused it.
const REFUSED_EVENT_DELAY: Duration = Duration::from_secs(1);
/// How long the broker may take to confirm a parked event.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the queue of parked events is looked at.
const LOOK_PERIOD: Duration = Duration::from_secs(2);
const REFUSED: &str = "a queue bound to florin.events refuses events";

/// Whether events are parked. Clones share it.
#[derive(Debug, Clone)]
pub struct Parking {
    /// How long requests wait for a queue that refuses their events.
    after: Duration,
    /// Set while there are parked events: then the next refused ones are parked at once.
    is_on: Arc<AtomicBool>,
    health: Health,
    metrics: Arc<Metrics>,
}

impl Parking {
    /// Parks events that were refused for this long.
    #[must_use]
    pub fn new(after: Duration, health: Health, metrics: Arc<Metrics>) -> Self {
        Self { after, is_on: Arc::default(), health, metrics }
    }

    /// Publishes events until the broker has them: in the queues of all listeners, or parked. That no queue is bound
    /// for them is fine.
    pub(crate) async fn publish(
        &self,
        channel: &Channel,
        parked: &Mutex<Channel>,
        events: &EncodedEvents,
    ) -> lapin::Result<()> {
        while events.confirmed.get().is_none() {
            let is_taken = publish(channel, &events.message, false).await?.is_ack();
            if is_taken && events.refused_at.get().is_some() && !self.is_on.load(Ordering::Relaxed) {
                self.health.clear(Condition::EventsRefused);
            }
            if is_taken || self.has_parked(parked, events).await? {
                let _ = events.confirmed.set(());
            } else {
                tokio::time::sleep(REFUSED_EVENT_DELAY).await;
            }
        }
        Ok(())
    }

    /// Parks refused events, if it is time.
    async fn has_parked(&self, parked: &Mutex<Channel>, events: &EncodedEvents) -> lapin::Result<bool> {
        let refused_at = *events.refused_at.get_or_init(Instant::now);
        if !self.is_on.load(Ordering::Relaxed) && refused_at.elapsed() < self.after {
            if self.set_condition() {
                tracing::warn!(
                    after_secs = self.after.as_secs(),
                    "{REFUSED}: replies wait, then events are parked"
                );
            }
            return Ok(false);
        }
        let message = events.message.parked();
        // Mandatory: events must not be taken for parked if there is no such queue.
        let confirmation = publish(&*parked.lock().await, &message, true).await?;
        if !matches!(confirmation, Confirmation::Ack(None) | Confirmation::NotRequested) {
            return Ok(false);
        }
        self.metrics.events_parked.inc_by(events.count as u64);
        self.turn_on();
        Ok(true)
    }

    /// Returns whether that is new.
    fn set_condition(&self) -> bool {
        let text =
            format!("{REFUSED}: they go to {PARKED_EVENTS}, and are published again until it takes them");
        self.health.set(Condition::EventsRefused, text)
    }

    fn turn_on(&self) {
        self.set_condition();
        if !self.is_on.swap(true, Ordering::Relaxed) {
            let queue = PARKED_EVENTS;
            tracing::warn!(queue, "{REFUSED}: events are parked until it takes them, and requests go on");
        }
    }

    fn turn_off(&self) {
        if self.is_on.swap(false, Ordering::Relaxed) {
            self.health.clear(Condition::EventsRefused);
            tracing::info!(queue = PARKED_EVENTS, "the queue of parked events is empty");
        }
    }
}

/// Publishes parked events again. Of all instances one is active.
#[derive(Debug)]
pub struct ParkedEvents {
    /// Where the broker is.
    pub addresses: Addresses,
    /// Shared state: are events parked?
    pub parking: Parking,
    /// Counters of the process.
    pub metrics: Arc<Metrics>,
}

impl ParkedEvents {
    /// Runs until `shutdown`, on a connection of its own: a message that cannot be decoded may end it, and an alarm may
    /// block it.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut reconnect = Reconnect::new(Role::Events, Arc::clone(&self.metrics));
        let sessions = async {
            loop {
                if let Err(error) = self.session().await {
                    reconnect.pause_after(&error).await;
                }
            }
        };
        shutdown.run_until_cancelled(sessions).await;
    }

    async fn session(&self) -> Result<(), Error> {
        let connection = open(&self.addresses, Role::Events.as_str()).await?;
        let mut declarer = Declarer::new(&connection).await?;
        declarer.exchange(&Exchange::events()).await?;
        declarer.queue(Queue::parked_events()).await?;
        let channel = open_channel(&connection).await?;
        let qos = channel.basic_qos(1, BasicQosOptions::default());
        within(RPC_TIMEOUT, "set the prefetch", qos).await?;
        let tag = ShortString::from(format!("florin-{}", *INSTANCE));
        let options = BasicConsumeOptions::default();
        let consume = channel.basic_consume(PARKED_EVENTS.into(), tag, options, FieldTable::default());
        let mut parked = within(RPC_TIMEOUT, "start the consumer", consume).await?;
        let mut looks = interval(LOOK_PERIOD);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let delivery = tokio::select! {
                delivery = parked.next() => delivery.ok_or(Error::Cancelled)??,
                _ = looks.tick() => {
                    self.look(&channel, 0).await?;
                    continue;
                }
            };
            let message = Message::of_parked(&delivery);
            let mut backoff = Backoff::new();
            loop {
                let sent = publish(&channel, &message, false);
                let sent = confirmed_within(CONFIRM_TIMEOUT, "confirm an event", connection.status(), sent);
                if sent.await?.is_ack() {
                    break;
                }
                self.parking.turn_on();
                self.look(&channel, 1).await?;
                tokio::time::sleep(backoff.next_delay()).await;
            }
            self.take_off(&delivery).await?;
        }
    }

    /// Removes an event that was published from the queue.
    async fn take_off(&self, delivery: &Delivery) -> Result<(), Error> {
        let ack = delivery.acker.ack(BasicAckOptions::default());
        within(RPC_TIMEOUT, "take the ack", ack).await.map(drop)
    }

    /// How many messages there are. Those that are held here are not in the broker's count.
    async fn look(&self, channel: &Channel, held: u32) -> Result<(), Error> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declare = channel.queue_declare(PARKED_EVENTS.into(), passive, FieldTable::default());
        let queue = within(RPC_TIMEOUT, "look at a queue", declare).await?;
        let messages = queue.message_count() + held;
        self.metrics.events_parked_messages.set(messages.into());
        if messages == 0 {
            self.parking.turn_off();
        }
        Ok(())
    }
}

impl Message {
    /// The same events, on their way to the queue of parked ones. The property `type` keeps the routing key.
    fn parked(&self) -> Self {
        Self {
            exchange: "",
            routing_key: PARKED_EVENTS.into(),
            body: self.body.clone(),
            properties: properties().with_type(self.routing_key.clone()),
        }
    }

    /// The events of a parked message, as they were.
    fn of_parked(delivery: &Delivery) -> Self {
        Self {
            exchange: EVENTS_EXCHANGE,
            routing_key: delivery.properties.kind().clone().unwrap_or_default(),
            body: delivery.data.clone(),
            properties: properties(),
        }
    }
}
