//! What goes out: replies and events, encoded once, however often they have to be sent.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use florin_ledger::{Change, ErrorCode, Operation, Transaction};
use florin_wire::names::EVENTS_EXCHANGE;
use florin_wire::{Answered, BATCH, BatchReply, Event, Events, IDEMPOTENT_REPLAYED, Refusal, Reply};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::Ticket;
use super::given_up::{GivenUp, Original};
use crate::job::{Completed, Disposition, Done, Rejection};
use florin_metrics::UNKNOWN_OPERATION;

pub(super) const PERSISTENT: u8 = 2;
/// No reply is longer: RabbitMQ 4 takes no longer messages unless it is set up differently. Only look-ups get near.
const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;
/// A message tells at most so many steps: with the longest metadata that is a megabyte.
const MAX_EVENTS: usize = 250;

/// Requests that were executed together, and what is to be sent about them.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) requests: Vec<Outgoing>,
    pub(super) events: Vec<EncodedEvents>,
}

/// A request that was worked on.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) ticket: Ticket,
    /// None when the request cannot be answered.
    pub(super) reply: Option<EncodedReply>,
    /// Set when there is nothing more to send.
    pub(super) fate: OnceLock<Fate>,
    /// Set when there will be no reply: the request itself, for the dead-letter queue.
    pub(super) dead_letter: OnceLock<Message>,
    /// How often the broker closed the connection while this reply, alone, was on its way; from then on, how often
    /// the dead letter was sent.
    pub(super) objections: AtomicU32,
}

#[derive(Debug)]
pub(super) struct EncodedReply {
    pub(super) message: Message,
    pub(super) replayed: bool,
    /// The operation of the message.
    pub(super) operation: &'static str,
    /// How many answers it gives, by operation and code.
    pub(super) answers: HashMap<(&'static str, u16), u64>,
}

#[derive(Debug)]
pub(super) struct EncodedEvents {
    pub(super) message: Message,
    /// How many steps it tells.
    pub(super) count: usize,
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

/// What became of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was confirmed, or nobody waits for it.
    Sent,
    /// No queue took it: the client's is gone, or full. The client may ask again under the same identity.
    NoQueue,
    /// There is none, or the broker objects to it. The request is in the dead-letter queue, with the reason.
    PutAside,
    /// The same, but the request has to be delivered again first.
    GivenBack,
    /// The same, but all that can be done is to let the broker move it there.
    Impossible,
}

impl Batch {
    /// Encodes what is to be sent.
    pub(super) fn new(completed: Completed<Ticket>, with_events: bool) -> Self {
        let events = if with_events { EncodedEvents::of(&completed.changes) } else { Vec::new() };
        Self { requests: completed.done.into_iter().map(Outgoing::new).collect(), events }
    }
}

impl Outgoing {
    fn new(done: Done<Ticket>) -> Self {
        let Done { disposition, ticket } = done;
        let mut refused = None;
        let reply = match disposition {
            Disposition::Decided(command, outcome) => {
                let reply = Reply::to_command(&command, &outcome);
                Some(EncodedReply::new(&ticket, &reply, outcome.replayed))
            }
            Disposition::Rejected(Rejection::Refused(refusal)) => {
                Some(EncodedReply::new(&ticket, &Reply::refused(ticket.operation.as_str(), &refusal), false))
            }
            Disposition::Batch { atomic, items } => Some(EncodedReply::of_batch(&ticket, atomic, &items)),
            Disposition::Rejected(Rejection::Barred { error, reason }) => {
                refused = Some(GivenUp { error, reason });
                None
            }
            Disposition::Failed(reason) => {
                refused = Some(GivenUp::data_refused(reason));
                None
            }
        };
        let fate = OnceLock::new();
        let outgoing =
            Self { ticket, reply, fate, dead_letter: OnceLock::new(), objections: AtomicU32::new(0) };
        match (refused, &outgoing.ticket.reply_to) {
            (Some(given_up), _) => outgoing.give_up(&given_up),
            (None, Some(reply_to)) => outgoing.remember(reply_to),
            (None, None) => {
                let _ = outgoing.fate.set(Fate::Sent);
            }
        }
        outgoing
    }

    /// What came back because of its reply address need not be found out again.
    fn remember(&self, reply_to: &ShortString) {
        if matches!(self.ticket.original, Original::Kept(_))
            && let Some(words) = self.ticket.session.objection(reply_to)
        {
            self.give_up(&GivenUp::reply_to_refused(reply_to, &words));
        }
    }

    /// There will be no reply, for the broker closes the connection over it.
    pub(super) fn refuse_address(&self, words: &str) {
        if let Some(reply_to) = &self.ticket.reply_to {
            self.ticket.session.remember_objection(reply_to, words);
            self.give_up(&GivenUp::reply_to_refused(reply_to, words));
        }
    }

    /// There will be no reply.
    pub(super) fn give_up(&self, given_up: &GivenUp) {
        let operation = self.ticket.operation.as_str();
        let GivenUp { error, reason } = given_up;
        let fate = match &self.ticket.original {
            Original::NotKept => {
                tracing::warn!(operation, error, reason, "a request that cannot be answered is given back");
                Fate::GivenBack
            }
            Original::Kept(original) => {
                tracing::error!(operation, error, reason, "a request that cannot be answered is put aside");
                self.objections.store(0, Ordering::Relaxed);
                let _ = self.dead_letter.set(original.dead_letter(given_up));
                return;
            }
            Original::TooLong => {
                tracing::error!(operation, error, reason, "a request that cannot be answered is put aside");
                Fate::Impossible
            }
        };
        let _ = self.fate.set(fate);
    }

    /// Whether the request must not be acknowledged.
    pub(super) fn is_rejected(&self) -> bool {
        matches!(self.fate.get(), Some(Fate::GivenBack | Fate::Impossible))
    }
}

impl EncodedReply {
    fn new(ticket: &Ticket, reply: &Reply, replayed: bool) -> Self {
        let operation = known(ticket.operation.as_str());
        let message = Message::reply(ticket, reply, replayed);
        if message.body.len() > MAX_REPLY_BYTES {
            let reason = format!("the answer has more than {MAX_REPLY_BYTES} bytes: ask for less");
            let refusal = Refusal { code: ErrorCode::TooLarge, reason };
            return Self::new(ticket, &Reply::refused(ticket.operation.as_str(), &refusal), false);
        }
        Self { message, replayed, operation, answers: HashMap::from([((operation, reply.code), 1)]) }
    }

    /// The answer to a batch counts as one, and so does the answer to each of its operations.
    fn of_batch(ticket: &Ticket, atomic: bool, items: &[Answered]) -> Self {
        let BatchReply { reply, replayed } = BatchReply::new(atomic, items);
        let mut encoded = Self::new(ticket, &reply, replayed);
        for item in items {
            *encoded.answers.entry((known(&item.operation), item.code())).or_default() += 1;
        }
        encoded
    }
}

/// The operation for a metric: what clients write must not make new series.
fn known(operation: &str) -> &'static str {
    match operation {
        BATCH => BATCH,
        other => other.parse().map_or(UNKNOWN_OPERATION, Operation::as_str),
    }
}

impl EncodedEvents {
    /// Those with the same routing key share messages.
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
        Self { message, count: changes.len(), confirmed: OnceLock::new() }
    }
}

impl Message {
    /// To the queue that waits for it, through the default exchange.
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

fn properties() -> BasicProperties {
    BasicProperties::default().with_content_type("application/json".into()).with_delivery_mode(PERSISTENT)
}
