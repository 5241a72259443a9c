//! What the unique key of transactions guarantees, read from the table itself: an index can be damaged.

use super::Check;
use super::scope::{Condition, broken};

/// The legs `x` of transactions. The condition on ctid keeps PostgreSQL from using an index.
const IDENTITIES: &str = "
    (SELECT transaction_id, leg, count(*) AS copies FROM postings
      WHERE ctid >= '(0,0)' GROUP BY transaction_id, leg) x";

pub(super) fn conditions() -> Vec<Condition> {
    vec![Condition::new(
        Check::Identities,
        "x.copies = 1",
        "format('leg %s once', x.leg)",
        "format('leg %s %s times', x.leg, x.copies)",
    )]
}

/// Counts the legs of transactions.
pub(super) fn count() -> String {
    format!(
        "SELECT NULL::int4 AS ticker_id, broken, count(*) AS rows, sum(copies)::int8 AS examined, NULL::text AS amount
           FROM (SELECT x.copies, {} AS broken FROM {IDENTITIES} OFFSET 0) x
          GROUP BY broken",
        broken(&conditions(), 0)
    )
}

/// Lists legs that occur more than once, each with its first posting.
pub(super) fn list(condition: &Condition, limit: usize) -> String {
    let Condition { sound, expected, found, .. } = condition;
    format!(
        "SELECT p.wallet_id, coalesce(t.name, '#' || p.ticker_id) AS ticker, p.version, x.transaction_id,
                {expected} AS expected, {found} AS found
           FROM (SELECT * FROM {IDENTITIES} WHERE ({sound}) IS NOT TRUE
                  ORDER BY transaction_id, leg LIMIT {limit}) x
          CROSS JOIN LATERAL (SELECT * FROM postings p
                               WHERE p.transaction_id = x.transaction_id AND p.leg = x.leg
                               ORDER BY p.wallet_id, p.ticker_id, p.version LIMIT 1) p
           LEFT JOIN tickers t USING (ticker_id)
          ORDER BY x.transaction_id, x.leg"
    )
}
