//! Wallets and tickers. Neither is ever deleted.

use std::ops::RangeInclusive;

use florin_ledger::{Scale, TickerRow, WalletBalance, WalletId, WalletRow};
use tokio_postgres::Row;

use crate::ledger::tickers;
use crate::rows::get;
use crate::{Error, Store};

const CREATE_WALLETS: &str =
    "INSERT INTO wallets (wallet_id) SELECT generate_series($1::int8, $2::int8) ON CONFLICT DO NOTHING";

const LIST_WALLETS: &str = "
    SELECT w.wallet_id, b.ticker, b.actual::text AS actual, b.frozen::text AS frozen
      FROM (SELECT wallet_id FROM wallets WHERE $1::int8 IS NULL OR wallet_id > $1
             ORDER BY wallet_id LIMIT $2) w
      LEFT JOIN LATERAL (SELECT * FROM balances b WHERE b.wallet_id = w.wallet_id AND b.held) b ON true
     ORDER BY w.wallet_id, b.ticker";

const ADD_TICKER: &str =
    "INSERT INTO tickers (name, scale) VALUES ($1, $2) ON CONFLICT ON CONSTRAINT tickers_name DO NOTHING";

const SCALE_OF: &str = "SELECT scale FROM tickers WHERE name = $1";

impl Store {
    /// Creates the wallets of a range that do not exist yet, and returns how many those were.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn create_wallets(&self, wallet_ids: RangeInclusive<WalletId>) -> Result<u64, Error> {
        self.with_connection(async |connection| {
            Ok(connection.execute(CREATE_WALLETS, &[wallet_ids.start(), wallet_ids.end()]).await?)
        })
        .await
    }

    /// At most `limit` wallets with their balances, by number, those after `after`.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn list_wallets(&self, after: Option<WalletId>, limit: i64) -> Result<Vec<WalletRow>, Error> {
        let rows = self
            .with_connection(async |connection| Ok(connection.query(LIST_WALLETS, &[&after, &limit]).await?))
            .await?;
        let mut wallets: Vec<WalletRow> = Vec::new();
        for row in &rows {
            let wallet_id = get(row, "wallet_id")?;
            if wallets.last().is_none_or(|last| last.wallet_id != wallet_id) {
                wallets.push(WalletRow { wallet_id, balances: Vec::new() });
            }
            if let (Some(balance), Some(wallet)) = (balance(row)?, wallets.last_mut()) {
                wallet.balances.push(balance);
            }
        }
        Ok(wallets)
    }

    /// Adds a ticker, and returns whether it is new. One that exists with the same scale is left as it is.
    ///
    /// # Errors
    ///
    /// [`Error::TickerExists`] when it exists with another scale, [`Error::InvalidData`] when the name is not
    /// 1 to 32 letters, digits, `.`, `_` and `-`.
    pub async fn add_ticker(&self, name: &str, scale: Scale) -> Result<bool, Error> {
        let places = i16::from(scale.places());
        let (new, existing) = self
            .with_connection(async |connection| {
                let new = connection.execute(ADD_TICKER, &[&name, &places]).await? > 0;
                let row = connection.query_one(SCALE_OF, &[&name]).await?;
                Ok((new, get::<i16>(&row, "scale")?))
            })
            .await?;
        if existing == places {
            Ok(new)
        } else {
            Err(Error::TickerExists { name: name.to_owned(), scale: existing })
        }
    }

    /// All tickers, by name.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn list_tickers(&self) -> Result<Vec<TickerRow>, Error> {
        let tickers = self.with_connection(async |connection| tickers(&*connection).await).await?;
        let rows =
            tickers.iter().map(|ticker| TickerRow { name: ticker.name.to_string(), scale: ticker.scale });
        Ok(rows.collect())
    }
}

/// None in the row of a wallet without balances.
fn balance(row: &Row) -> Result<Option<WalletBalance>, Error> {
    let Some(ticker) = get(row, "ticker")? else { return Ok(None) };
    Ok(Some(WalletBalance { ticker, actual: get(row, "actual")?, frozen: get(row, "frozen")? }))
}
