//! API keys: made and revoked by an operator, looked up by the HTTP side.

use std::ops::RangeInclusive;
use std::time::SystemTime;

use florin_ledger::WalletId;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use super::{Error, Store};
use florin_keys::{ApiKey, Role, Sealed, Token};

/// What a new key is to be.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// The only wallets that it is good for.
    pub wallets: Option<RangeInclusive<WalletId>>,
    /// From when on it is not good any more.
    pub expires_at: Option<SystemTime>,
}

const COLUMNS: &str = "key_id, name, role, first_wallet, last_wallet, created_at, expires_at, revoked_at";

impl Store {
    /// Makes a key, and returns its token, which cannot be had a second time.
    ///
    /// # Errors
    ///
    /// [`Error::KeyExists`] when the name is taken, [`Error::Unacceptable`] when it is not made of 1 to 64 letters,
    /// digits, `.`, `_` and `-`.
    pub async fn create_key(&self, new: &NewKey) -> Result<Token, Error> {
        let token = Token::generate();
        let Sealed { salt, hash } = token.seal();
        let sql =
            "INSERT INTO api_keys (key_id, name, role, salt, hash, first_wallet, last_wallet, expires_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let (first, last) = new.wallets.as_ref().map(|range| (*range.start(), *range.end())).unzip();
        let inserted = self
            .connection()
            .await?
            .execute(
                sql,
                &[
                    &token.id(),
                    &new.name,
                    &new.role.as_str(),
                    &salt.as_slice(),
                    &hash.as_slice(),
                    &first,
                    &last,
                    &new.expires_at,
                ],
            )
            .await;
        match inserted {
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                Err(Error::KeyExists { name: new.name.clone() })
            }
            inserted => Ok(inserted.map(|_| token)?),
        }
    }

    /// The key of this id and what is kept of its secret, good or not.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn find_key(&self, id: &str) -> Result<Option<(ApiKey, Sealed)>, Error> {
        let connection = self.connection().await?;
        let sql = format!("SELECT {COLUMNS}, salt, hash FROM api_keys WHERE key_id = $1");
        let statement = connection.prepare_cached(&sql).await?;
        let row = connection.query_opt(&statement, &[&id]).await?;
        row.map(|row| Ok((key(&row)?, Sealed { salt: bytes(&row, "salt")?, hash: bytes(&row, "hash")? })))
            .transpose()
    }

    /// All keys, the oldest first.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn list_keys(&self) -> Result<Vec<ApiKey>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM api_keys ORDER BY created_at, key_id");
        self.connection().await?.query(&sql, &[]).await?.iter().map(key).collect()
    }

    /// Whether there is a key that is good now.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn has_good_key(&self) -> Result<bool, Error> {
        Ok(self.list_keys().await?.iter().any(|key| key.is_active(SystemTime::now())))
    }

    /// Makes a key useless from now on, and returns whether there is one of this name. Again changes nothing.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn revoke_key(&self, name: &str) -> Result<bool, Error> {
        let sql = "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE name = $1";
        Ok(self.connection().await?.execute(sql, &[&name]).await? > 0)
    }
}

fn key(row: &Row) -> Result<ApiKey, Error> {
    let role: &str = row.get("role");
    let first: Option<WalletId> = row.get("first_wallet");
    let last: Option<WalletId> = row.get("last_wallet");
    Ok(ApiKey {
        id: row.get("key_id"),
        name: row.get("name"),
        role: role.parse().map_err(|_| Error::unknown_value("api_keys.role", role))?,
        wallets: first.zip(last).map(|(first, last)| first..=last),
        created_at: row.get("created_at"),
        expires_at: row.get("expires_at"),
        revoked_at: row.get("revoked_at"),
    })
}

fn bytes<const N: usize>(row: &Row, column: &'static str) -> Result<[u8; N], Error> {
    let bytes: &[u8] = row.get(column);
    bytes.try_into().map_err(|_| Error::unknown_value(column, "not as long as it should be"))
}
