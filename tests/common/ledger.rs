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
        let broken_chains = "
            SELECT count(*) FROM (
                SELECT version, actual_after, frozen_after, operation, status, amount,
                       row_number() OVER chain AS expected_version,
                       coalesce(lag(actual_after) OVER chain, 0) AS actual_before
                  FROM postings WINDOW chain AS (PARTITION BY wallet_id, ticker_id ORDER BY version)) p
             WHERE version <> expected_version OR actual_after < 0 OR frozen_after < 0
                OR actual_after <> actual_before + CASE WHEN status = 'Error' THEN 0
                                                        WHEN operation = 'invoice' THEN amount
                                                        ELSE -amount END";
        assert_eq!(self.number(broken_chains).await, 0, "postings that do not follow from the one before");
        let unbalanced = "
            SELECT count(*) FROM (
                SELECT sum(CASE operation WHEN 'invoice' THEN amount ELSE -amount END) AS moved, ticker
                  FROM transactions WHERE status = 'Success' GROUP BY ticker) m
              FULL JOIN (SELECT sum(actual + frozen) AS held, ticker FROM balances WHERE held GROUP BY ticker) b
                USING (ticker)
             WHERE moved IS DISTINCT FROM held";
        assert_eq!(self.number(unbalanced).await, 0, "tickers whose money appeared or disappeared");
    }
}
