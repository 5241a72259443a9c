//! Attempts that are not sent yet, and how they become messages.
//!
//! Attempts that arrive while messages are in flight are collected here, and sent as one message when one of
//! those is answered. Nothing waits for a timer: a lone attempt is sent at once, as a plain message.

use std::collections::VecDeque;
use std::sync::Arc;

use florin_wire::{BatchWriter, MAX_BATCH_OPERATIONS};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::message::{Call, Message, Outgoing};
use crate::options::Coalescing;
use crate::response::{RawReply, Response};

/// The outcome of an attempt. None if it is unknown, because the connection was lost.
pub(crate) type Outcome = Result<Answer, AttemptError>;

/// An answer, by how it arrived.
#[derive(Debug)]
pub(crate) enum Answer {
    /// In a message of its own.
    Alone(RawReply),
    /// As one result of a batch.
    InBatch(Response),
}

/// Why an attempt was not accepted, if that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttemptError {
    /// No queue is bound: the broker returned the message.
    Unroutable,
    /// The queue rejected the message.
    Nacked,
    /// The batch was refused: resend alone.
    BatchRefused,
}

/// One attempt of a call, and its place among the calls in flight.
///
/// The place is released when the attempt is dropped, not when its caller stops waiting, so that nothing
/// here can grow beyond the number of places.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) message: Arc<Message>,
    /// Whether this is a retry. A retry is sent alone: what failed together with others must not fail again
    /// because of them.
    pub(crate) is_retry: bool,
    pub(crate) waiting: Waiting,
}

/// A caller who waits for an answer.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) outcome: oneshot::Sender<Outcome>,
    pub(crate) _place: OwnedSemaphorePermit,
}

/// A message that is ready to send.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) outgoing: Outgoing,
    /// The callers, in the order of their calls.
    pub(crate) callers: Vec<Waiting>,
    /// Whether it counts toward the messages that others wait for.
    pub(crate) is_counted: bool,
}

/// Attempts in the order in which they arrived.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Retries, which do not wait for messages in flight.
    retries: VecDeque<Attempt>,
    first: VecDeque<Attempt>,
}

impl Waiting {
    pub(crate) fn gave_up(&self) -> bool {
        self.outcome.is_closed()
    }

    /// The caller may have stopped waiting by now.
    pub(crate) fn send(self, outcome: Outcome) {
        let _ = self.outcome.send(outcome);
    }
}

impl Queue {
    pub(crate) fn extend(&mut self, attempts: impl IntoIterator<Item = Attempt>) {
        for attempt in attempts {
            if attempt.is_retry { &mut self.retries } else { &mut self.first }.push_back(attempt);
        }
    }

    /// Drops attempts whose callers stopped waiting.
    pub(crate) fn sweep(&mut self) {
        self.retries.retain(|attempt| !attempt.waiting.gave_up());
        self.first.retain(|attempt| !attempt.waiting.gave_up());
    }

    /// The next message. None if there is nothing to send, or if the next attempt has to wait for one of the
    /// messages `in_flight`. Without `coalescing`, every attempt is a message.
    pub(crate) fn next_dispatch(
        &mut self,
        coalescing: Option<&Coalescing>,
        in_flight: usize,
    ) -> Option<Dispatch> {
        if let Some(attempt) = next_if(&mut self.retries, |_| true) {
            return Some(Dispatch::alone(attempt, false));
        }
        let has_room = coalescing.is_none_or(|limits| in_flight < limits.messages_in_flight.max(1));
        let may_send = |attempt: &Attempt| has_room || attempt.message.coalescable().is_none();
        let attempt = next_if(&mut self.first, may_send)?;
        match coalescing {
            Some(limits) if attempt.message.coalescable().is_some() => Some(self.coalesce(attempt, limits)),
            _ => Some(Dispatch::alone(attempt, false)),
        }
    }

    /// The largest message that the first attempt and those after it make up together.
    fn coalesce(&mut self, first: Attempt, limits: &Coalescing) -> Dispatch {
        if self.first.is_empty() {
            return Dispatch::alone(first, true);
        }
        let max_calls = limits.max_calls.min(MAX_BATCH_OPERATIONS);
        let mut writer = BatchWriter::new();
        let mut coalesced = Vec::new();
        let mut next = Some(first);
        while let Some(attempt) = next
            && let Some(call) = attempt.message.coalescable()
        {
            let (operation, id) = (call.operation.as_str(), Some(call.message_id.as_str()));
            writer.push(operation, id, call.on_behalf_of.as_deref(), &call.body);
            coalesced.push(attempt);
            let fits = |call: &Call| {
                coalesced.len() < max_calls && writer.size_bytes() + call.size_bytes() <= limits.max_bytes
            };
            next = next_if(&mut self.first, |attempt| attempt.message.coalescable().is_some_and(fits));
        }
        match <[Attempt; 1]>::try_from(coalesced) {
            Ok([only]) => Dispatch::alone(only, true),
            Err(coalesced) => {
                let callers = coalesced.into_iter().map(|attempt| attempt.waiting).collect();
                Dispatch { outgoing: Outgoing::batch(writer), callers, is_counted: true }
            }
        }
    }
}

/// Removes the first attempt whose caller still waits, if `take` accepts it.
fn next_if(attempts: &mut VecDeque<Attempt>, take: impl FnOnce(&Attempt) -> bool) -> Option<Attempt> {
    while attempts.pop_front_if(|attempt| attempt.waiting.gave_up()).is_some() {}
    attempts.pop_front_if(|attempt| take(attempt))
}

impl Dispatch {
    fn alone(attempt: Attempt, is_counted: bool) -> Self {
        Self { outgoing: attempt.message.outgoing(), callers: vec![attempt.waiting], is_counted }
    }
}
