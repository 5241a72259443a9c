//! Takes requests from the work queue and hands them on, decoded.
//!
//! The prefetch bounds how many are in the service at a time: the broker sends no more until some are
//! acknowledged. Bodies are decoded at once and dropped, so that what waits is small.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use florin_wire::{Envelope, Limits, decode};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use super::access::{Access, on_behalf_of};
use super::connection::{Error, Link, RPC_TIMEOUT, Reconnect, Role, connect, within};
use super::given_up::{Original, is_requeued, published_to};
use super::{InFlight, Ticket, Topology, operation};
use crate::job::Job;
use crate::job::Rejection;
use florin_metrics::Metrics;

/// So many objections of the broker are remembered at a time.
const MAX_OBJECTIONS: usize = 1000;

/// Takes requests from the work queue.
#[derive(Debug)]
pub struct Consumer {
    /// Where the broker is.
    pub url: String,
    /// What is declared before requests are taken.
    pub topology: Topology,
    /// At most so many requests are in the service at a time.
    pub prefetch: u16,
    /// Longer bodies are refused.
    pub body_limits: Limits,
    /// What is demanded of those who send requests.
    pub access: Access,
    /// Where to tell whether the connection stands.
    pub link: Link,
    /// Where to count.
    pub metrics: Arc<Metrics>,
}

/// A connection that requests came by, for their acknowledgements. It is closed when the last ticket of it is
/// gone.
#[derive(Debug)]
pub(super) struct Session {
    channel: Channel,
    /// Reply addresses that the broker objects to, with its words, of requests that were given back.
    objections: Mutex<HashMap<ShortString, String>>,
    _connection: Connection,
}

impl Session {
    /// Acknowledges this delivery and all before it. When the session is over, the broker delivers them
    /// again.
    pub(super) async fn acknowledge_up_to(&self, delivery_tag: u64) {
        let options = BasicAckOptions { multiple: true };
        let answer = within(RPC_TIMEOUT, "take the ack", self.channel.basic_ack(delivery_tag, options));
        if let Err(error) = answer.await {
            tracing::warn!(%error, "requests that were answered will be delivered again, and answered the same");
        }
    }

    /// Gives a delivery back, to get it once more. This counts toward the delivery limit, so it ends.
    pub(super) async fn give_back(&self, delivery_tag: u64) {
        let options = BasicRejectOptions { requeue: true };
        let answer = within(RPC_TIMEOUT, "take the reject", self.channel.basic_reject(delivery_tag, options));
        if let Err(error) = answer.await {
            tracing::warn!(%error, "a request that cannot be answered will be delivered again");
        }
    }

    /// Remembers what the broker says against a reply address: it need not be found out again when the request
    /// comes back.
    pub(super) fn remember_objection(&self, reply_to: &ShortString, words: &str) {
        let mut objections = self.objections.lock().unwrap_or_else(PoisonError::into_inner);
        if objections.len() >= MAX_OBJECTIONS {
            objections.clear();
        }
        objections.insert(reply_to.clone(), words.to_owned());
    }

    /// What the broker said against this reply address.
    pub(super) fn objection(&self, reply_to: &ShortString) -> Option<String> {
        self.objections.lock().unwrap_or_else(PoisonError::into_inner).get(reply_to).cloned()
    }

    /// Moves a delivery to the dead-letter queue.
    pub(super) async fn dead_letter(&self, delivery_tag: u64) {
        let options = BasicRejectOptions { requeue: false };
        let answer = within(RPC_TIMEOUT, "take the reject", self.channel.basic_reject(delivery_tag, options));
        if let Err(error) = answer.await {
            tracing::warn!(%error, "a request that cannot be answered will be delivered again");
        }
    }
}

impl Consumer {
    /// Hands requests to `jobs` until `shutdown`, or until nobody takes them any more.
    pub async fn run(self, jobs: Sender<Job<Ticket>>, shutdown: CancellationToken) {
        let mut reconnect = Reconnect::new(Role::Consumer, Arc::clone(&self.metrics));
        let mut one_by_one = false;
        let sessions = async {
            loop {
                let ended = self.session(&jobs, one_by_one).await;
                self.link.unregister(Role::Consumer);
                match ended {
                    Ok(()) if jobs.is_closed() => return,
                    Ok(()) => one_by_one = false,
                    // It is the same message again: the sooner it reaches the delivery limit, the better.
                    Err(Error::Unreadable(_)) if one_by_one => {}
                    Err(error) => {
                        one_by_one = matches!(error, Error::Unreadable(_));
                        reconnect.pause_after(&error).await;
                    }
                }
            }
        };
        shutdown.run_until_cancelled(sessions).await;
    }

    /// Runs until something breaks, or nobody takes requests any more, or enough of them were taken one by one.
    ///
    /// A message that cannot be read breaks the session, and then the broker counts a failed delivery for all
    /// that it had sent ahead. So after that as many messages as it may have been are taken one by one: only
    /// the unreadable one reaches the delivery limit, and goes to the dead-letter queue. (Its neighbours count
    /// one failed delivery per instance, which the delivery limit has to allow for.)
    async fn session(&self, jobs: &Sender<Job<Ticket>>, one_by_one: bool) -> Result<(), Error> {
        let prefetch = if one_by_one { 1 } else { self.prefetch };
        let connection = connect(&self.url, Role::Consumer).await?;
        let channel = within(RPC_TIMEOUT, "open a channel", connection.create_channel()).await?;
        within(RPC_TIMEOUT, "declare the queues", self.topology.declare(&channel)).await?;
        let qos = channel.basic_qos(prefetch, BasicQosOptions::default());
        within(RPC_TIMEOUT, "set the prefetch", qos).await?;
        let queue = self.topology.work_queue.as_str();
        let tag = ShortString::from(format!("florin-{}", std::process::id()));
        let consume =
            channel.basic_consume(queue.into(), tag, BasicConsumeOptions::default(), FieldTable::default());
        let mut deliveries = within(RPC_TIMEOUT, "start the consumer", consume).await?;
        self.link.register(Role::Consumer, &connection);
        tracing::info!(queue, prefetch, "taking requests");
        let session = Arc::new(Session { channel, objections: Mutex::default(), _connection: connection });
        let mut taken: u16 = 0;
        loop {
            let delivery = deliveries.next().await.ok_or(Error::Cancelled)?.map_err(Error::taking)?;
            if one_by_one && taken == self.prefetch {
                tracing::info!("requests are taken together again");
                return Ok(());
            }
            taken = taken.saturating_add(1);
            if jobs.send(self.job(&session, &delivery)).await.is_err() {
                return Ok(());
            }
        }
    }

    fn job(&self, session: &Arc<Session>, delivery: &Delivery) -> Job<Ticket> {
        let properties = &delivery.properties;
        let kind = properties.kind().as_ref();
        let operation = operation(delivery.exchange.as_str(), &delivery.routing_key, kind).clone();
        let reply_to = properties.reply_to().clone().filter(|queue| !queue.as_str().is_empty());
        let correlation_id = properties.correlation_id().clone();
        let envelope = Envelope {
            operation: operation.as_str(),
            exchange: published_to(delivery.exchange.as_str(), properties),
            // An empty one cannot be meant as an identity: it would be the same for everybody.
            message_id: properties.message_id().as_ref().map(ShortString::as_str).filter(|id| !id.is_empty()),
            reply_to: reply_to.as_ref().map(ShortString::as_str),
            correlation_id: correlation_id.as_ref().map(ShortString::as_str),
            first_received_at: is_first_delivery(delivery).then(SystemTime::now),
            user_id: properties.user_id().as_ref().map(ShortString::as_str),
            on_behalf_of: on_behalf_of(properties),
            speaks_for_others: self.access.speaks_for_others(properties),
        };
        let request = match self.access.bar(properties, &self.topology.work_queue) {
            Some(barred) => Err(barred),
            None => decode(&envelope, &delivery.data, &self.body_limits).map_err(Rejection::Refused),
        };
        let longest = self.body_limits.max_body_bytes.max(self.body_limits.max_batch_body_bytes);
        let received_at = Instant::now();
        Job {
            received_at,
            size_bytes: size_of::<Job<Ticket>>() + delivery.data.len(),
            ticket: Ticket {
                session: Arc::clone(session),
                delivery_tag: delivery.delivery_tag,
                operation,
                reply_to,
                correlation_id,
                original: Original::of(delivery, &request, longest),
                received_at,
                _in_flight: InFlight::new(&self.metrics.in_flight_requests),
            },
            request,
        }
    }
}

/// Whether the request cannot have been applied yet. One that comes out of the dead-letter queue can.
fn is_first_delivery(delivery: &Delivery) -> bool {
    !delivery.redelivered && !is_requeued(&delivery.properties)
}
