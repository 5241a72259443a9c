//! Cuts the work into scopes of about the same size.

use deadpool_postgres::ClientWrapper;

use super::scope::Scope;
use crate::Error;
use crate::rows::get;

/// Ranges of wallets per session. Each range reads the whole table and skips the other wallets, which costs a
/// tenth of what is done with a posting; so there are only as many as a progress bar needs.
const CHAIN_RANGES_PER_SESSION: usize = 2;
/// Blocks of the table per scope, 128 MiB. Dividing them costs nothing: every block is read once.
const BLOCKS_PER_SCOPE: i64 = 16_384;
/// More scopes would not make the progress more precise.
const MAX_BLOCK_SCOPES: i64 = 64;
/// How many blocks are sampled to find out which wallets have how many postings.
const SAMPLE_BLOCKS: i64 = 4_000;

/// The measured cost of a posting in each kind of scope, in an arbitrary unit.
const ROWS_WEIGHT: u64 = 3;
const CHAINS_WEIGHT: u64 = 8;
const TRANSACTIONS_WEIGHT: u64 = 2;

/// The scopes of an audit.
#[derive(Debug)]
pub(super) struct Plan {
    /// The largest first.
    pub(super) scopes: Vec<Scope>,
    /// The estimated number of postings.
    postings: u64,
    chain_ranges: u64,
    block_ranges: u64,
}

impl Plan {
    /// How much work a scope is.
    pub(super) const fn weight(&self, scope: Scope) -> u64 {
        match scope {
            Scope::Rows(..) => self.postings * ROWS_WEIGHT / self.block_ranges,
            Scope::Chains(..) => self.postings * CHAINS_WEIGHT / self.chain_ranges,
            Scope::Transactions | Scope::Identities => self.postings * TRANSACTIONS_WEIGHT,
        }
    }
}

/// Makes the plan. The findings do not depend on it.
pub(super) async fn make(session: &ClientWrapper, sessions: usize) -> Result<Plan, Error> {
    let sql = "SELECT pg_relation_size('postings') / current_setting('block_size')::int8 AS blocks";
    let blocks: i64 = get(&session.query_one(sql, &[]).await?, "blocks")?;
    let (bounds, postings) = sample(session, blocks, sessions * CHAIN_RANGES_PER_SESSION).await?;
    let chains = wallet_ranges(&bounds);
    let rows = block_ranges(blocks);
    let (chain_ranges, block_ranges) = (chains.len() as u64, rows.len() as u64);
    let scopes = [chains, vec![Scope::Transactions, Scope::Identities], rows].concat();
    Ok(Plan { scopes, postings, chain_ranges, block_ranges })
}

/// The highest wallet of each of `ranges` ranges with about the same number of postings, and about how many
/// postings there are.
async fn sample(session: &ClientWrapper, blocks: i64, ranges: usize) -> Result<(Vec<i64>, u64), Error> {
    let percent = (SAMPLE_BLOCKS * 100 / blocks.max(1)).clamp(1, 100);
    let sql = format!(
        "SELECT max(wallet_id) AS last_wallet, count(*) AS postings
           FROM (SELECT wallet_id, ntile({ranges}) OVER (ORDER BY wallet_id) AS range
                   FROM postings TABLESAMPLE SYSTEM ({percent}) REPEATABLE (1)) sample
          GROUP BY range
          ORDER BY range"
    );
    let rows = session.query(&sql, &[]).await?;
    let mut sampled: i64 = 0;
    for row in &rows {
        sampled += get::<i64>(row, "postings")?;
    }
    let bounds = rows.iter().map(|row| get(row, "last_wallet")).collect::<Result<_, Error>>()?;
    Ok((bounds, u64::try_from(sampled * 100 / percent).unwrap_or_default().max(1)))
}

/// Ranges up to each of these wallets; the last extends to the end.
fn wallet_ranges(bounds: &[i64]) -> Vec<Scope> {
    let (mut ranges, mut from) = (Vec::new(), i64::MIN);
    for bound in bounds.iter().take(bounds.len().saturating_sub(1)) {
        if let Some(next) = bound.checked_add(1).filter(|_| *bound >= from) {
            ranges.push(Scope::Chains(from, *bound));
            from = next;
        }
    }
    ranges.push(Scope::Chains(from, i64::MAX));
    ranges
}

fn block_ranges(blocks: i64) -> Vec<Scope> {
    let count = (blocks / BLOCKS_PER_SCOPE).clamp(1, MAX_BLOCK_SCOPES);
    let bound = |index: i64| Some(blocks * index / count).filter(|_| index > 0 && index < count);
    (0..count).map(|index| Scope::Rows(bound(index), bound(index + 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_wallets_leave_none_out() {
        let all = Scope::Chains(i64::MIN, i64::MAX);
        assert_eq!(wallet_ranges(&[]), [all]);
        assert_eq!(wallet_ranges(&[7]), [all]);
        // One wallet may have more postings than a range.
        let expected = [Scope::Chains(i64::MIN, 5), Scope::Chains(6, i64::MAX)];
        assert_eq!(wallet_ranges(&[5, 5, 5, 9]), expected);
        assert_eq!(wallet_ranges(&[i64::MAX, i64::MAX]), [all]);
    }

    #[test]
    fn ranges_of_blocks_leave_none_out() {
        assert_eq!(block_ranges(0), [Scope::Rows(None, None)]);
        assert_eq!(block_ranges(20_000), [Scope::Rows(None, None)]);
        let halves = [Scope::Rows(None, Some(16_500)), Scope::Rows(Some(16_500), None)];
        assert_eq!(block_ranges(33_000), halves);
        assert_eq!(block_ranges(i64::from(u32::MAX)).len(), 64);
    }
}
