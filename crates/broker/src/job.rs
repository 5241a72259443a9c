//! What crosses the border between the broker's side and the engine: requests on their way in, answers on their way out.

use std::time::Instant;

use florin_ledger::{Change, Command, Outcome};
use florin_wire::{Answered, Decoded, Refusal};

/// A short page of a history may have looked at many postings.
const LEAST_PAGE_WEIGHT: usize = 100;

/// A request on its way in, with the ticket of the one who waits for the answer.
#[derive(Debug)]
pub struct Job<T> {
    /// What is asked; or why it was rejected already: then it only waits for its turn to be answered.
    pub request: Result<Decoded, Rejection>,
    /// When it was delivered.
    pub received_at: Instant,
    /// Memory that this job holds, about, in bytes.
    pub size_bytes: usize,
    /// What the answer needs to find its way.
    pub ticket: T,
}

impl<T> Job<T> {
    /// How many commands this job carries; a page of a history counts as its postings, for others wait for it.
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

/// Requests on their way out.
#[derive(Debug)]
pub struct Completed<T> {
    /// The requests, in their order.
    pub done: Vec<Done<T>>,
    /// What became of transactions meanwhile, for those who listen.
    pub changes: Vec<Change>,
}

/// A request on its way out.
#[derive(Debug)]
pub struct Done<T> {
    /// What became of it.
    pub disposition: Disposition,
    /// As it came with the job.
    pub ticket: T,
}

/// What became of a request.
#[allow(
    clippy::large_enum_variant,
    reason = "the large one is what nearly all are: a box for each would cost more"
)]
#[derive(Debug)]
pub enum Disposition {
    /// The rules decided, and the decision is committed.
    Decided(Command, Outcome),
    /// The same, of all commands of a batch.
    Batch {
        /// Whether all were to be done or none.
        atomic: bool,
        /// The commands, in their order.
        items: Vec<Answered>,
    },
    /// The rules did not get to see it.
    Rejected(Rejection),
    /// The database refuses it for a reason that the rules do not know: it cannot be answered.
    Failed(String),
}

/// Why the rules do not get to see a request.
#[derive(Debug)]
pub enum Rejection {
    /// It is answered with a refusal.
    Refused(Refusal),
    /// It must be neither worked on nor answered: it goes to the dead-letter queue.
    Barred {
        /// Why, for programs.
        error: &'static str,
        /// Why, for people.
        reason: String,
    },
}
