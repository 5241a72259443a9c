//! Appends the changes of a batch, and proves what its balances rest on: one statement, whatever the size of the batch.

use std::collections::HashSet;
use std::time::SystemTime;

use deadpool_postgres::GenericClient;
use florin_ledger::{Change, ErrorCode, Posting, Status, Transaction, WalletId};
use postgres_types::ToSql;
use uuid::Uuid;

use super::Error;
use super::batch::Assumption;
use super::numeric::Numeric;

/// Whether an [`Assumption`] is true. A list of tickers that is null is no assumption. Chains have no gaps, so one that
/// has no next posting has no later ones. `OFFSET` keeps the planner to one look-up for each posting, whatever it
/// believes about the table.
const ASSUMPTION: &str = "
    WITH assumption AS (
         SELECT WHERE NOT EXISTS (SELECT FROM tickers WHERE ticker_id <> ALL($1::int[]))
                  AND NOT EXISTS (
                SELECT FROM unnest($2::bigint[], $3::int[], $4::bigint[]) AS next (wallet_id, ticker_id, version)
                 WHERE EXISTS (
                       SELECT FROM postings p
                        WHERE p.wallet_id = next.wallet_id AND p.ticker_id = next.ticker_id
                          AND p.version = next.version OFFSET 0)))";

/// After [`ASSUMPTION`], when nothing is written.
const IS_TRUE: &str = " SELECT FROM assumption";

/// Between [`ASSUMPTION`] and the postings, when transactions begin or cease to wait.
const KEEP_HOLDS: &str = ",
         opened AS (
         INSERT INTO holds (transaction_id, created_at, expires_at)
         SELECT * FROM unnest($6::uuid[], $7::timestamptz[], $8::timestamptz[])
          WHERE EXISTS (SELECT FROM assumption)),
         ended AS (
         DELETE FROM holds WHERE transaction_id = ANY($9::uuid[]) AND EXISTS (SELECT FROM assumption))";

/// The postings are sent as one array of rows (migration V5), which is the parameter that comes next.
const INSERT: &str = "
    INSERT INTO postings (wallet_id, ticker_id, version, transaction_id, leg, operation, status, error,
                          amount, actual_after, frozen_after, held, counterparty_wallet_id, request_hash,
                          redelivered, metadata, created_at, expires_at, requested_by)
    SELECT wallet_id, ticker_id, version, transaction_id, leg, operation, status, error,
           amount, actual_after, frozen_after, held, counterparty_wallet_id, request_hash,
           redelivered, metadata::json, created_at, expires_at, requested_by
      FROM unnest";

/// Where nothing is assumed.
const AT_ONCE: &str = "($1::new_posting[])";

/// After [`ASSUMPTION`].
const IF_SO: &str = "($5::new_posting[]) WHERE EXISTS (SELECT FROM assumption)";

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
        // What only the row that opens a transaction tells.
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

/// Appends the postings in the order of their chains, so that batches that collide wait for each other in
/// one direction. If the assumption is not true by now, nothing is appended and the key is taken; where there is
/// nothing to append, only that is asked.
pub(super) async fn commit(
    client: &impl GenericClient,
    changes: &[Change],
    assumption: &Assumption,
) -> Result<(), Error> {
    if changes.is_empty() && assumption.is_nothing() {
        return Ok(());
    }
    let postings = changes.iter().flat_map(|change| change.postings().map(move |posting| (change, posting)));
    let mut postings: Vec<(&Change, &Posting)> = postings.collect();
    postings.sort_unstable_by_key(|(change, posting)| {
        (posting.wallet_id, change.transaction.ticker.id, posting.after.version)
    });
    let rows: Vec<NewPosting<'_>> =
        postings.into_iter().map(|(change, posting)| NewPosting::new(change, posting)).collect();
    let holds = Holds::of(changes);
    let Assumption { ticker_ids, wallet_ids, posted_in, versions } = assumption;
    let all: [&(dyn ToSql + Sync); 9] = [
        ticker_ids,
        wallet_ids,
        posted_in,
        versions,
        &rows,
        &holds.opened.iter().map(|transaction| transaction.id).collect::<Vec<_>>(),
        &holds.opened.iter().map(|transaction| transaction.created_at).collect::<Vec<_>>(),
        &holds.opened.iter().map(|transaction| transaction.expires_at).collect::<Vec<_>>(),
        &holds.ended,
    ];
    let (sql, parameters) = if !holds.opened.is_empty() || !holds.ended.is_empty() {
        (format!("{ASSUMPTION}{KEEP_HOLDS}{INSERT}{IF_SO}"), &all[..])
    } else if assumption.is_nothing() {
        (format!("{INSERT}{AT_ONCE}"), &all[4..5])
    } else if rows.is_empty() {
        (format!("{ASSUMPTION}{IS_TRUE}"), &all[..4])
    } else {
        (format!("{ASSUMPTION}{INSERT}{IF_SO}"), &all[..5])
    };
    let statement = client.prepare_cached(&sql).await?;
    match client.execute(&statement, parameters).await? {
        0 if !assumption.is_nothing() => Err(Error::Conflict),
        1 if rows.is_empty() => Ok(()),
        // A trigger or a rule that is not ours could swallow them.
        stored if stored != rows.len() as u64 => Err(Error::NotStored { stored, given: rows.len() }),
        _ => Ok(()),
    }
}

/// Who opened the transaction, or who ended it. The payee's side tells neither.
fn requested_by(transaction: &Transaction, leg: i16) -> Option<&str> {
    match leg {
        0 => transaction.requested_by.as_deref(),
        2 => transaction.resolution.as_ref()?.requested_by.as_deref(),
        _ => None,
    }
}

/// The transactions that wait after these changes and did not before, and those that did and do no more.
struct Holds<'a> {
    opened: Vec<&'a Transaction>,
    ended: Vec<Uuid>,
}

impl<'a> Holds<'a> {
    fn of(changes: &'a [Change]) -> Self {
        let transactions = changes.iter().map(|change| &change.transaction);
        let mut waiting = transactions.filter(|transaction| transaction.opened == Status::Created).peekable();
        let mut holds = Self { opened: Vec::new(), ended: Vec::new() };
        if waiting.peek().is_none() {
            return holds;
        }
        let (ended, opened): (Vec<_>, Vec<_>) =
            waiting.partition(|transaction| transaction.resolution.is_some());
        let opened_here: HashSet<Uuid> = opened.iter().map(|transaction| transaction.id).collect();
        let ended: HashSet<Uuid> = ended.iter().map(|transaction| transaction.id).collect();
        holds.ended = ended.difference(&opened_here).copied().collect();
        holds.opened = opened.into_iter().filter(|transaction| !ended.contains(&transaction.id)).collect();
        holds
    }
}

/// Locks wallets against other batches that lock too, until the transaction ends; always in one order.
pub(super) async fn lock_wallets(client: &impl GenericClient, wallet_ids: &[WalletId]) -> Result<(), Error> {
    let sql = "SELECT wallet_id FROM wallets WHERE wallet_id = ANY($1) ORDER BY wallet_id FOR NO KEY UPDATE";
    let statement = client.prepare_cached(sql).await?;
    client.query(&statement, &[&wallet_ids]).await?;
    Ok(())
}
