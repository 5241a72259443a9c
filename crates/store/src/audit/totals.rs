//! The ledger as a whole: how much there is of everything, and where the money came from.

use deadpool_postgres::ClientWrapper;

use super::scope::{Count, Scope};
use super::{Check, CheckReport, Finding};
use crate::Error;

/// The balances that there should be, by ticker, from what was invoiced and withdrawn ($1, $2) and from the
/// invoices that wait; beside the balances that there are ($3, $4).
const MONEY: &str = "
    SELECT coalesce(t.name, '#' || ticker_id), expected::text, found::text, expected = found
      FROM (SELECT ticker_id, sum(amount::numeric) AS amount
              FROM unnest($1::int4[], $2::text[]) u (ticker_id, amount) GROUP BY ticker_id) moved
      FULL JOIN (SELECT o.ticker_id, sum(o.amount) AS amount
                   FROM holds h JOIN postings o ON o.transaction_id = h.transaction_id AND o.leg = 0
                  WHERE o.operation = 'invoice' GROUP BY o.ticker_id) waiting USING (ticker_id)
      FULL JOIN (SELECT ticker_id, sum(amount::numeric) AS amount
                   FROM unnest($3::int4[], $4::text[]) u (ticker_id, amount) GROUP BY ticker_id) held
          USING (ticker_id)
      FULL JOIN tickers t USING (ticker_id)
     CROSS JOIN LATERAL (SELECT coalesce(moved.amount, 0) + coalesce(waiting.amount, 0) AS expected,
                                coalesce(held.amount, 0) AS found) sums
     ORDER BY 1";

/// How many of what was looked at.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) postings: i64,
    chains: i64,
    transactions: i64,
    holds: i64,
    /// Only where the key does not answer for it.
    identities: Option<i64>,
}

/// What is known when everything was counted.
#[derive(Debug)]
pub(super) struct Totals {
    pub(super) examined: Examined,
    pub(super) money: CheckReport,
}

impl Examined {
    fn new(counts: &[(Scope, Vec<Count>)], holds: i64) -> Self {
        let sum = |of: fn(&Scope) -> bool| {
            let counts = counts.iter().filter(|(scope, _)| of(scope)).flat_map(|(_, counts)| counts);
            counts.map(|count| count.examined).sum()
        };
        let identities = counts.iter().any(|(scope, _)| *scope == Scope::Identities);
        Self {
            postings: sum(|scope| matches!(scope, Scope::Rows(..))),
            chains: sum(|scope| matches!(scope, Scope::Chains(..))),
            transactions: sum(|scope| matches!(scope, Scope::Transactions)),
            holds,
            identities: identities.then(|| sum(|scope| matches!(scope, Scope::Identities))),
        }
    }

    /// How many of these a check looked at.
    pub(super) const fn by(&self, check: Check) -> Option<i64> {
        Some(match check {
            Check::Versions
            | Check::Balances
            | Check::Limits
            | Check::Times
            | Check::Held
            | Check::Amounts
            | Check::Fields
            | Check::Errors => self.postings,
            Check::Frozen | Check::Catalog => self.chains,
            Check::Legs | Check::Endings => self.transactions,
            Check::Holds | Check::Expiry => self.holds,
            Check::Identities => return self.identities,
            Check::Schema | Check::Money => return None,
        })
    }
}

/// Adds up what was counted.
pub(super) async fn examine(
    session: &ClientWrapper,
    counts: &[(Scope, Vec<Count>)],
    limit: usize,
) -> Result<Totals, Error> {
    let holds = session.query_one("SELECT count(*) FROM holds", &[]).await?.get(0);
    let (mut moved, mut held) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for (scope, count) in
        counts.iter().flat_map(|(scope, counts)| counts.iter().map(move |count| (scope, count)))
    {
        let sums = match scope {
            Scope::Rows(..) => &mut moved,
            Scope::Chains(..) => &mut held,
            Scope::Transactions | Scope::Identities => continue,
        };
        sums.0.push(count.ticker_id);
        sums.1.push(count.amount.as_deref());
    }
    let rows = session.query(MONEY, &[&moved.0, &moved.1, &held.0, &held.1]).await?;
    let mut money = CheckReport::new(Check::Money);
    money.examined = i64::try_from(rows.len()).ok();
    for row in rows {
        if row.get(3) {
            continue;
        }
        money.findings += 1;
        if money.first.len() < limit {
            let (ticker, expected, found) = (row.get(0), row.get(1), row.get(2));
            money.first.push(Finding { ticker, expected, found, ..Finding::default() });
        }
    }
    Ok(Totals { examined: Examined::new(counts, holds), money })
}
