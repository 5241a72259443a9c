//! Appends the changes of a batch: one statement, whatever the size of the batch.

use std::collections::HashSet;

use deadpool_postgres::GenericClient;
use florin_ledger::{Change, Decimal, ErrorCode, Posting, Status, Transaction, WalletId};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::Error;

/// Sent as arrays, one per column. Amounts travel as text, which PostgreSQL reads exactly.
const INSERT: &str = "
    INSERT INTO postings (wallet_id, ticker_id, version, transaction_id, part, operation, status, error,
                          amount, actual_after, frozen_after, held, request_hash, redelivered, created_at,
                          counterparty_wallet_id, metadata, expires_at, requested_by)
    SELECT * FROM unnest($1::int8[], $2::int4[], $3::int8[], $4::uuid[], $5::int2[], $6::text[], $7::text[],
                         $8::text[], $9::text[]::numeric[], $10::text[]::numeric[], $11::text[]::numeric[],
                         $12::bool[], $13::bytea[], $14::bool[], $15::timestamptz[], $16::int8[],
                         $17::text[]::json[], $18::timestamptz[], $19::text[])";

/// Before [`INSERT`], when transactions begin or cease to wait.
const KEEP_HOLDS: &str = "
    WITH opened AS (
         INSERT INTO holds (transaction_id, created_at, expires_at)
         SELECT * FROM unnest($20::uuid[], $21::timestamptz[], $22::timestamptz[])),
         ended AS (DELETE FROM holds WHERE transaction_id = ANY($23::uuid[]))";

/// Appends the postings in the order of their chains, so that batches that collide wait for each other in
/// one direction.
pub(super) async fn append(client: &impl GenericClient, changes: &[Change]) -> Result<(), Error> {
    let mut rows: Vec<Row<'_>> =
        changes.iter().flat_map(|change| change.postings().map(move |posting| (change, posting))).collect();
    rows.sort_unstable_by_key(|(change, posting)| {
        (posting.wallet_id, change.transaction.ticker.id, posting.after.version)
    });
    let columns: [&(dyn ToSql + Sync); 19] = [
        &column(&rows, |_, posting| posting.wallet_id),
        &column(&rows, |change, _| change.transaction.ticker.id),
        &column(&rows, |_, posting| posting.after.version),
        &column(&rows, |change, _| change.transaction.id),
        &column(&rows, |_, posting| posting.part),
        &column(&rows, |change, _| change.transaction.operation.as_str()),
        &column(&rows, |change, _| change.transaction.status().as_str()),
        &column(&rows, |change, _| change.transaction.error().map(ErrorCode::as_str)),
        &column(&rows, |change, _| text(change, change.transaction.moved())),
        &column(&rows, |change, posting| text(change, posting.after.actual)),
        &column(&rows, |change, posting| text(change, posting.after.frozen)),
        &column(&rows, |_, posting| posting.after.held),
        &opening(&rows, |transaction| Some(transaction.request_hash.as_slice())),
        &column(&rows, |change, posting| posting.part == 0 && change.transaction.redelivered),
        &column(&rows, |_, posting| posting.after.created_at),
        &column(&rows, |change, posting| change.transaction.counterparty_of(posting.wallet_id)),
        &opening(&rows, |transaction| transaction.metadata.as_deref()),
        &opening(&rows, |transaction| transaction.expires_at),
        &column(&rows, |change, posting| requested_by(&change.transaction, posting.part)),
    ];
    let holds = Holds::of(changes);
    let stored = if holds.opened.is_empty() && holds.ended.is_empty() {
        let statement = client.prepare_cached(INSERT).await?;
        client.execute(&statement, &columns).await?
    } else {
        let statement = client.prepare_cached(&format!("{KEEP_HOLDS}{INSERT}")).await?;
        let opened = holds.opened.as_slice();
        let holds: [&(dyn ToSql + Sync); 4] = [
            &opened.iter().map(|transaction| transaction.id).collect::<Vec<_>>(),
            &opened.iter().map(|transaction| transaction.created_at).collect::<Vec<_>>(),
            &opened.iter().map(|transaction| transaction.expires_at).collect::<Vec<_>>(),
            &holds.ended,
        ];
        client.execute(&statement, &[columns.as_slice(), &holds].concat()).await?
    };
    // A trigger or a rule that is not ours could swallow them.
    if stored == rows.len() as u64 { Ok(()) } else { Err(Error::NotStored { stored, given: rows.len() }) }
}

type Row<'a> = (&'a Change, &'a Posting);

fn column<'a, T>(rows: &[Row<'a>], mut value: impl FnMut(&'a Change, &'a Posting) -> T) -> Vec<T> {
    rows.iter().map(|(change, posting)| value(change, posting)).collect()
}

/// What only the row that opens a transaction tells.
fn opening<'a, T>(rows: &[Row<'a>], value: impl Fn(&'a Transaction) -> Option<T>) -> Vec<Option<T>> {
    column(rows, |change, posting| if posting.part == 0 { value(&change.transaction) } else { None })
}

/// Who opened the transaction, or who ended it. The payee's side tells neither.
fn requested_by(transaction: &Transaction, part: i16) -> Option<&str> {
    match part {
        0 => transaction.requested_by.as_deref(),
        2 => transaction.ending.as_ref()?.requested_by.as_deref(),
        _ => None,
    }
}

fn text(change: &Change, units: i128) -> String {
    Decimal::from_minor(units, change.transaction.ticker.scale).to_string()
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
        let (ended, opened): (Vec<_>, Vec<_>) = waiting.partition(|transaction| transaction.ending.is_some());
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
