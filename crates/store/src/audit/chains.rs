//! What can be checked on a posting and the one before it, and on the last of a chain.

use super::Check;
use super::scope::{Condition, broken};

/// The change of the actual balance by the rules; null if it depends on an opening that does not exist.
const TO_ACTUAL: &str = "
    CASE p.leg
         WHEN 0 THEN CASE WHEN p.status = 'Error' THEN 0
                          WHEN p.operation <> 'invoice' THEN -p.amount
                          WHEN p.status = 'Success' THEN p.amount
                          ELSE 0 END
         WHEN 2 THEN CASE WHEN p.operation = 'invoice' THEN 0 ELSE opened.amount END
                   + CASE WHEN p.status <> 'Success' THEN 0
                          WHEN p.operation = 'invoice' THEN p.amount
                          ELSE -p.amount END
         ELSE p.amount END";

/// The change of the frozen balance.
const TO_FROZEN: &str = "
    CASE WHEN p.leg = 2 THEN -opened.amount WHEN p.status = 'Created' THEN p.amount ELSE 0 END";

/// Conditions on every posting `c`. `before` is the version of the posting before it, negative if that
/// balance had never held anything, 0 if there is none.
fn of_steps() -> Vec<Condition> {
    vec![
        Condition::new(
            Check::Versions,
            "version - 1 = abs(before)",
            "(abs(c.before) + 1)::text",
            "c.version::text",
        ),
        Condition::new(
            Check::Balances,
            "actual_after = actual_before + to_actual AND frozen_after = frozen_before + to_frozen",
            "format('actual %s, frozen %s', coalesce((c.actual_before + c.to_actual)::text, 'unknown'),
                    coalesce((c.frozen_before + c.to_frozen)::text, 'unknown'))",
            "format('actual %s, frozen %s', c.actual_after, c.frozen_after)",
        ),
        Condition::new(
            Check::Times,
            "before_at IS NULL OR created_at >= before_at",
            "format('not before %s', c.before_at)",
            "c.created_at::text",
        ),
        Condition::new(
            Check::Held,
            "held = (moves OR before > 0)",
            "CASE WHEN c.held THEN 'never held anything' ELSE 'held something' END",
            "CASE WHEN c.held THEN 'held something' ELSE 'never held anything' END",
        ),
    ]
}

/// Conditions on the last posting `s` of a chain. A time in the future would carry over to all postings that
/// follow.
fn of_last() -> Vec<Condition> {
    vec![
        Condition::new(
            Check::Times,
            "NOT s.is_last OR s.created_at <= transaction_timestamp() + interval '1 minute'",
            "format('not after %s', transaction_timestamp())",
            "c.created_at::text",
        ),
        Condition::new(
            Check::Frozen,
            "NOT s.is_last OR s.frozen_after = coalesce(waiting.amount, 0)",
            "coalesce(c.waiting, 0)::text",
            "c.frozen_after::text",
        ),
        Condition::new(
            Check::Catalog,
            "NOT s.is_last
             OR EXISTS (SELECT FROM wallets w WHERE w.wallet_id = s.wallet_id)
                AND EXISTS (SELECT FROM tickers t WHERE t.ticker_id = s.ticker_id)",
            "'a wallet and a ticker that exist'",
            "concat_ws(', ', CASE WHEN t.name IS NULL THEN 'no such ticker' END,
                       CASE WHEN NOT EXISTS (SELECT FROM wallets w WHERE w.wallet_id = c.wallet_id)
                            THEN 'no such wallet' END)",
        ),
    ]
}

/// The conditions, in the order of their bits.
pub(super) fn conditions() -> Vec<Condition> {
    of_steps().into_iter().chain(of_last()).collect()
}

/// The postings of a range of wallets that are the last of their chain or break a condition.
///
/// OFFSET keeps PostgreSQL from moving expressions: what needs no neighbour is calculated before the sort,
/// and once, so that the sort carries little. Only resolutions of holds are joined with their openings, which
/// are in the same chain.
fn chains(from: i64, to: i64) -> String {
    let (of_steps, of_last) = (of_steps(), of_last());
    let steps = broken(&of_steps, 0);
    let last = broken(&of_last, of_steps.len());
    format!(
        "SELECT s.*, waiting.amount AS waiting, s.broken_steps + {last} AS broken
           FROM (SELECT c.*, {steps} AS broken_steps
                   FROM (SELECT p.*,
                                lag(CASE WHEN held THEN version ELSE -version END, 1, 0::int8) OVER chain AS before,
                                lag(actual_after, 1, 0::numeric) OVER chain AS actual_before,
                                lag(frozen_after, 1, 0::numeric) OVER chain AS frozen_before,
                                lag(created_at) OVER chain AS before_at,
                                lead(false, 1, true) OVER chain AS is_last
                           FROM (SELECT p.wallet_id, p.ticker_id, p.version, p.created_at, p.held,
                                        p.actual_after, p.frozen_after,
                                        {TO_ACTUAL} AS to_actual, {TO_FROZEN} AS to_frozen,
                                        p.leg <> 0 OR p.status <> 'Error' AS moves
                                   FROM postings p
                                   LEFT JOIN postings opened
                                          ON opened.transaction_id
                                             = CASE WHEN p.leg = 2 THEN p.transaction_id END
                                         AND opened.leg = 0 AND opened.status = 'Created'
                                         AND opened.wallet_id BETWEEN '{from}' AND '{to}'
                                  WHERE p.wallet_id BETWEEN '{from}' AND '{to}' OFFSET 0) p
                         WINDOW chain AS (PARTITION BY wallet_id, ticker_id ORDER BY version)) c
                 OFFSET 0) s
           LEFT JOIN (SELECT o.wallet_id, o.ticker_id, sum(o.amount) AS amount
                        FROM holds h
                        JOIN postings o ON o.transaction_id = h.transaction_id AND o.leg = 0
                       WHERE o.wallet_id BETWEEN '{from}' AND '{to}'
                       GROUP BY o.wallet_id, o.ticker_id) waiting USING (wallet_id, ticker_id)
          WHERE s.is_last OR s.broken_steps <> 0
         OFFSET 0"
    )
}

/// Counts postings by ticker and broken conditions, and adds up the last balances.
pub(super) fn count(from: i64, to: i64) -> String {
    format!(
        "SELECT ticker_id, broken, count(*) AS rows, count(*) FILTER (WHERE is_last) AS examined,
                (sum(actual_after + frozen_after) FILTER (WHERE is_last))::text AS amount
           FROM ({}) x
          GROUP BY ticker_id, broken",
        chains(from, to)
    )
}

/// Lists postings that break a condition.
pub(super) fn list(from: i64, to: i64, bit: usize, condition: &Condition, limit: usize) -> String {
    let Condition { expected, found, .. } = condition;
    format!(
        "SELECT c.wallet_id, coalesce(t.name, '#' || c.ticker_id) AS ticker, c.version,
                (SELECT p.transaction_id FROM postings p
                  WHERE (p.wallet_id, p.ticker_id, p.version) = (c.wallet_id, c.ticker_id, c.version) LIMIT 1)
                AS transaction_id, {expected} AS expected, {found} AS found
           FROM (SELECT * FROM ({}) x WHERE broken & {} <> 0
                  ORDER BY wallet_id, ticker_id, version LIMIT {limit}) c
           LEFT JOIN tickers t USING (ticker_id)
          ORDER BY c.wallet_id, c.ticker_id, c.version",
        chains(from, to),
        1 << bit,
    )
}
