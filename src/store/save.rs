//! Appends the postings of a batch: one statement, whatever the size of the batch.

use deadpool_postgres::GenericClient;
use florin_ledger::{Decimal, Posting, WalletId};
use tokio_postgres::types::ToSql;

use super::Error;

/// Sent as arrays, one per column. Amounts travel as text, which PostgreSQL reads exactly.
const INSERT: &str = "
    INSERT INTO postings (wallet_id, ticker_id, version, transaction_id, part, operation, status, error,
                          amount, actual_after, frozen_after, held, request_hash, redelivered, created_at)
    SELECT * FROM unnest($1::int8[], $2::int4[], $3::int8[], $4::uuid[], $5::int2[], $6::text[], $7::text[],
                         $8::text[], $9::text[]::numeric[], $10::text[]::numeric[], $11::text[]::numeric[],
                         $12::bool[], $13::bytea[], $14::bool[], $15::timestamptz[])";

/// Appends the postings in the order of their chains, so that batches that collide wait for each other in
/// one direction.
pub(super) async fn append(client: &impl GenericClient, postings: &mut [Posting]) -> Result<(), Error> {
    postings.sort_unstable_by_key(|posting| (posting.wallet_id, posting.ticker.id, posting.after.version));
    let postings = &*postings;
    let text = |posting: &Posting, units| Decimal::from_minor(units, posting.ticker.scale).to_string();
    let columns: [&(dyn ToSql + Sync); 15] = [
        &column(postings, |posting| posting.wallet_id),
        &column(postings, |posting| posting.ticker.id),
        &column(postings, |posting| posting.after.version),
        &column(postings, |posting| posting.transaction_id),
        &column(postings, |posting| posting.part),
        &column(postings, |posting| posting.operation.as_str()),
        &column(postings, |posting| posting.status.as_str()),
        &column(postings, |posting| posting.error.map(florin_ledger::ErrorCode::as_str)),
        &column(postings, |posting| text(posting, posting.amount)),
        &column(postings, |posting| text(posting, posting.after.actual)),
        &column(postings, |posting| text(posting, posting.after.frozen)),
        &column(postings, |posting| posting.after.held),
        &column(postings, |posting| posting.request_hash.as_slice()),
        &column(postings, |posting| posting.redelivered),
        &column(postings, |posting| posting.created_at),
    ];
    let statement = client.prepare_cached(INSERT).await?;
    client.execute(&statement, &columns).await?;
    Ok(())
}

fn column<'a, T>(postings: &'a [Posting], value: impl FnMut(&'a Posting) -> T) -> Vec<T> {
    postings.iter().map(value).collect()
}

/// Locks wallets against other batches that lock too, until the transaction ends; always in one order.
pub(super) async fn lock_wallets(client: &impl GenericClient, wallet_ids: &[WalletId]) -> Result<(), Error> {
    let sql = "SELECT wallet_id FROM wallets WHERE wallet_id = ANY($1) ORDER BY wallet_id FOR NO KEY UPDATE";
    let statement = client.prepare_cached(sql).await?;
    client.query(&statement, &[&wallet_ids]).await?;
    Ok(())
}
