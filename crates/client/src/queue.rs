//! Attempts that are not sent yet, and how they become messages.
//!
//! While a message travels, what comes meanwhile gathers here, and leaves in one message when there is room for it.
//! Nothing waits for a timer: a lone attempt leaves at once, as the plain message that it would be anyway.

use std::collections::VecDeque;
use std::sync::Arc;

use florin_wire::{BatchWriter, MAX_BATCH_OPERATIONS};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::message::{Call, Message, Outgoing};
use crate::options::Coalescing;
use crate::response::{RawReply, Response};

/// What became of one attempt. When there is none, nobody knows: the connection was lost.
pub(crate) type Outcome = Result<Answer, NotTaken>;

/// An answer, by the way it came.
#[derive(Debug)]
pub(crate) enum Answer {
    /// In a message of its own.
    Alone(RawReply),
    /// Together with others.
    Gathered(Response),
}

/// Why there is no answer, when that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// No queue takes it.
    Unroutable,
    /// The queue refused it.
    Refused,
    /// Nobody takes it together with others.
    OnlyAlone,
}

/// One attempt of a call, and its place among the calls in flight.
///
/// The place is given back when the attempt is forgotten, not when its caller turns away, so that nothing
/// here can grow beyond the number of places.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) message: Arc<Message>,
    /// Whether it is not the first one of its call. Such a one travels alone: what went wrong with others must not go
    /// wrong again because of them.
    pub(crate) again: bool,
    pub(crate) waiting: Waiting,
}

/// A caller.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) outcome: oneshot::Sender<Outcome>,
    pub(crate) _place: OwnedSemaphorePermit,
}

/// A message that is ready to leave.
#[derive(Debug)]
pub(crate) struct Departure {
    pub(crate) outgoing: Outgoing,
    /// Those who wait for its answer, in the order of their calls.
    pub(crate) callers: Vec<Waiting>,
    /// Whether others gather while it travels.
    pub(crate) holds_room: bool,
}

/// Attempts in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Of calls that were late already: nothing holds them up.
    again: VecDeque<Attempt>,
    first: VecDeque<Attempt>,
}

impl Waiting {
    pub(crate) fn is_gone(&self) -> bool {
        self.outcome.is_closed()
    }

    /// It may be gone by now.
    pub(crate) fn tell(self, outcome: Outcome) {
        let _ = self.outcome.send(outcome);
    }
}

impl Queue {
    pub(crate) fn extend(&mut self, attempts: impl IntoIterator<Item = Attempt>) {
        for attempt in attempts {
            if attempt.again { &mut self.again } else { &mut self.first }.push_back(attempt);
        }
    }

    /// Forgets what nobody waits for any more.
    pub(crate) fn sweep(&mut self) {
        self.again.retain(|attempt| !attempt.waiting.is_gone());
        self.first.retain(|attempt| !attempt.waiting.is_gone());
    }

    /// The next message. None when there is nothing to send, or what comes next has to wait for one of the
    /// `travelling` messages that hold room. Without `coalescing`, every attempt is a message.
    pub(crate) fn depart(&mut self, coalescing: Option<&Coalescing>, travelling: usize) -> Option<Departure> {
        if let Some(attempt) = next_if(&mut self.again, |_| true) {
            return Some(Departure::alone(attempt, false));
        }
        let has_room = coalescing.is_none_or(|limits| travelling < limits.messages_in_flight.max(1));
        let may_leave = |attempt: &Attempt| has_room || attempt.message.gatherable().is_none();
        let attempt = next_if(&mut self.first, may_leave)?;
        match coalescing {
            Some(limits) if attempt.message.gatherable().is_some() => Some(self.gather(attempt, limits)),
            _ => Some(Departure::alone(attempt, false)),
        }
    }

    /// The longest message that the first one and those after it make up together.
    fn gather(&mut self, first: Attempt, limits: &Coalescing) -> Departure {
        if self.first.is_empty() {
            return Departure::alone(first, true);
        }
        let max_calls = limits.max_calls.min(MAX_BATCH_OPERATIONS);
        let mut writer = BatchWriter::new();
        let mut gathered = Vec::new();
        let mut next = Some(first);
        while let Some(attempt) = next
            && let Some(call) = attempt.message.gatherable()
        {
            let (operation, id) = (call.operation.as_str(), Some(call.message_id.as_str()));
            writer.push(operation, id, call.on_behalf_of.as_deref(), &call.body);
            gathered.push(attempt);
            let fits = |call: &Call| {
                gathered.len() < max_calls && writer.size_bytes() + call.size_bytes() <= limits.max_bytes
            };
            next = next_if(&mut self.first, |attempt| attempt.message.gatherable().is_some_and(fits));
        }
        match <[Attempt; 1]>::try_from(gathered) {
            Ok([only]) => Departure::alone(only, true),
            Err(gathered) => {
                let callers = gathered.into_iter().map(|attempt| attempt.waiting).collect();
                Departure { outgoing: Outgoing::batch(writer), callers, holds_room: true }
            }
        }
    }
}

/// Takes the first attempt that somebody waits for, if it is to be taken.
fn next_if(attempts: &mut VecDeque<Attempt>, take: impl FnOnce(&Attempt) -> bool) -> Option<Attempt> {
    while attempts.pop_front_if(|attempt| attempt.waiting.is_gone()).is_some() {}
    attempts.pop_front_if(|attempt| take(attempt))
}

impl Departure {
    fn alone(attempt: Attempt, holds_room: bool) -> Self {
        Self { outgoing: attempt.message.outgoing(), callers: vec![attempt.waiting], holds_room }
    }
}
