//! Plans and commits a batch until no other writer is first.

use deadpool_postgres::GenericClient;
use florin_ledger::{Command, Group, WalletId};

use super::plan::{Executed, Plan};
use super::planner::{Planner, touched};
use super::{commit, reads};
use crate::Error;

pub(super) const LOCK_WALLETS: &str = include_str!("sql/lock_wallets.sql");

/// Executes the groups of a batch in their order, and returns when they are committed.
///
/// # Errors
///
/// Any error but [`Error::Conflict`]; [`Error::Contended`] after too many of those.
pub async fn execute(planner: &mut Planner, groups: &mut [Group]) -> Result<Executed, Error> {
    while !planner.contention.is_exhausted() {
        let executed = if planner.takes_turns() {
            execute_locked(planner, groups).await
        } else {
            execute_free(planner, groups).await
        };
        match executed {
            Err(Error::Conflict) => {}
            executed => return executed,
        }
    }
    planner.contention.leave();
    Err(Error::Contended)
}

async fn execute_free(planner: &mut Planner, groups: &mut [Group]) -> Result<Executed, Error> {
    let plan = planner.plan(groups).await?;
    let committed = planner.store.commit(&plan).await;
    finish(planner, Some(plan), committed)
}

/// Locks the wallets, plans and commits in one transaction: nobody who locks as well can come in between.
async fn execute_locked(planner: &mut Planner, groups: &mut [Group]) -> Result<Executed, Error> {
    let store = planner.store.clone();
    let mut planned = None;
    let committed = store
        .with_connection(async |connection| {
            let transaction = connection.transaction().await?;
            let wallet_ids = wallets_to_lock(&transaction, groups).await?;
            let statement = transaction.prepare_cached(LOCK_WALLETS).await?;
            transaction.query(&statement, &[&wallet_ids]).await?;
            let plan = planner.plan_with(&transaction, groups).await?;
            commit::commit(&transaction, planned.insert(plan)).await?;
            Ok(transaction.commit().await?)
        })
        .await;
    finish(planner, planned, committed)
}

fn finish(
    planner: &mut Planner,
    plan: Option<Plan>,
    committed: Result<(), Error>,
) -> Result<Executed, Error> {
    match (committed, plan) {
        (Ok(()), plan) => Ok(plan.map(|plan| planner.committed(plan)).unwrap_or_default()),
        (Err(error), Some(plan)) => {
            planner.void(&plan, &error);
            Err(error)
        }
        (Err(error), None) => {
            planner.note(&error);
            Err(error)
        }
    }
}

/// Which wallets a transaction touches never changes, so it can be read before they are locked.
async fn wallets_to_lock(client: &impl GenericClient, groups: &[Group]) -> Result<Vec<WalletId>, Error> {
    let named = groups.iter().flat_map(Group::commands).filter_map(Command::named_transaction);
    let transactions = reads::transactions(client, &named.collect::<Vec<_>>()).await?;
    Ok(touched(groups, &transactions))
}
