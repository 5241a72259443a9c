//! The ledger as a whole: how much of everything was examined, and whether money in less money out is the sum
//! of all balances.

use deadpool_postgres::ClientWrapper;

use super::scope::{Count, Scope};
use super::{Check, CheckReport, Finding};
use crate::Error;
use crate::rows::get;

/// By ticker: the sum that balances should have, from what was invoiced and withdrawn ($1, $2) and from
/// pending invoices; and the sum that they have ($3, $4).
const MONEY: &str = "
    SELECT coalesce(t.name, '#' || ticker_id) AS ticker, expected::text AS expected, found::text AS found,
           sums.expected = sums.found AS agrees
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

/// How many things of each kind were examined.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) postings: i64,
    chains: i64,
    transactions: i64,
    holds: i64,
    /// None where the key guarantees it.
    identities: Option<i64>,
}

/// The result of all counts.
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

    /// How many of these a check examined.
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
            Check::Legs | Check::Resolutions => self.transactions,
            Check::Holds | Check::Expiry => self.holds,
            Check::Identities => return self.identities,
            Check::Schema | Check::Money => return None,
        })
    }
}

/// Sums the counts.
pub(super) async fn examine(
    session: &ClientWrapper,
    counts: &[(Scope, Vec<Count>)],
    limit: usize,
) -> Result<Totals, Error> {
    let row = session.query_one("SELECT count(*) AS holds FROM holds", &[]).await?;
    let holds = get(&row, "holds")?;
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
    for row in &rows {
        if get(row, "agrees")? {
            continue;
        }
        money.findings += 1;
        if money.first.len() < limit {
            money.first.push(Finding {
                ticker: get(row, "ticker")?,
                expected: get(row, "expected")?,
                found: get(row, "found")?,
                ..Finding::default()
            });
        }
    }
    Ok(Totals { examined: Examined::new(counts, holds), money })
}
