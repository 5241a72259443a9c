//! What can be checked on a posting by itself.

use florin_ledger::{ErrorCode, Operation};

use super::Check;
use super::scope::{Condition, broken};

/// Postings `p` with their tickers `t`. The offset keeps PostgreSQL from calculating the ceiling once per
/// posting.
const POSTINGS: &str = "
    postings p
    LEFT JOIN (SELECT ticker_id, name, scale, ('1e' || 36 - scale)::numeric AS ceiling FROM tickers OFFSET 0) t
           ON t.ticker_id = p.ticker_id";

/// What enters or leaves the ledger; null for a transfer, a refusal and a hold.
const MOVED: &str = "
    CASE WHEN p.status = 'Success' AND p.leg IN (0, 2)
         THEN CASE p.operation WHEN 'invoice' THEN p.amount WHEN 'withdraw' THEN -p.amount END END";

/// NaN is above all numbers and has no scale.
const AMOUNT: &str = "
    t.ticker_id IS NULL
    OR p.amount > 0 AND p.amount < t.ceiling AND (scale(p.amount) <= t.scale OR min_scale(p.amount) <= t.scale)";

const LIMITS: &str = "
    t.ticker_id IS NULL
    OR p.actual_after >= 0 AND p.frozen_after >= 0 AND p.actual_after + p.frozen_after < t.ceiling";

/// The conditions, in the order of their bits.
pub(super) fn conditions() -> Vec<Condition> {
    vec![
        Condition::new(
            Check::Limits,
            LIMITS,
            "format('each at least 0, together below 10^%s', 36 - t.scale)",
            "format('actual %s, frozen %s', p.actual_after, p.frozen_after)",
        ),
        Condition::new(
            Check::Amounts,
            AMOUNT,
            "format('above 0, below 10^%s, at most %s decimal places', 36 - t.scale, t.scale)",
            "p.amount::text",
        ),
        Condition::new(
            Check::Fields,
            fields(),
            "format('what a posting of leg %s is made of', p.leg)",
            "concat_ws(', ', p.operation, p.status, 'counterparty ' || p.counterparty_wallet_id,
                       'request hash of ' || octet_length(p.request_hash) || ' bytes',
                       'expires at ' || p.expires_at, 'metadata ' || left(p.metadata::text, 40),
                       'requested by ' || left(p.requested_by, 40))",
        ),
        Condition::new(
            Check::Errors,
            errors(),
            "CASE WHEN p.status <> 'Error' THEN 'no error' ELSE format('an error of leg %s', p.leg) END",
            "coalesce(p.error, 'no error')",
        ),
    ]
}

/// Leg 0 opens a transaction, and only it carries what the request said.
fn fields() -> String {
    let openers =
        names([Operation::Invoice, Operation::Withdraw, Operation::Transfer].map(Operation::as_str));
    format!(
        "CASE p.leg
              WHEN 0 THEN p.operation = ANY ({openers}) AND p.status IN ('Created', 'Success', 'Error')
                      AND octet_length(p.request_hash) = 16
                      AND (p.expires_at IS NULL OR p.status = 'Created' AND p.expires_at > p.created_at)
              WHEN 2 THEN p.operation = ANY ({openers}) AND p.status IN ('Success', 'Error')
                      AND p.request_hash IS NULL AND p.expires_at IS NULL AND p.metadata IS NULL
              ELSE p.leg IN (1, 3) AND p.operation = 'transfer' AND p.status = 'Success'
                      AND p.request_hash IS NULL AND p.expires_at IS NULL AND p.metadata IS NULL END
         AND (p.operation = 'transfer') = (p.counterparty_wallet_id IS NOT NULL)
         AND p.counterparty_wallet_id IS DISTINCT FROM p.wallet_id
         AND (p.requested_by IS NULL OR p.leg IN (0, 2) AND octet_length(p.requested_by) BETWEEN 1 AND 255)"
    )
}

/// Only these refusals are recorded: the others leave nothing behind. Those that release a hold occur nowhere
/// else.
fn errors() -> String {
    let releases = [ErrorCode::Cancelled, ErrorCode::Expired];
    let refusals = [ErrorCode::InsufficientFunds, ErrorCode::AmountOutOfRange, ErrorCode::BatchFailed];
    format!(
        "CASE WHEN p.status <> 'Error' THEN p.error IS NULL
              WHEN p.leg = 0 THEN p.error = ANY ({})
              WHEN p.leg = 2 THEN p.error = ANY ({}) END",
        names(refusals.map(ErrorCode::as_str)),
        names(releases.map(ErrorCode::as_str)),
    )
}

/// An array in SQL.
fn names(names: impl IntoIterator<Item = &'static str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    format!("'{{{}}}'::text[]", names.join(","))
}

/// Counts postings by ticker and broken conditions, and sums what entered and left.
pub(super) fn count(from: Option<i64>, to: Option<i64>) -> String {
    format!(
        "SELECT ticker_id, broken, count(*) AS rows, count(*) AS examined, sum(moved)::text AS amount
           FROM (SELECT p.ticker_id, {MOVED} AS moved, {} AS broken
                   FROM {POSTINGS} WHERE {} OFFSET 0) x
          GROUP BY ticker_id, broken",
        broken(&conditions(), 0),
        blocks(from, to),
    )
}

/// Lists postings that break a condition.
pub(super) fn list(from: Option<i64>, to: Option<i64>, condition: &Condition, limit: usize) -> String {
    let Condition { sound, expected, found, .. } = condition;
    format!(
        "SELECT p.wallet_id, coalesce(t.name, '#' || p.ticker_id) AS ticker, p.version, p.transaction_id,
                {expected} AS expected, {found} AS found
           FROM {POSTINGS}
          WHERE {} AND ({sound}) IS NOT TRUE
          ORDER BY p.wallet_id, p.ticker_id, p.version
          LIMIT {limit}",
        blocks(from, to),
    )
}

fn blocks(from: Option<i64>, to: Option<i64>) -> String {
    let from = from.map(|block| format!("p.ctid >= '({block},0)'"));
    let to = to.map(|block| format!("p.ctid < '({block},0)'"));
    let bounds: Vec<_> = from.into_iter().chain(to).collect();
    if bounds.is_empty() { "true".to_owned() } else { bounds.join(" AND ") }
}
