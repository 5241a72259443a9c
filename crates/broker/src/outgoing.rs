//! Replies and events, encoded once, however often they have to be sent.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use florin_ledger::{Change, ErrorCode, Operation, Transaction};
use florin_metrics::UNKNOWN_OPERATION;
use florin_wire::names::EVENTS_EXCHANGE;
use florin_wire::{Answered, BATCH, BatchReply, Event, Events, IDEMPOTENT_REPLAYED, Refusal, Reply};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::time::Instant;

use crate::dead_letter::{Original, Reason};
use crate::job::{Completed, Completion, Done, Rejection};
use crate::{Ticket, log};

pub(super) const PERSISTENT: u8 = 2;
/// RabbitMQ 4 refuses longer messages by default. Only queries get near.
const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;
/// Maximum number of events in a message: a megabyte with the longest metadata.
const MAX_EVENTS: usize = 250;

/// Requests that were executed together, with their replies and events.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) requests: Vec<Outgoing>,
    pub(super) events: Vec<EncodedEvents>,
}

/// A request and its reply.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) ticket: Ticket,
    /// None when there is no reply.
    pub(super) reply: Option<EncodedReply>,
    /// Set when there is nothing more to send.
    pub(super) disposition: OnceLock<Disposition>,
    /// Set when the request is dead-lettered: the copy with the reason.
    pub(super) dead_letter: OnceLock<Message>,
    /// How often the broker closed the connection over this reply, sent alone; for a dead letter, how often
    /// that was sent.
    pub(super) attempts: AtomicU32,
}

#[derive(Debug)]
pub(super) struct EncodedReply {
    pub(super) message: Message,
    pub(super) replayed: bool,
    pub(super) operation: &'static str,
    /// How many answers it holds, by operation and code.
    pub(super) answers: HashMap<(&'static str, u16), u64>,
}

#[derive(Debug)]
pub(super) struct EncodedEvents {
    pub(super) message: Message,
    pub(super) count: usize,
    /// Set when a queue refused them for the first time.
    pub(super) refused_at: OnceLock<Instant>,
    /// Set when the broker has them.
    pub(super) confirmed: OnceLock<()>,
}

/// A message and where it goes.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) exchange: &'static str,
    pub(super) routing_key: ShortString,
    pub(super) body: Vec<u8>,
    pub(super) properties: BasicProperties,
}

/// What happened to a request and its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposition {
    /// Acked: the reply was confirmed, or the request asked for none.
    Replied,
    /// Acked: no queue took the reply, because the client's is gone or full. The client may retry.
    Unroutable,
    /// Acked: a copy with the reason is in the dead-letter queue.
    DeadLettered,
    /// Neither acked nor rejected: the consumer ends its session, and so requeues it.
    Postponed,
    /// Requeued, to be dead-lettered when it is delivered again.
    Requeued,
    /// Rejected: the broker dead-letters it without a reason.
    Rejected,
}

impl Batch {
    pub(super) fn new(completed: Completed<Ticket>, with_events: bool) -> Self {
        let events = if with_events { EncodedEvents::of(&completed.changes) } else { Vec::new() };
        Self { requests: completed.done.into_iter().map(Outgoing::new).collect(), events }
    }
}

impl Outgoing {
    fn new(done: Done<Ticket>) -> Self {
        let Done { completion, ticket } = done;
        let operation = ticket.operation.as_str();
        let (mut refused, mut postponed) = (None, false);
        let reply = match completion {
            Completion::Postponed => {
                postponed = true;
                None
            }
            Completion::Decided(command, outcome) => {
                let reply = Reply::to_command(&command, &outcome);
                log::replied(operation, &ticket.log, &reply, Some(&outcome));
                Some(EncodedReply::new(&ticket, &reply, outcome.replayed))
            }
            Completion::Rejected(Rejection::Refused(refusal)) => {
                let reply = Reply::refused(operation, &refusal);
                log::replied(operation, &ticket.log, &reply, None);
                Some(EncodedReply::new(&ticket, &reply, false))
            }
            Completion::Batch { atomic, items } => Some(EncodedReply::of_batch(&ticket, atomic, &items)),
            Completion::Rejected(Rejection::NotAllowed { error, reason }) => {
                refused = Some(Reason { error, reason });
                None
            }
            Completion::Failed(reason) => {
                refused = Some(Reason::data_refused(reason));
                None
            }
        };
        let outgoing = Self {
            ticket,
            reply,
            disposition: OnceLock::new(),
            dead_letter: OnceLock::new(),
            attempts: AtomicU32::new(0),
        };
        match (refused, &outgoing.ticket.reply_to) {
            _ if postponed => {
                let _ = outgoing.disposition.set(Disposition::Postponed);
            }
            (Some(reason), _) => outgoing.dead_letter(&reason),
            (None, Some(reply_to)) => outgoing.check_cached_rejection(reply_to),
            (None, None) => {
                let _ = outgoing.disposition.set(Disposition::Replied);
            }
        }
        outgoing
    }

    /// Dead-letters a redelivered request whose reply address the broker rejected before.
    fn check_cached_rejection(&self, reply_to: &ShortString) {
        if matches!(self.ticket.original, Original::Kept(_))
            && let Some(broker_says) = self.ticket.session.rejected_address(reply_to)
        {
            self.dead_letter(&Reason::reply_to_refused(reply_to, &broker_says));
        }
    }

    /// The broker closes the connection over this reply address: dead-letters the request.
    pub(super) fn reject_address(&self, broker_says: &str) {
        if let Some(reply_to) = &self.ticket.reply_to {
            self.ticket.session.cache_rejected_address(reply_to, broker_says);
            self.dead_letter(&Reason::reply_to_refused(reply_to, broker_says));
        }
    }

    /// Dead-letters the request in place of answering it.
    pub(super) fn dead_letter(&self, reason: &Reason) {
        let Ticket { operation, log, original, .. } = &self.ticket;
        let disposition = match original {
            Original::NotKept => {
                log::requeued(operation.as_str(), log, reason);
                Disposition::Requeued
            }
            Original::Kept(original) => {
                log::dead_lettered(operation.as_str(), log, reason);
                self.attempts.store(0, Ordering::Relaxed);
                let _ = self.dead_letter.set(original.dead_letter(reason));
                return;
            }
            Original::TooLong => {
                log::dead_lettered(operation.as_str(), log, reason);
                Disposition::Rejected
            }
        };
        let _ = self.disposition.set(disposition);
    }

    /// Whether the request must not be acked.
    pub(super) fn is_not_acked(&self) -> bool {
        let disposition = self.disposition.get();
        matches!(disposition, Some(Disposition::Postponed | Disposition::Requeued | Disposition::Rejected))
    }
}

impl EncodedReply {
    fn new(ticket: &Ticket, reply: &Reply, replayed: bool) -> Self {
        let operation = known(ticket.operation.as_str());
        let message = Message::reply(ticket, reply, replayed);
        if message.body.len() > MAX_REPLY_BYTES {
            let reason = format!("the reply has more than {MAX_REPLY_BYTES} bytes: ask for less");
            let refusal = Refusal { code: ErrorCode::TooLarge, reason };
            return Self::new(ticket, &Reply::refused(ticket.operation.as_str(), &refusal), false);
        }
        Self { message, replayed, operation, answers: HashMap::from([((operation, reply.code), 1)]) }
    }

    /// The batch counts as one answer, and so does each of its operations.
    fn of_batch(ticket: &Ticket, atomic: bool, items: &[Answered]) -> Self {
        let BatchReply { reply, replayed } = BatchReply::new(atomic, items);
        log::replied(ticket.operation.as_str(), &ticket.log, &reply, None);
        let mut encoded = Self::new(ticket, &reply, replayed);
        for item in items {
            *encoded.answers.entry((known(&item.operation), item.code())).or_default() += 1;
        }
        encoded
    }
}

/// The operation as a metric label: clients must not be able to create series.
fn known(operation: &str) -> &'static str {
    match operation {
        BATCH => BATCH,
        other => other.parse().map_or(UNKNOWN_OPERATION, Operation::as_str),
    }
}

impl EncodedEvents {
    /// Events with the same routing key share messages.
    fn of(changes: &[Change]) -> Vec<Self> {
        let mut routes: BTreeMap<_, Vec<&Change>> = BTreeMap::new();
        for change in changes {
            let Transaction { operation, .. } = change.transaction;
            routes
                .entry((operation.as_str(), change.transaction.status().as_str()))
                .or_default()
                .push(change);
        }
        routes.values().flat_map(|changes| changes.chunks(MAX_EVENTS).map(Self::new)).collect()
    }

    fn new(changes: &[&Change]) -> Self {
        let events = Events { events: changes.iter().map(|change| Event::new(change)).collect() };
        let routing_key = events.events.first().map(Event::routing_key).unwrap_or_default();
        let message = Message {
            exchange: EVENTS_EXCHANGE,
            routing_key: routing_key.into(),
            body: events.to_json(),
            properties: properties(),
        };
        Self { message, count: changes.len(), refused_at: OnceLock::new(), confirmed: OnceLock::new() }
    }
}

impl Message {
    /// To the queue of `reply_to`, through the default exchange.
    fn reply(ticket: &Ticket, reply: &Reply, replayed: bool) -> Self {
        let mut properties = properties();
        if let Some(correlation_id) = &ticket.correlation_id {
            properties = properties.with_correlation_id(correlation_id.clone());
        }
        if replayed {
            let mut headers = FieldTable::default();
            headers.insert(IDEMPOTENT_REPLAYED.into(), AMQPValue::Boolean(true));
            properties = properties.with_headers(headers);
        }
        let routing_key = ticket.reply_to.clone().unwrap_or_default();
        Self { exchange: "", routing_key, body: reply.to_json(), properties }
    }
}

pub(super) fn properties() -> BasicProperties {
    BasicProperties::default().with_content_type("application/json".into()).with_delivery_mode(PERSISTENT)
}
