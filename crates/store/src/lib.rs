//! The ledger in PostgreSQL: the only owner of SQL.
//!
//! In reading order:
//!
//! - `ledger/`: how requests are executed. [`Planner`] turns a batch into a [`Plan`], [`Store::commit`]
//!   appends it, [`execute`] plans and commits until no other writer is first. The module's head tells the
//!   phases and their round trips.
//! - `admin/`: wallets, tickers, API keys, and the lists of the console.
//! - `audit/`: `florin verify`.
//! - `error` sorts failures into conflict, transient and permanent; `rows` reads columns by name; `numeric`
//!   encodes amounts; `connect` and `url` make connections, `migrate` keeps the schema.

mod admin;
mod audit;
mod connect;
mod error;
mod ledger;
mod message;
mod migrate;
mod numeric;
mod rows;
mod url;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Status};
use florin_ledger::Tickers;
use tokio::time::timeout;

pub use admin::{DatabaseStatus, NewKey};
pub use audit::{Audit, AuditOptions, AuditReport, AuditStop, Check, CheckReport, Finding, Progress};
use connect::Connector;
pub use error::{Class, Error};
pub use ledger::{Executed, ExpiryLock, Plan, Planner, execute};
pub use message::DatabaseMessage;
pub use url::{DatabaseUrl, POSTGRES_PARAMETERS, SslMode, UnknownSslMode};

/// Time limit for a new connection, or for a free one of the pool.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the database may take over one plan or one commit.
const WORK_TIMEOUT: Duration = Duration::from_secs(30);

/// Settings of every session:
/// - look-ups always use an index, also while the tables are small or were never analysed: a query plan made
///   for an empty table would be kept while the table grows;
/// - no JIT: the cost penalties above make it look worthwhile, at 100 ms a time;
/// - a session that stops in the middle of a transaction (a frozen process) loses its locks;
/// - waiting for a lock ends before our own timeout does: else abandoned sessions would add up.
const SESSION_OPTIONS: &str = "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_sort=off -c jit=off \
                               -c idle_in_transaction_session_timeout=10s -c lock_timeout=20s";

/// The database of the ledger. Clones share one pool; connections are made when they are needed.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
    /// Tickers are few and never change, so all clones share what one of them has read.
    tickers: Arc<RwLock<Arc<Tickers>>>,
    connector: Connector,
    address: Arc<str>,
}

impl Store {
    /// A store on the database of this URL, with at most `pool_size` connections.
    ///
    /// # Errors
    ///
    /// When the URL, or a certificate that it names (`sslrootcert`, `sslcert`, `sslkey`), cannot be used.
    /// Nothing is connected yet: see [`Store::ping`].
    pub fn new(database_url: &str, pool_size: usize) -> Result<Self, Error> {
        let database_url = DatabaseUrl::parse(database_url)?;
        let address = database_url.address().into();
        let (mut config, connector) = Connector::new(database_url)?;
        let options = config.get_options().map_or(SESSION_OPTIONS.to_owned(), |given| {
            // The operator's own options come last and win.
            format!("{SESSION_OPTIONS} {given}")
        });
        config
            .application_name("florin")
            .options(options)
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(Duration::from_secs(10))
            .tcp_user_timeout(Duration::from_secs(30));
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_connect(config, connector.clone(), recycling))
            .max_size(pool_size)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .recycle_timeout(Some(CONNECT_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build()?;
        Ok(Self { pool, tickers: Arc::default(), connector, address })
    }

    /// Where the database is, as `host:port`, for messages.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Checks that the database answers and takes writes: after a fail-over, a session that stood before may
    /// have ended up on a server that is read-only now.
    ///
    /// # Errors
    ///
    /// When it does not answer, or is read-only.
    pub async fn ping(&self) -> Result<(), Error> {
        self.with_connection(async |connection| {
            let statement = connection.prepare_cached("SHOW transaction_read_only").await?;
            let row = connection.query_one(&statement, &[]).await?;
            match rows::get(&row, "transaction_read_only")? {
                "off" => Ok(()),
                _ => Err(Error::ReadOnly),
            }
        })
        .await
    }

    /// How many connections the pool has, and how many of them are free.
    #[must_use]
    pub fn pool_status(&self) -> Status {
        self.pool.status()
    }

    /// The tickers as they were last read.
    fn cached_tickers(&self) -> Arc<Tickers> {
        Arc::clone(&self.tickers.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn cache_tickers(&self, tickers: Tickers) -> Arc<Tickers> {
        let tickers = Arc::new(tickers);
        *self.tickers.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&tickers);
        tickers
    }

    async fn connection(&self) -> Result<Object, Error> {
        Ok(self.pool.get().await?)
    }

    /// Works on a connection of the pool, within [`WORK_TIMEOUT`].
    ///
    /// After an error, unless that leaves the session usable, and when the caller stops waiting, the
    /// connection is closed, because a statement that still runs must not affect the next attempt. If the
    /// server cannot write any more, all idle connections are closed, too: after a fail-over they all lead
    /// to the old server.
    async fn with_connection<T>(
        &self,
        work: impl AsyncFnOnce(&mut Object) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut borrowed = Borrowed(Some(self.connection().await?));
        let timed_out = Err(Error::TimedOut { timeout_secs: WORK_TIMEOUT.as_secs() });
        let result = match &mut borrowed.0 {
            Some(connection) => timeout(WORK_TIMEOUT, work(connection)).await.unwrap_or(timed_out),
            None => timed_out,
        };
        match &result {
            Err(error) if error.is_read_only() => drop(self.pool.retain(|_, _| false)),
            Err(error) if !error.keeps_connection() => {}
            _ => drop(borrowed.0.take()),
        }
        result
    }
}

/// A connection in use. Unless it is taken out, it is closed and not returned to the pool.
struct Borrowed(Option<Object>);

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}
