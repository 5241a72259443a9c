//! What a database must have, checked before it is used: an error names what to change.

use deadpool_postgres::{PoolError, TimeoutType};
use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage};
use uuid::Uuid;

use crate::connect::Connected;
use crate::rows::get;
use crate::{Error, Store};

/// The only encoding that holds every text that a client may send.
const ENCODING: &str = "UTF8";

const FOUND: &str = "
    SELECT current_setting('server_encoding') AS encoding, current_setting('fsync') AS fsync,
           current_setting('full_page_writes') AS full_page_writes";

/// A pooler in transaction mode gives the session that was freed last to whoever asks next, unless it was told to
/// take turns; then this many have to ask.
const OTHER_SESSIONS: usize = 2;

impl Store {
    /// Checks the database, and returns warnings: what the operator should know, and may have meant so.
    ///
    /// # Errors
    ///
    /// [`Error::Encoding`], [`Error::TransactionPooling`]; or when the database fails.
    pub async fn check_requirements(&self) -> Result<Vec<String>, Error> {
        if self.shares_sessions().await? {
            return Err(Error::TransactionPooling);
        }
        self.with_connection(async |connection| {
            let row = connection.query_one(FOUND, &[]).await?;
            let encoding: &str = get(&row, "encoding")?;
            if encoding != ENCODING {
                return Err(Error::Encoding { encoding: encoding.to_owned() });
            }
            let is_off = |name| Ok::<bool, Error>(get::<&str>(&row, name)? == "off");
            let mut warnings = Vec::new();
            for name in ["fsync", "full_page_writes"] {
                if is_off(name)? {
                    warnings.push(format!(
                        "{name} is off: a crash of the database's machine can lose or damage \
                                           what was answered"
                    ));
                }
            }
            Ok(warnings)
        })
        .await
    }

    /// Whether a session of ours may be another one from statement to statement: that is what a pooler in
    /// transaction mode does. One session is marked, and others look for its mark while it is still connected.
    async fn shares_sessions(&self) -> Result<bool, Error> {
        let mark = Uuid::new_v4().to_string();
        let (marked, _marked_driver) = self.connect().await?;
        marked.batch_execute(&format!("SELECT set_config('florin.session', '{mark}', false)")).await?;
        let mut others = Vec::new();
        for _ in 0..OTHER_SESSIONS {
            let (other, driver) = self.connect().await?;
            // It keeps what it got.
            other.batch_execute("BEGIN").await?;
            if mark_of(&other).await?.as_ref() == Some(&mark) {
                return Ok(true);
            }
            others.push((other, driver));
        }
        Ok(mark_of(&marked).await? != Some(mark))
    }

    /// A session that the pool does not know of.
    async fn connect(&self) -> Result<Connected, Error> {
        match timeout(self.connector.timeout(), self.connector.any_session()).await {
            Ok(connected) => Ok(connected.map_err(PoolError::Backend)?),
            Err(_) => Err(PoolError::Timeout(TimeoutType::Create).into()),
        }
    }
}

/// By the simple protocol: prepared statements are among what a pooler may not keep.
async fn mark_of(client: &Client) -> Result<Option<String>, Error> {
    let messages = client.simple_query("SELECT current_setting('florin.session', true)").await?;
    let row = messages.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(row.and_then(|row| row.get(0).map(ToOwned::to_owned)))
}
