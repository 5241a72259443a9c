//! Answers one command that only reads, without the broker: for the HTTP side.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use florin_ledger::{Command, Group, Outcome, Transaction, WalletId};
use uuid::Uuid;

use super::load;
use super::{Batch, Error, Executed, Following, Store, Writer};

impl Store {
    /// What a look-up finds: by the same rules, and in the same way, as if it had come through the broker. Nothing
    /// is remembered, so the answer holds whoever writes.
    ///
    /// # Errors
    ///
    /// As [`Writer::execute`].
    ///
    /// # Panics
    ///
    /// When the command would write.
    pub async fn look_up(&self, command: Command) -> Result<(Command, Outcome), Error> {
        assert!(
            command.movement().is_none() && !matches!(command, Command::Resolve { .. }),
            "{command:?} is no look-up"
        );
        let mut writer = Writer::new(self.clone(), NonZeroUsize::MIN, false);
        let mut batch = Batch::from(vec![Group::One(command)]);
        let Executed { outcomes, .. } = writer.execute(&mut batch, &mut Following::default()).await?;
        let decided = batch.into_groups().into_iter().flat_map(Group::into_commands).zip(outcomes).next();
        Ok(decided.expect("one command has one outcome"))
    }

    /// The wallets of each of these transactions that exists.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn wallets_of(&self, transaction_ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<WalletId>>, Error> {
        let connection = self.connection().await?;
        let transactions = load::transactions(&connection, transaction_ids).await?;
        let wallets_of =
            |found: &Transaction| std::iter::once(found.wallet_id).chain(found.to_wallet_id).collect();
        Ok(transactions.iter().map(|(id, found)| (*id, wallets_of(found))).collect())
    }
}
