//! Receives requests from the work queue and passes them on, decoded.
//!
//! The prefetch bounds how many requests are in the service: the broker sends no more until some are
//! acknowledged. Bodies are decoded at once and dropped, so that waiting requests take little memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use florin_amqp::Addresses;
use florin_amqp::screen::UNDECODABLE;
use florin_metrics::{Health, Metrics};
use florin_wire::{Claim, Envelope, Limits, decode};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection};
use tokio::sync::mpsc::Sender;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, on_behalf_of};
use crate::connection::{Error, INSTANCE, Link, REPLY_SUCCESS, RPC_TIMEOUT, Reconnect, Role, open, within};
use crate::dead_letter::{Origin, Original};
use crate::job::{Job, Rejection};
use crate::upkeep::Upkeep;
use crate::{InFlight, QueueOwner, Ticket, Topology, log};

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
    /// Whether no requests are to be taken, because the database is away.
    pub paused: watch::Receiver<bool>,
    /// Shared state: is the connection up?
    pub link: Link,
    /// Where a missing exchange or queue is reported.
    pub health: Health,
    /// Counters of the process.
    pub metrics: Arc<Metrics>,
}

/// The connection that requests were delivered on, for their acks. It is closed when its last ticket is
/// dropped.
#[derive(Debug)]
pub(super) struct Session {
    channel: Channel,
    /// Reply addresses that the broker rejects, with its error text, of requests that were requeued.
    rejected_addresses: Mutex<HashMap<ShortString, String>>,
    connection: Connection,
}

impl Session {
    /// Acknowledges this delivery and all before it. If the session has ended, the broker delivers them
    /// again.
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

    /// Caches a reply address that the broker rejected, so that the redelivered request is dead-lettered at
    /// once.
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

    /// Requeues all deliveries that were not acked: they count one failed delivery.
    async fn requeue_all(&self) {
        let closed = self.channel.close(REPLY_SUCCESS, "paused".into());
        if let Err(error) = within(RPC_TIMEOUT, "close the channel", closed).await {
            tracing::warn!(%error, "closing the channel failed: the broker requeues its requests with the connection");
        }
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
    pub async fn run(mut self, jobs: Sender<Job<Ticket>>, shutdown: CancellationToken) {
        let mut reconnect = Reconnect::new(Role::Consumer, Arc::clone(&self.metrics));
        let mut upkeep = Upkeep::new(self.topology.clone(), self.health.clone());
        let sessions = async {
            // It ends with the engine, and so do these.
            while self.paused.wait_for(|paused| !paused).await.is_ok() && !jobs.is_closed() {
                let ended = self.session(&jobs, &mut upkeep).await;
                self.link.unregister(Role::Consumer);
                match ended {
                    Ok(()) => {}
                    Err(error @ Error::OtherLedger { .. }) => {
                        tracing::error!("{error}");
                        return;
                    }
                    Err(error) => reconnect.pause_after(&error).await,
                }
            }
        };
        shutdown.run_until_cancelled(sessions).await;
    }

    /// Runs until something fails, the service has paused, or `jobs` is closed.
    async fn session(&self, jobs: &Sender<Job<Ticket>>, upkeep: &mut Upkeep) -> Result<(), Error> {
        let prefetch = self.prefetch;
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
            let mut is_first = true;
            let (mut paused, mut resumed) = (self.paused.clone(), self.paused.clone());
            let mut paused = std::pin::pin!(paused.changed());
            loop {
                let delivery = tokio::select! {
                    biased;
                    delivery = deliveries.next() => delivery.ok_or(Error::Cancelled)??,
                    _ = &mut paused => {
                        session.requeue_all().await;
                        // The connection stays: it is not the broker that is away.
                        let _ = resumed.wait_for(|paused| !paused).await.is_ok();
                        return Ok(());
                    }
                };
                if std::mem::take(&mut is_first) && self.topology.single_active_consumer {
                    tracing::info!(queue, "active: RabbitMQ delivers requests to this instance");
                }
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
        let origin = Origin::of(delivery, &self.topology.work_queue);
        let operation = origin.operation(properties.kind().as_ref()).clone();
        let reply_to = properties.reply_to().clone().filter(|queue| !queue.as_str().is_empty());
        let correlation_id = properties.correlation_id().clone();
        let max_bytes = self.body_limits.max_body_bytes.max(self.body_limits.max_batch_body_bytes);
        let claim = Claim {
            operation: operation.as_str(),
            // An empty one is no identity: it would be the same for everybody.
            message_id: properties.message_id().as_ref().map(ShortString::as_str).filter(|id| !id.is_empty()),
            on_behalf_of: on_behalf_of(properties),
            body: &delivery.data,
        };
        // Nobody makes us hash a body that is refused for its length.
        let speaks_for_others =
            delivery.data.len() <= max_bytes && self.access.speaks_for_others(properties, &claim);
        let envelope = Envelope {
            operation: operation.as_str(),
            exchange: origin.exchange,
            message_id: claim.message_id,
            reply_to: reply_to.as_ref().map(ShortString::as_str),
            correlation_id: correlation_id.as_ref().map(ShortString::as_str),
            // Unless it may have been applied before.
            first_received_at: (!delivery.redelivered && !origin.was_dead).then(SystemTime::now),
            user_id: properties.user_id().as_ref().map(ShortString::as_str),
            on_behalf_of: claim.on_behalf_of,
            speaks_for_others,
        };
        let rejection =
            undecodable(properties).or_else(|| self.access.check(properties, &self.topology.work_queue));
        let request = match rejection {
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
                original: Original::of(delivery, origin, &request, max_bytes),
                received_at,
                _in_flight: InFlight::new(&self.metrics.in_flight_requests),
            },
            request,
        }
    }
}

/// What a request whose properties are not all there asks for is not known for certain, nor where its answer belongs.
fn undecodable(properties: &BasicProperties) -> Option<Rejection> {
    let names = properties.headers().as_ref()?.inner().get(UNDECODABLE)?;
    let names = match names {
        AMQPValue::LongString(names) => names.to_string(),
        _ => String::new(),
    };
    let reason = format!("the AMQP library cannot decode these properties: {}", names.escape_debug());
    Some(Rejection::NotAllowed { error: "undecodable", reason })
}
