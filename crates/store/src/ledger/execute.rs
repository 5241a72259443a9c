//! Plans and commits a batch, again after each conflict.

use florin_ledger::Group;

use super::commit;
use super::plan::{Executed, Plan};
use super::planner::Planner;
use crate::Error;

const TAKE_TURN: &str = include_str!("sql/take_turn.sql");

/// Executes the groups of a batch in their order, and returns when they are committed.
///
/// # Errors
///
/// Any error but [`Error::Conflict`]; [`Error::Contended`] after too many conflicts.
pub async fn execute(planner: &mut Planner, groups: &mut [Group]) -> Result<Executed, Error> {
    while !planner.contention.is_exhausted() {
        let executed = if planner.contention.needs_turn() {
            execute_in_turn(planner, groups).await
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

/// Plans and commits in one transaction, during which no other writer commits.
async fn execute_in_turn(planner: &mut Planner, groups: &mut [Group]) -> Result<Executed, Error> {
    let store = planner.store.clone();
    let mut planned = None;
    let committed = store
        .with_connection(async |connection| {
            let transaction = connection.transaction().await?;
            let statement = transaction.prepare_cached(TAKE_TURN).await?;
            transaction.execute(&statement, &[]).await?;
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
