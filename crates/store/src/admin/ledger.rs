//! What tells this ledger from others.

use std::fmt;

use uuid::Uuid;

use crate::rows::get;
use crate::{Error, Store};

const LEDGER: &str = "SELECT ledger_id, secret FROM ledger";

/// The one row of the table of this name. Copies of a database have the same.
#[derive(Clone)]
pub struct Ledger {
    pub id: Uuid,
    /// Known to the instances of this ledger only.
    pub secret: [u8; 32],
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Store {
    /// Reads which ledger this is.
    ///
    /// # Errors
    ///
    /// [`Error::NoLedger`] when the row is missing; or when the database fails.
    pub async fn ledger(&self) -> Result<Ledger, Error> {
        let row =
            self.with_connection(async |connection| Ok(connection.query_opt(LEDGER, &[]).await?)).await?;
        let row = row.ok_or(Error::NoLedger)?;
        let secret: &[u8] = get(&row, "secret")?;
        let wrong = |_| Error::unknown_value("secret", format!("{} bytes", secret.len()));
        Ok(Ledger { id: get(&row, "ledger_id")?, secret: secret.try_into().map_err(wrong)? })
    }
}
