//! Answers one query without the broker: for the HTTP side.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use florin_ledger::{Command, Group, Outcome, Transaction, WalletId};
use uuid::Uuid;

use super::{Executed, Planner, execute, reads};
use crate::{Error, Store};

impl Store {
    /// Answers a query by the same rules, and in the same way, as if it had come through the broker.
    /// Nothing is cached, so the answer is right whichever instance writes.
    ///
    /// # Errors
    ///
    /// As [`execute`].
    ///
    /// # Panics
    ///
    /// When the command would write.
    pub async fn look_up(&self, command: Command) -> Result<(Command, Outcome), Error> {
        assert!(
            command.movement().is_none() && !matches!(command, Command::Resolve { .. }),
            "{command:?} is not a query"
        );
        let mut planner = Planner::new(self.clone(), NonZeroUsize::MIN, false);
        let mut groups = [Group::One(command)];
        let Executed { outcomes, .. } = execute(&mut planner, &mut groups).await?;
        let answered = groups.into_iter().flat_map(Group::into_commands).zip(outcomes).next();
        Ok(answered.expect("one command has one outcome"))
    }

    /// The wallets of each of these transactions that exists.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn wallets_of(&self, transaction_ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<WalletId>>, Error> {
        let transactions =
            self.with_connection(async |client| reads::transactions(&*client, transaction_ids).await).await?;
        let wallets_of =
            |found: &Transaction| std::iter::once(found.wallet_id).chain(found.to_wallet_id).collect();
        Ok(transactions.iter().map(|(id, found)| (*id, wallets_of(found))).collect())
    }
}
