//! When writers that fight over the same wallets take turns.
//!
//! Without conflicts writers do not wait for each other: a batch is planned on cached balances while the one
//! before is committed. The writer that loses a conflict takes a turn, in which nobody else commits, so its batch
//! is executed at the second attempt. Turns are served in order: a writer that always loses the race would
//! starve otherwise.

/// Conflicts over one batch before it is left for later. In a turn there are none, except with a writer that
/// knows nothing of turns.
const MAX_ROUNDS: u32 = 20;

/// How much this writer fights with others.
#[derive(Debug, Default)]
pub(super) struct Contention {
    /// Conflicts over the present batch.
    rounds: u32,
    /// Conflicts in all.
    conflicts: u64,
}

impl Contention {
    pub(super) const fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// Another writer was first: the present batch needs a turn.
    pub(super) const fn needs_turn(&self) -> bool {
        self.rounds > 0
    }

    pub(super) const fn is_exhausted(&self) -> bool {
        self.rounds >= MAX_ROUNDS
    }

    pub(super) const fn conflict(&mut self) {
        self.rounds += 1;
        self.conflicts += 1;
    }

    /// Other writers were first too often: the batch is tried again later, in a turn at once.
    pub(super) const fn leave(&mut self) {
        self.rounds = 1;
    }

    pub(super) const fn end_batch(&mut self) {
        self.rounds = 0;
    }
}
