//! What passes between the broker's side and the engine: requests in, results out.

use std::time::Instant;

use florin_ledger::{Change, Command, Outcome};
use florin_wire::{Answered, Decoded, Refusal};

/// A page of a history counts as at least this many commands: even a short one may have read many postings.
const LEAST_PAGE_WEIGHT: usize = 100;

/// A request for the engine, with the ticket that its reply needs.
#[derive(Debug)]
pub struct Job<T> {
    /// The decoded request, or its rejection, which is answered in turn.
    pub request: Result<Decoded, Rejection>,
    pub received_at: Instant,
    /// About how much memory this job holds, in bytes.
    pub size_bytes: usize,
    /// What the reply needs.
    pub ticket: T,
}

impl<T> Job<T> {
    /// How many commands this job carries. A page of a history counts as its postings, because others wait
    /// for it.
    #[must_use]
    pub fn commands(&self) -> usize {
        let weight = |command: &Command| match command {
            Command::History(query) => usize::from(query.limit).max(LEAST_PAGE_WEIGHT),
            _ => 1,
        };
        match &self.request {
            Ok(Decoded::One(command)) => weight(command),
            Ok(Decoded::Batch(batch)) => {
                batch.items.iter().map(|item| item.command.as_ref().map_or(1, weight)).sum()
            }
            Err(_) => 0,
        }
    }
}

/// Executed requests.
#[derive(Debug)]
pub struct Completed<T> {
    /// The requests, in their order.
    pub done: Vec<Done<T>>,
    /// The changes of transactions, for events.
    pub changes: Vec<Change>,
}

/// An executed request.
#[derive(Debug)]
pub struct Done<T> {
    pub completion: Completion,
    pub ticket: T,
}

/// The result of a request.
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all are of the large variant: a box for each would cost more"
)]
#[derive(Debug)]
pub enum Completion {
    /// The rules decided, and it is committed.
    Decided(Command, Outcome),
    /// The same for all commands of a batch.
    Batch {
        /// Whether all or none were to be applied.
        atomic: bool,
        /// The commands, in their order.
        items: Vec<Answered>,
    },
    /// It was not executed.
    Rejected(Rejection),
    /// The database refuses it for a reason that the rules do not know: it is dead-lettered.
    Failed(String),
    /// The database is away: it is requeued.
    Postponed,
}

/// Why a request is not executed.
#[derive(Debug)]
pub enum Rejection {
    /// It is invalid, and answered with this refusal.
    Refused(Refusal),
    /// It is not allowed, and dead-lettered without an answer.
    NotAllowed {
        /// A stable code.
        error: &'static str,
        /// For people.
        reason: String,
    },
}
