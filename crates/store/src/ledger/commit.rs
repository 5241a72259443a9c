//! Commits a plan: one statement, whatever the size of the batch, that appends its postings if its
//! preconditions hold.

use std::collections::HashSet;
use std::time::SystemTime;

use deadpool_postgres::GenericClient;
use florin_ledger::{Change, ErrorCode, Posting, Status, Transaction, WalletId};
use postgres_types::ToSql;
use uuid::Uuid;

use super::plan::{Plan, Precondition};
use crate::numeric::Numeric;
use crate::{Error, Store};

const UNCHANGED: &str = include_str!("sql/unchanged.sql");
const APPEND: &str = include_str!("sql/append.sql");
const APPEND_IF_UNCHANGED: &str = include_str!("sql/append_if_unchanged.sql");
const APPEND_AND_KEEP_HOLDS: &str = include_str!("sql/append_and_keep_holds.sql");

impl Store {
    /// Commits a plan.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when a precondition does not hold or another writer was first. If
    /// [`Error::in_doubt`], the plan may have been committed all the same.
    pub async fn commit(&self, plan: &Plan) -> Result<(), Error> {
        if plan.changes.is_empty() && plan.precondition.is_none() {
            return Ok(());
        }
        self.with_connection(async |connection| commit(&*connection, plan).await).await
    }
}

/// As [`Store::commit`], on this connection.
pub(super) async fn commit(client: &impl GenericClient, plan: &Plan) -> Result<(), Error> {
    let (rows, holds) = (rows(&plan.changes), Holds::of(&plan.changes));
    let precondition = &plan.precondition;
    match (rows.len(), precondition.is_none()) {
        (0, true) => Ok(()),
        (0, false) => check(client, precondition).await,
        _ if !holds.is_empty() => {
            stored(append_and_keep_holds(client, precondition, &rows, &holds).await?, &rows, precondition)
        }
        (_, true) => stored(append(client, &rows).await?, &rows, precondition),
        (_, false) => stored(append_if_unchanged(client, precondition, &rows).await?, &rows, precondition),
    }
}

async fn check(client: &impl GenericClient, precondition: &Precondition) -> Result<(), Error> {
    let Precondition { tickers, wallet_ids, ticker_ids, versions } = precondition;
    let statement = client.prepare_cached(UNCHANGED).await?;
    match client.execute(&statement, &[tickers, wallet_ids, ticker_ids, versions]).await? {
        0 => Err(Error::Conflict),
        _ => Ok(()),
    }
}

async fn append(client: &impl GenericClient, rows: &[NewPosting<'_>]) -> Result<u64, Error> {
    let statement = client.prepare_cached(APPEND).await?;
    Ok(client.execute(&statement, &[&rows]).await?)
}

async fn append_if_unchanged(
    client: &impl GenericClient,
    precondition: &Precondition,
    rows: &[NewPosting<'_>],
) -> Result<u64, Error> {
    let Precondition { tickers, wallet_ids, ticker_ids, versions } = precondition;
    let statement = client.prepare_cached(APPEND_IF_UNCHANGED).await?;
    Ok(client.execute(&statement, &[tickers, wallet_ids, ticker_ids, versions, &rows]).await?)
}

async fn append_and_keep_holds(
    client: &impl GenericClient,
    precondition: &Precondition,
    rows: &[NewPosting<'_>],
    holds: &Holds<'_>,
) -> Result<u64, Error> {
    let Precondition { tickers, wallet_ids, ticker_ids, versions } = precondition;
    let opened: Vec<Uuid> = holds.opened.iter().map(|hold| hold.id).collect();
    let created_at: Vec<SystemTime> = holds.opened.iter().map(|hold| hold.created_at).collect();
    let expires_at: Vec<Option<SystemTime>> = holds.opened.iter().map(|hold| hold.expires_at).collect();
    let statement = client.prepare_cached(APPEND_AND_KEEP_HOLDS).await?;
    let parameters: [&(dyn ToSql + Sync); 9] = [
        tickers,
        wallet_ids,
        ticker_ids,
        versions,
        &rows,
        &opened,
        &created_at,
        &expires_at,
        &holds.resolved,
    ];
    Ok(client.execute(&statement, &parameters).await?)
}

/// Checks how many rows were appended: all; or none, because a precondition does not hold.
fn stored(stored: u64, rows: &[NewPosting<'_>], precondition: &Precondition) -> Result<(), Error> {
    match stored {
        0 if !precondition.is_none() => Err(Error::Conflict),
        // A foreign trigger or rule could swallow some of them.
        stored if stored != rows.len() as u64 => Err(Error::NotStored { stored, given: rows.len() }),
        _ => Ok(()),
    }
}

/// A posting on its way in: the type of this name, field by field.
#[derive(Debug, ToSql)]
#[postgres(name = "new_posting")]
struct NewPosting<'a> {
    wallet_id: WalletId,
    ticker_id: i32,
    version: i64,
    transaction_id: Uuid,
    leg: i16,
    operation: &'static str,
    status: &'static str,
    error: Option<&'static str>,
    amount: Numeric,
    actual_after: Numeric,
    frozen_after: Numeric,
    held: bool,
    counterparty_wallet_id: Option<WalletId>,
    request_hash: Option<&'a [u8]>,
    redelivered: bool,
    metadata: Option<&'a str>,
    created_at: SystemTime,
    expires_at: Option<SystemTime>,
    requested_by: Option<&'a str>,
}

impl<'a> NewPosting<'a> {
    fn new(change: &'a Change, posting: &Posting) -> Self {
        let transaction = &change.transaction;
        let numeric = |units| Numeric { units, scale: transaction.ticker.scale };
        // Only the row that opens a transaction carries what the request said.
        let opening = (posting.leg == 0).then_some(transaction);
        Self {
            wallet_id: posting.wallet_id,
            ticker_id: transaction.ticker.id,
            version: posting.after.version,
            transaction_id: transaction.id,
            leg: posting.leg,
            operation: transaction.operation.as_str(),
            status: transaction.status().as_str(),
            error: transaction.error().map(ErrorCode::as_str),
            amount: numeric(transaction.moved()),
            actual_after: numeric(posting.after.actual),
            frozen_after: numeric(posting.after.frozen),
            held: posting.after.held,
            counterparty_wallet_id: transaction.counterparty_of(posting.wallet_id),
            request_hash: opening.map(|transaction| transaction.request_hash.as_slice()),
            redelivered: opening.is_some_and(|transaction| transaction.redelivered),
            metadata: opening.and_then(|transaction| transaction.metadata.as_deref()),
            created_at: posting.after.created_at,
            expires_at: opening.and_then(|transaction| transaction.expires_at),
            requested_by: requested_by(transaction, posting.leg),
        }
    }
}

/// The rows to append, in the order of their chains, so that batches in conflict do not deadlock on them.
fn rows(changes: &[Change]) -> Vec<NewPosting<'_>> {
    let postings = changes.iter().flat_map(|change| change.postings().map(move |posting| (change, posting)));
    let mut postings: Vec<(&Change, &Posting)> = postings.collect();
    postings.sort_unstable_by_key(|(change, posting)| {
        (posting.wallet_id, change.transaction.ticker.id, posting.after.version)
    });
    postings.into_iter().map(|(change, posting)| NewPosting::new(change, posting)).collect()
}

/// Who opened the transaction, or who resolved it; none on the payee's legs.
fn requested_by(transaction: &Transaction, leg: i16) -> Option<&str> {
    match leg {
        0 => transaction.requested_by.as_deref(),
        2 => transaction.resolution.as_ref()?.requested_by.as_deref(),
        _ => None,
    }
}

/// The holds that a batch opens and resolves. One that it opens and resolves itself is in neither list.
struct Holds<'a> {
    opened: Vec<&'a Transaction>,
    resolved: Vec<Uuid>,
}

impl<'a> Holds<'a> {
    fn of(changes: &'a [Change]) -> Self {
        let transactions = changes.iter().map(|change| &change.transaction);
        let mut holds = transactions.filter(|transaction| transaction.opened == Status::Created).peekable();
        if holds.peek().is_none() {
            return Self { opened: Vec::new(), resolved: Vec::new() };
        }
        let (resolved, opened): (Vec<_>, Vec<_>) =
            holds.partition(|transaction| transaction.resolution.is_some());
        let opened_here: HashSet<Uuid> = opened.iter().map(|transaction| transaction.id).collect();
        let resolved_here: HashSet<Uuid> = resolved.iter().map(|transaction| transaction.id).collect();
        Self {
            opened: opened.into_iter().filter(|hold| !resolved_here.contains(&hold.id)).collect(),
            resolved: resolved_here.difference(&opened_here).copied().collect(),
        }
    }

    const fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.resolved.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without comments and line breaks.
    fn plain(sql: &str) -> String {
        let code = sql.lines().filter(|line| !line.starts_with("--"));
        code.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
    }

    /// They repeat each other, so that each can be read and explained on its own.
    #[test]
    fn the_statements_agree() {
        let (unchanged, append) = (plain(UNCHANGED), plain(APPEND));
        let (insert, lock) = append.split_once("$1::new_posting[]) WHERE ").unwrap();
        let precondition = unchanged.strip_prefix("SELECT WHERE ").unwrap();
        for statement in [APPEND_IF_UNCHANGED, APPEND_AND_KEEP_HOLDS].map(plain) {
            let begin = format!("WITH unchanged AS ( SELECT WHERE {lock} AND {precondition})");
            assert!(statement.starts_with(&begin), "{statement}");
            let end = format!("{insert}$5::new_posting[]) WHERE EXISTS (SELECT FROM unchanged)");
            assert!(statement.ends_with(&end), "{statement}");
        }
    }
}
