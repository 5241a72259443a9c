//! Receives requests from the work queue and passes them on, decoded.
//!
//! The prefetch bounds how many requests are in the service: the broker sends no more until some are acknowledged.
//! Bodies are decoded at once and dropped, so that waiting requests take little memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use florin_amqp::Addresses;
use florin_metrics::{Health, Metrics};
use florin_wire::{Claim, Envelope, Limits, decode};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, on_behalf_of};
use crate::connection::{Error, INSTANCE, Link, RPC_TIMEOUT, Reconnect, Role, open, within};
use crate::dead_letter::{Original, is_requeued, published_to};
use crate::job::{Job, Rejection};
use crate::upkeep::Upkeep;
use crate::{InFlight, QueueOwner, Ticket, Topology, log, operation};

/// Maximum number of rejected reply addresses kept.
const MAX_REJECTED_ADDRESSES: usize = 1000;

/// Receives requests from the work queue.
#[derive(Debug)]
pub struct Consumer {
    /// Where the broker is.
    pub addresses: Addresses,
    /// The exchanges and queues to declare.
    pub topology: Topology,
    /// Maximum number of requests in the service.
    pub prefetch: u16,
    /// Longer bodies are refused.
    pub body_limits: Limits,
    /// Which requests are allowed.
    pub access: Access,
    /// The ledger that answers; none where there is no ledger.
    pub owner: Option<QueueOwner>,
    /// Shared state: is the connection up?
    pub link: Link,
    /// Where a missing exchange or queue is reported.
    pub health: Health,
    /// Counters of the process.
    pub metrics: Arc<Metrics>,
}

/// The connection that requests were delivered on, for their acks. It is closed when its last ticket is dropped.
#[derive(Debug)]
pub(super) struct Session {
    channel: Channel,
    /// Reply addresses that the broker rejects, with its error text, of requests that were requeued.
    rejected_addresses: Mutex<HashMap<ShortString, String>>,
    connection: Connection,
}

impl Session {
    /// Acknowledges this delivery and all before it. If the session has ended, the broker delivers them again.
    pub(super) async fn acknowledge_up_to(&self, delivery_tag: u64) {
        let options = BasicAckOptions { multiple: true };
        let answer = within(RPC_TIMEOUT, "take the ack", self.channel.basic_ack(delivery_tag, options));
        if let Err(error) = answer.await {
            tracing::warn!(%error, "ack failed: answered requests will be delivered again, and their answers repeated");
        }
    }

    /// Requeues a delivery. It counts toward the delivery limit, so it is not repeated for ever.
    pub(super) async fn requeue(&self, delivery_tag: u64) {
        let options = BasicRejectOptions { requeue: true };
        let answer = within(RPC_TIMEOUT, "take the reject", self.channel.basic_reject(delivery_tag, options));
        if let Err(error) = answer.await {
            tracing::warn!(%error, "reject failed: the request will be delivered again");
        }
    }

    /// Caches that the broker rejects a reply address, so that the redelivered request need not find out again.
    pub(super) fn cache_rejected_address(&self, reply_to: &ShortString, broker_says: &str) {
        let mut rejected = self.rejected_addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if rejected.len() >= MAX_REJECTED_ADDRESSES {
            rejected.clear();
        }
        rejected.insert(reply_to.clone(), broker_says.to_owned());
    }

    /// The broker's error text, if it rejected this reply address.
    pub(super) fn rejected_address(&self, reply_to: &ShortString) -> Option<String> {
        self.rejected_addresses.lock().unwrap_or_else(PoisonError::into_inner).get(reply_to).cloned()
    }

    /// Has the broker move a delivery to the dead-letter queue.
    pub(super) async fn reject(&self, delivery_tag: u64) {
        let options = BasicRejectOptions { requeue: false };
        let answer = within(RPC_TIMEOUT, "take the reject", self.channel.basic_reject(delivery_tag, options));
        if let Err(error) = answer.await {
            tracing::warn!(%error, "reject failed: the request will be delivered again");
        }
    }
}

impl Consumer {
    /// Passes requests to `jobs` until `shutdown`, or until `jobs` is closed.
    pub async fn run(self, jobs: Sender<Job<Ticket>>, shutdown: CancellationToken) {
        let mut reconnect = Reconnect::new(Role::Consumer, Arc::clone(&self.metrics));
        let mut upkeep = Upkeep::new(self.topology.clone(), self.health.clone());
        let mut one_by_one = false;
        let sessions = async {
            loop {
                let ended = self.session(&jobs, &mut upkeep, one_by_one).await;
                self.link.unregister(Role::Consumer);
                match ended {
                    Ok(()) if jobs.is_closed() => return,
                    Ok(()) => one_by_one = false,
                    Err(error @ Error::OtherLedger { .. }) => {
                        tracing::error!("{error}");
                        return;
                    }
                    // The same message again: the sooner it reaches the delivery limit, the better.
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

    /// Runs until something fails, `jobs` is closed, or enough requests were taken one by one.
    ///
    /// A message that cannot be decoded ends the session, and the broker counts a failed delivery for every message that
    /// it had sent ahead. So those are then taken one by one, up to the first that is not redelivered: only the bad one
    /// reaches the delivery limit and is dead-lettered. (Its neighbours count one failed delivery per instance, which
    /// the delivery limit has to allow for.)
    async fn session(
        &self,
        jobs: &Sender<Job<Ticket>>,
        upkeep: &mut Upkeep,
        one_by_one: bool,
    ) -> Result<(), Error> {
        let prefetch = if one_by_one { 1 } else { self.prefetch };
        let connection = open(&self.addresses, Role::Consumer.as_str()).await?;
        if let Some(owner) = &self.owner {
            owner.claim(&connection, &self.topology.work_queue).await?;
        }
        upkeep.declare(&connection).await?;
        let channel = within(RPC_TIMEOUT, "open a channel", connection.create_channel()).await?;
        let qos = channel.basic_qos(prefetch, BasicQosOptions::default());
        within(RPC_TIMEOUT, "set the prefetch", qos).await?;
        let queue = self.topology.work_queue.as_str();
        let tag = ShortString::from(format!("florin-{}", *INSTANCE));
        let consume =
            channel.basic_consume(queue.into(), tag, BasicConsumeOptions::default(), FieldTable::default());
        let mut deliveries = within(RPC_TIMEOUT, "start the consumer", consume).await?;
        self.link.register(Role::Consumer, &connection);
        if self.topology.single_active_consumer {
            let text = "consumer started; this instance becomes active when RabbitMQ chooses it";
            tracing::info!(queue, prefetch, "{text}");
        } else {
            tracing::info!(queue, prefetch, "consumer started");
        }
        let session = Arc::new(Session { channel, rejected_addresses: Mutex::default(), connection });
        let taking = async {
            let mut taken: u16 = 0;
            loop {
                let delivery = deliveries.next().await.ok_or(Error::Cancelled)??;
                if one_by_one && (taken == self.prefetch || !delivery.redelivered) {
                    tracing::info!("taking requests together again");
                    return Ok(());
                }
                if taken == 0 && self.topology.single_active_consumer {
                    tracing::info!(queue, "active: RabbitMQ delivers requests to this instance");
                }
                taken = taken.saturating_add(1);
                if jobs.send(self.job(&session, &delivery)).await.is_err() {
                    return Ok(());
                }
            }
        };
        tokio::select! {
            biased;
            ended = taking => ended,
            error = upkeep.keep(&session.connection) => Err(error),
        }
    }

    fn job(&self, session: &Arc<Session>, delivery: &Delivery) -> Job<Ticket> {
        let properties = &delivery.properties;
        let kind = properties.kind().as_ref();
        let operation = operation(delivery.exchange.as_str(), &delivery.routing_key, kind).clone();
        let reply_to = properties.reply_to().clone().filter(|queue| !queue.as_str().is_empty());
        let correlation_id = properties.correlation_id().clone();
        let max_bytes = self.body_limits.max_body_bytes.max(self.body_limits.max_batch_body_bytes);
        let claim = Claim {
            operation: operation.as_str(),
            message_id: properties.message_id().as_ref().map(ShortString::as_str),
            on_behalf_of: on_behalf_of(properties),
            body: &delivery.data,
        };
        // Nobody makes us hash a body that is refused for its length.
        let speaks_for_others =
            delivery.data.len() <= max_bytes && self.access.speaks_for_others(properties, &claim);
        let envelope = Envelope {
            operation: operation.as_str(),
            exchange: published_to(delivery.exchange.as_str(), properties),
            message_id: claim.message_id,
            reply_to: reply_to.as_ref().map(ShortString::as_str),
            correlation_id: correlation_id.as_ref().map(ShortString::as_str),
            first_received_at: is_first_delivery(delivery).then(SystemTime::now),
            user_id: properties.user_id().as_ref().map(ShortString::as_str),
            on_behalf_of: claim.on_behalf_of,
            speaks_for_others,
        };
        let request = match self.access.check(properties, &self.topology.work_queue) {
            Some(rejection) => Err(rejection),
            None => decode(&envelope, &delivery.data, &self.body_limits).map_err(Rejection::Refused),
        };
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
                log: log::Context::of(properties),
                original: Original::of(delivery, &request, max_bytes),
                received_at,
                _in_flight: InFlight::new(&self.metrics.in_flight_requests),
            },
            request,
        }
    }
}

/// Whether the request cannot have been applied yet. A requeued dead letter can.
fn is_first_delivery(delivery: &Delivery) -> bool {
    !delivery.redelivered && !is_requeued(&delivery.properties)
}
