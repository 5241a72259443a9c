//! Wallets and tickers: made by an operator, never deleted.

use std::ops::RangeInclusive;

use florin_ledger::{Scale, TickerRow, WalletBalance, WalletId, WalletRow};

use super::{Error, Store};

impl Store {
    /// Creates the wallets of a range that do not exist yet, and returns how many those were.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn create_wallets(&self, wallet_ids: RangeInclusive<WalletId>) -> Result<u64, Error> {
        let sql = "INSERT INTO wallets (wallet_id) SELECT generate_series($1::int8, $2::int8)
                   ON CONFLICT DO NOTHING";
        let connection = self.connection().await?;
        Ok(connection.execute(sql, &[wallet_ids.start(), wallet_ids.end()]).await?)
    }

    /// At most `limit` wallets with their balances, by number, those after `after`.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn list_wallets(&self, after: Option<WalletId>, limit: i64) -> Result<Vec<WalletRow>, Error> {
        let sql = "SELECT w.wallet_id, b.ticker, b.actual::text, b.frozen::text
                     FROM (SELECT wallet_id FROM wallets WHERE $1::int8 IS NULL OR wallet_id > $1
                            ORDER BY wallet_id LIMIT $2) w
                     LEFT JOIN LATERAL
                          (SELECT * FROM balances b WHERE b.wallet_id = w.wallet_id AND b.held) b ON true
                    ORDER BY w.wallet_id, b.ticker";
        let mut wallets: Vec<WalletRow> = Vec::new();
        for row in self.connection().await?.query(sql, &[&after, &limit]).await? {
            let wallet_id = row.get(0);
            if wallets.last().is_none_or(|last| last.wallet_id != wallet_id) {
                wallets.push(WalletRow { wallet_id, balances: Vec::new() });
            }
            if let (Some(ticker), Some(wallet)) = (row.get(1), wallets.last_mut()) {
                wallet.balances.push(WalletBalance { ticker, actual: row.get(2), frozen: row.get(3) });
            }
        }
        Ok(wallets)
    }

    /// Adds a ticker, and returns whether it is new. One that exists with the same scale is left as it is.
    ///
    /// # Errors
    ///
    /// [`Error::TickerExists`] when it exists with another scale, [`Error::Unacceptable`] when the name is not
    /// made of 1 to 32 letters, digits, `.`, `_` and `-`.
    pub async fn add_ticker(&self, name: &str, scale: Scale) -> Result<bool, Error> {
        let connection = self.connection().await?;
        let sql = "INSERT INTO tickers (name, scale) VALUES ($1, $2) ON CONFLICT ON CONSTRAINT tickers_name
                   DO NOTHING";
        let new = connection.execute(sql, &[&name, &i16::from(scale.places())]).await? > 0;
        let row = connection.query_one("SELECT scale FROM tickers WHERE name = $1", &[&name]).await?;
        match row.get::<_, i16>(0) {
            existing if existing == i16::from(scale.places()) => Ok(new),
            existing => Err(Error::TickerExists { name: name.to_owned(), scale: existing }),
        }
    }

    /// All tickers, by name.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn list_tickers(&self) -> Result<Vec<TickerRow>, Error> {
        let tickers = super::load::tickers(&self.connection().await?).await?;
        let rows =
            tickers.iter().map(|ticker| TickerRow { name: ticker.name.to_string(), scale: ticker.scale });
        Ok(rows.collect())
    }
}
