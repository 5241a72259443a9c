//! Turns: they let every writer progress when writers conflict over the same wallets.
//!
//! Without conflicts writers do not wait for each other: a batch is planned on cached balances while the
//! one before is committed. The writer that loses a conflict takes a turn, in which no other commits, so
//! its batch is executed at the second attempt. Turns are served in order: a writer that always loses the
//! race would starve otherwise.

/// Maximum number of conflicts over one batch in a row; then it is retried later. In a turn there are none,
/// except with a writer that takes no turns, such as an older version.
const MAX_ROUNDS: u32 = 20;

/// The conflicts of this writer.
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

    /// Whether the present batch had a conflict, so that it needs a turn.
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

    /// Too many conflicts: the batch is retried later, and then begins in a turn.
    pub(super) const fn leave(&mut self) {
        self.rounds = 1;
    }

    pub(super) const fn end_batch(&mut self) {
        self.rounds = 0;
    }
}
