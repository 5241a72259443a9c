//! When instances that fight over the same wallets take turns: from then on they lock the wallets first.

/// Conflicts over one batch before its wallets are locked.
const FREE_ROUNDS: u32 = 3;
/// Conflicts over one batch before it is left for later.
const MAX_ROUNDS: u32 = 20;
/// After a batch that had to lock, so many further ones lock from the start: while instances fight over
/// wallets, it saves the rounds that would fail.
const LOCKING_BATCHES: u32 = 50;

/// How much this writer fights with others.
#[derive(Debug, Default)]
pub(super) struct Contention {
    /// Conflicts over the present batch.
    rounds: u32,
    /// How many of the next batches lock their wallets from the start.
    locking_batches: u32,
    /// Conflicts in all.
    conflicts: u64,
}

impl Contention {
    pub(super) const fn conflicts(&self) -> u64 {
        self.conflicts
    }

    pub(super) const fn is_contended(&self) -> bool {
        self.rounds > 0
    }

    pub(super) const fn must_lock(&self) -> bool {
        self.rounds >= FREE_ROUNDS || self.locking_batches > 0
    }

    pub(super) const fn is_exhausted(&self) -> bool {
        self.rounds >= MAX_ROUNDS
    }

    pub(super) const fn conflict(&mut self) {
        self.rounds += 1;
        self.conflicts += 1;
    }

    pub(super) const fn committed(&mut self) {
        self.locking_batches = match self.rounds {
            FREE_ROUNDS.. => LOCKING_BATCHES,
            _ => self.locking_batches.saturating_sub(1),
        };
        self.rounds = 0;
    }

    /// Other writers were first too often: the batch is tried again later, and its wallets are locked at once
    /// then.
    pub(super) const fn leave(&mut self) {
        self.locking_batches = LOCKING_BATCHES;
        self.rounds = 0;
    }

    pub(super) const fn end_batch(&mut self) {
        self.rounds = 0;
    }
}
