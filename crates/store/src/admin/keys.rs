//! API keys: created and revoked by an operator, looked up by the HTTP side.

use std::ops::RangeInclusive;
use std::time::SystemTime;

use florin_keys::{ApiKey, Role, Sealed, Token};
use florin_ledger::WalletId;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use crate::rows::get;
use crate::{Error, Store};

/// A key to create.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub name: String,
    pub role: Role,
    /// The only wallets that it may touch.
    pub wallets: Option<RangeInclusive<WalletId>>,
    pub expires_at: Option<SystemTime>,
}

const CREATE: &str = "
    INSERT INTO api_keys (key_id, name, role, salt, hash, first_wallet, last_wallet, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const FIND: &str = "
    SELECT key_id, name, role, first_wallet, last_wallet, created_at, expires_at, revoked_at, salt, hash
      FROM api_keys
     WHERE key_id = $1";

const LIST: &str = "
    SELECT key_id, name, role, first_wallet, last_wallet, created_at, expires_at, revoked_at
      FROM api_keys
     ORDER BY created_at, key_id";

const REVOKE: &str = "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE name = $1";

impl Store {
    /// Creates a key, and returns its token, which is not stored.
    ///
    /// # Errors
    ///
    /// [`Error::KeyExists`] when the name is taken, [`Error::InvalidData`] when it is not 1 to 64 letters,
    /// digits, `.`, `_` and `-`.
    pub async fn create_key(&self, new: &NewKey) -> Result<Token, Error> {
        let token = Token::generate();
        let Sealed { salt, hash } = token.seal();
        let (first, last) = new.wallets.as_ref().map(|range| (*range.start(), *range.end())).unzip();
        let created = self.with_connection(async |connection| {
            let id = token.id();
            let (role, salt, hash) = (new.role.as_str(), salt.as_slice(), hash.as_slice());
            let parameters: [&(dyn postgres_types::ToSql + Sync); 8] =
                [&id, &new.name, &role, &salt, &hash, &first, &last, &new.expires_at];
            connection.execute(CREATE, &parameters).await?;
            Ok(())
        });
        match created.await {
            Ok(()) => Ok(token),
            Err(Error::InvalidData(error)) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                Err(Error::KeyExists { name: new.name.clone() })
            }
            Err(error) => Err(error),
        }
    }

    /// The key of this id and its sealed secret, active or not.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_key(&self, id: &str) -> Result<Option<(ApiKey, Sealed)>, Error> {
        let row = self
            .with_connection(async |connection| {
                let statement = connection.prepare_cached(FIND).await?;
                Ok(connection.query_opt(&statement, &[&id]).await?)
            })
            .await?;
        row.map(|row| Ok((key(&row)?, Sealed { salt: bytes(&row, "salt")?, hash: bytes(&row, "hash")? })))
            .transpose()
    }

    /// All keys, the oldest first.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn list_keys(&self) -> Result<Vec<ApiKey>, Error> {
        let rows = self.with_connection(async |connection| Ok(connection.query(LIST, &[]).await?)).await?;
        rows.iter().map(key).collect()
    }

    /// Whether any key is active now.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn has_active_key(&self) -> Result<bool, Error> {
        Ok(self.list_keys().await?.iter().any(|key| key.is_active(SystemTime::now())))
    }

    /// Revokes a key from now on, and returns whether there is one of this name. Revoking it again changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn revoke_key(&self, name: &str) -> Result<bool, Error> {
        self.with_connection(async |connection| Ok(connection.execute(REVOKE, &[&name]).await? > 0)).await
    }
}

fn key(row: &Row) -> Result<ApiKey, Error> {
    let role: &str = get(row, "role")?;
    let first: Option<WalletId> = get(row, "first_wallet")?;
    let last: Option<WalletId> = get(row, "last_wallet")?;
    Ok(ApiKey {
        id: get(row, "key_id")?,
        name: get(row, "name")?,
        role: role.parse().map_err(|_| Error::unknown_value("role", role))?,
        wallets: first.zip(last).map(|(first, last)| first..=last),
        created_at: get(row, "created_at")?,
        expires_at: get(row, "expires_at")?,
        revoked_at: get(row, "revoked_at")?,
    })
}

fn bytes<const N: usize>(row: &Row, column: &'static str) -> Result<[u8; N], Error> {
    let bytes: &[u8] = get(row, column)?;
    bytes.try_into().map_err(|_| Error::unknown_value(column, format!("{} bytes", bytes.len())))
}
