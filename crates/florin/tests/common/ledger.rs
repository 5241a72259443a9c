//! The tables, read directly.

use std::collections::BTreeMap;

use tokio_postgres::{Client, NoTls};

/// A connection to the database, beside the service's own.
pub struct Ledger {
    pub sql: Client,
}

impl Ledger {
    pub async fn open(database_url: &str) -> Self {
        let (sql, connection) = tokio_postgres::connect(database_url, NoTls).await.expect("a database");
        tokio::spawn(connection);
        Self { sql }
    }

    /// From now on the service can commit nothing: what it takes waits, until [`Self::release_commits`].
    pub async fn hold_commits(&self) {
        self.sql.batch_execute("BEGIN; LOCK TABLE postings IN SHARE MODE").await.expect("a lock");
    }

    /// Lets the service commit again.
    pub async fn release_commits(&self) {
        self.sql.batch_execute("COMMIT").await.expect("the lock is given back");
    }

    /// One number.
    pub async fn number(&self, sql: &str) -> i64 {
        self.sql.query_one(sql, &[]).await.expect("a row").get(0)
    }

    /// The balances as text, by `wallet/ticker`.
    pub async fn balances(&self) -> BTreeMap<String, String> {
        let sql = "SELECT wallet_id || '/' || ticker, actual::text FROM balances WHERE held";
        let rows = self.sql.query(sql, &[]).await.expect("the view");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Checks the invariants of the ledger on the whole database.
    pub async fn assert_sound(&self) {
        assert_eq!(self.number(BROKEN_CHAINS).await, 0, "postings that do not follow from the one before");
        assert_eq!(self.number(UNBALANCED).await, 0, "tickers whose money appeared or disappeared");
        assert_eq!(
            self.number(WRONG_HOLDS).await,
            0,
            "holds that are not the transactions in status Created"
        );
    }
}

/// Each posting is the one before plus its change; the change of an end depends on what waited.
const BROKEN_CHAINS: &str = "
    SELECT count(*) FROM (
        SELECT p.version, p.created_at, p.actual_after, p.frozen_after,
               row_number() OVER chain AS expected_version,
               lag(p.created_at) OVER chain AS before_at,
               coalesce(lag(p.actual_after) OVER chain, 0) + CASE
                   WHEN p.leg IN (1, 3) THEN p.amount
                   WHEN p.leg = 0 AND p.status = 'Error' THEN 0
                   WHEN p.leg = 0 AND p.operation = 'invoice' THEN
                        CASE p.status WHEN 'Created' THEN 0 ELSE p.amount END
                   WHEN p.leg = 0 THEN -p.amount
                   WHEN p.operation = 'invoice' THEN CASE p.status WHEN 'Success' THEN p.amount ELSE 0 END
                   ELSE opened.amount - CASE p.status WHEN 'Success' THEN p.amount ELSE 0 END
               END AS expected_actual,
               coalesce(lag(p.frozen_after) OVER chain, 0) + CASE
                   WHEN p.leg = 0 AND p.status = 'Created' THEN p.amount
                   WHEN p.leg = 2 THEN -opened.amount
                   ELSE 0
               END AS expected_frozen
          FROM postings p
          LEFT JOIN postings opened ON p.leg >= 2 AND opened.transaction_id = p.transaction_id
               AND opened.leg = 0
        WINDOW chain AS (PARTITION BY p.wallet_id, p.ticker_id ORDER BY p.version)) p
     WHERE version <> expected_version OR actual_after < 0 OR frozen_after < 0 OR created_at < before_at
        OR actual_after IS DISTINCT FROM expected_actual OR frozen_after IS DISTINCT FROM expected_frozen";

const UNBALANCED: &str = "
    SELECT count(*) FROM (
        SELECT ticker, sum(CASE WHEN operation = 'invoice' THEN coalesce(settled_amount, amount)
                                ELSE -coalesce(settled_amount, amount) END) AS moved
          FROM transactions
         WHERE operation = 'invoice' AND status <> 'Error' OR operation = 'withdraw' AND status = 'Success'
         GROUP BY ticker) m
      FULL JOIN (SELECT sum(actual + frozen) AS held, ticker FROM balances WHERE held GROUP BY ticker) b
        USING (ticker)
     WHERE coalesce(moved, 0) IS DISTINCT FROM held";

const WRONG_HOLDS: &str = "
    SELECT count(*) FROM holds h
      FULL JOIN (SELECT * FROM transactions WHERE status = 'Created') t USING (transaction_id)
     WHERE h.created_at IS DISTINCT FROM t.created_at OR h.expires_at IS DISTINCT FROM t.expires_at";
