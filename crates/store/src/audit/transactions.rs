//! What can be checked on the postings of one transaction, wherever they are, and on the list of holds.

use super::Check;
use super::scope::{Condition, broken};

/// Facts of each transaction that has more than one leg, or should have: the count of each leg, and the least
/// and the greatest of what must be the same in all. The payer is the wallet of legs 0 and 2, and the
/// counterparty of the others.
///
/// An opening that is neither of a transfer nor a hold is left out here; if it was resolved all the same, it
/// is looked up.
const FACTS: &str = "
    SELECT transaction_id,
           count(*) FILTER (WHERE leg = 0) AS openings,
           count(*) FILTER (WHERE leg = 1) AS payees,
           count(*) FILTER (WHERE leg = 2) AS ends,
           count(*) FILTER (WHERE leg = 3) AS end_payees,
           bool_or(leg = 0 AND status = 'Created') AS waits,
           bool_or(leg = 0 AND status = 'Success') AS done,
           bool_or(leg = 2 AND status = 'Success') AS settled,
           bool_or(operation = 'transfer') AS transfer,
           min(operation) = max(operation) AND min(ticker_id) = max(ticker_id) AS alike,
           min(CASE WHEN leg IN (0, 2) THEN wallet_id ELSE counterparty_wallet_id END) AS payer,
           max(CASE WHEN leg IN (0, 2) THEN wallet_id ELSE counterparty_wallet_id END) AS other_payer,
           min(CASE WHEN leg IN (0, 2) THEN counterparty_wallet_id ELSE wallet_id END) AS payee,
           max(CASE WHEN leg IN (0, 2) THEN counterparty_wallet_id ELSE wallet_id END) AS other_payee,
           min(amount) FILTER (WHERE leg < 2) AS opened, max(amount) FILTER (WHERE leg < 2) AS other_opened,
           min(amount) FILTER (WHERE leg >= 2) AS ended, max(amount) FILTER (WHERE leg >= 2) AS other_ended,
           min(created_at) FILTER (WHERE leg < 2) AS opened_at,
           max(created_at) FILTER (WHERE leg < 2) AS other_opened_at,
           min(created_at) FILTER (WHERE leg >= 2) AS ended_at,
           max(created_at) FILTER (WHERE leg >= 2) AS other_ended_at,
           max(expires_at) AS expires_at,
           bool_or(leg = 2 AND error IS NOT DISTINCT FROM 'expired') AS expired
      FROM postings
     WHERE leg >= 1 OR status = 'Created' OR operation = 'transfer'
     GROUP BY transaction_id";

/// All legs exist and agree.
const LEGS: &str = "
    f.transaction_id IS NULL
    OR (f.openings = 1 OR f.openings = 0 AND EXISTS (SELECT FROM postings o
                                                      WHERE o.transaction_id = f.transaction_id AND o.leg = 0))
       AND f.alike
       AND f.payer = f.other_payer AND f.payee IS NOT DISTINCT FROM f.other_payee
       AND f.opened IS NOT DISTINCT FROM f.other_opened AND f.ended IS NOT DISTINCT FROM f.other_ended
       AND f.opened_at IS NOT DISTINCT FROM f.other_opened_at
       AND f.ended_at IS NOT DISTINCT FROM f.other_ended_at
       AND f.payees = CASE WHEN f.transfer AND f.done THEN 1 ELSE 0 END
       AND f.end_payees = CASE WHEN f.transfer AND f.settled THEN 1 ELSE 0 END";

const RESOLUTIONS: &str = "
    f.transaction_id IS NULL
    OR f.ends = 0 AND f.end_payees = 0
    OR f.ends = 1 AND f.waits AND f.ended_at >= f.opened_at
       AND CASE WHEN f.settled THEN f.ended <= f.opened ELSE f.ended = f.opened END
       AND (NOT f.expired OR f.expires_at IS NOT NULL AND f.ended_at >= f.expires_at)";

const HOLDS: &str = "
    CASE WHEN f.waits AND f.ends = 0
         THEN h.created_at = f.opened_at AND h.expires_at IS NOT DISTINCT FROM f.expires_at
         ELSE h.transaction_id IS NULL END";

/// Measured by the clock of the database, at the time of the snapshot.
const EXPIRY: &str = "
    NOT coalesce(f.waits AND f.ends = 0 AND f.expires_at < transaction_timestamp() - interval '1 minute', false)";

/// Of a transfer that only posted to the payer. A payee with postings is checked with its chain.
const CATALOG: &str = "
    f.payee IS NULL OR f.payees > 0 OR f.end_payees > 0
    OR EXISTS (SELECT FROM wallets w WHERE w.wallet_id = f.payee)";

/// All postings of a transaction, in one line.
const POSTINGS: &str = "
    (SELECT coalesce(string_agg(concat_ws(' ', 'leg', p.leg, p.operation, p.status, p.error, p.amount,
                                          coalesce(t.name, '#' || p.ticker_id), 'of wallet', p.wallet_id,
                                          'with ' || p.counterparty_wallet_id, 'at', p.created_at),
                                '; ' ORDER BY p.leg), 'no posting')
       FROM postings p LEFT JOIN tickers t USING (ticker_id)
      WHERE p.transaction_id = x.id)";

/// The conditions, in the order of their bits.
pub(super) fn conditions() -> Vec<Condition> {
    vec![
        Condition::new(Check::Legs, LEGS, "'an opening and all legs that follow from it, in agreement'", POSTINGS),
        Condition::new(
            Check::Resolutions,
            RESOLUTIONS,
            "'one resolution of a hold, not before it, of no more than it; expired only when its time was over'",
            POSTINGS,
        ),
        Condition::new(
            Check::Holds,
            HOLDS,
            "CASE WHEN x.waits AND x.ends = 0
                  THEN format('a hold of %s until %s', x.opened_at, coalesce(x.expires_at::text, 'it is resolved'))
                  ELSE 'no hold: it is not pending' END",
            "CASE WHEN x.held_at IS NULL THEN 'no hold'
                  ELSE format('a hold of %s until %s', x.held_at, coalesce(x.held_until::text, 'it is resolved')) END",
        ),
        Condition::new(
            Check::Expiry,
            EXPIRY,
            "format('expired soon after %s', x.expires_at)",
            "format('still pending at %s', transaction_timestamp())",
        ),
        Condition::new(Check::Catalog, CATALOG, "'a payee that exists'", "format('no wallet %s', x.payee)"),
    ]
}

fn transactions() -> String {
    format!(
        "SELECT f.*, coalesce(f.transaction_id, h.transaction_id) AS id,
                h.created_at AS held_at, h.expires_at AS held_until, {} AS broken
           FROM ({FACTS} OFFSET 0) f
           FULL JOIN holds h ON h.transaction_id = f.transaction_id
         OFFSET 0",
        broken(&conditions(), 0)
    )
}

/// Counts transactions by broken conditions.
pub(super) fn count() -> String {
    format!(
        "SELECT NULL::int4 AS ticker_id, broken, count(*) AS rows, count(*) AS examined, NULL::text AS amount
           FROM ({}) x
          GROUP BY broken",
        transactions()
    )
}

/// Lists transactions that break a condition.
pub(super) fn list(bit: usize, condition: &Condition, limit: usize) -> String {
    let Condition { expected, found, .. } = condition;
    format!(
        "SELECT p.wallet_id, coalesce(t.name, '#' || p.ticker_id) AS ticker, p.version, x.id AS transaction_id,
                {expected} AS expected, {found} AS found
           FROM (SELECT * FROM ({}) x WHERE broken & {} <> 0 ORDER BY id LIMIT {limit}) x
           LEFT JOIN LATERAL (SELECT * FROM postings p WHERE p.transaction_id = x.id ORDER BY p.leg LIMIT 1) p
                  ON true
           LEFT JOIN tickers t ON t.ticker_id = p.ticker_id
          ORDER BY x.id",
        transactions(),
        1 << bit,
    )
}
