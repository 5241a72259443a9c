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
//!   encodes amounts; `url`, `hosts`, `connect` and `session` make connections, `requirements` checks the
//!   database, `migrate` keeps the schema.

mod admin;
mod audit;
mod connect;
mod error;
mod hosts;
mod ledger;
mod message;
mod migrate;
mod numeric;
mod requirements;
mod rows;
mod session;
mod url;

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Status,
};
use florin_ledger::Tickers;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::config::TargetSessionAttrs;

pub use admin::{DatabaseStatus, Ledger, NewKey};
pub use audit::{Audit, AuditOptions, AuditReport, AuditStop, Check, CheckReport, Finding, Progress};
use connect::Connector;
pub use error::{Class, Error};
pub use ledger::{Executed, ExpiryLock, Plan, Planner, execute};
pub use message::DatabaseMessage;
pub use url::{DatabaseUrl, POSTGRES_PARAMETERS, SslMode, UnknownSslMode};

/// How long a free connection of the pool is waited for.
const POOL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one address of a host is tried: a name may have several.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the database may take over one plan or one commit.
const WORK_TIMEOUT: Duration = Duration::from_secs(30);

/// The database of the ledger. Clones share one pool; connections are made when they are needed.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
    /// Tickers are few and never change, so all clones share what one of them has read.
    tickers: Arc<RwLock<Arc<Tickers>>>,
    connector: Connector,
    address: Arc<str>,
    /// Connections that are as old as this lead to a server that became read-only.
    read_only_since: Arc<Mutex<Option<Instant>>>,
}

impl Store {
    /// A store on the database of this URL, with at most `pool_size` connections. It connects only to a server
    /// that takes writes: of several hosts in the URL, that is the primary, whichever it is now.
    ///
    /// # Errors
    ///
    /// When the URL, or a certificate that it names (`sslrootcert`, `sslcert`, `sslkey`), cannot be used.
    /// Nothing is connected yet: see [`Store::ping`].
    pub fn new(database_url: &str, pool_size: usize) -> Result<Self, Error> {
        Self::with(database_url, pool_size, |config| {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        })
    }

    /// A store that only reads: a standby will do, unless the URL says otherwise (`target_session_attrs`).
    ///
    /// # Errors
    ///
    /// As [`Store::new`].
    pub fn reader(database_url: &str, pool_size: usize) -> Result<Self, Error> {
        Self::with(database_url, pool_size, |_| {})
    }

    fn with(database_url: &str, pool_size: usize, set: impl FnOnce(&mut Config)) -> Result<Self, Error> {
        let database_url = DatabaseUrl::parse(database_url)?;
        let address = database_url.address().into();
        let (mut config, connector) = Connector::new(database_url)?;
        config
            .application_name("florin")
            .connect_timeout(ADDRESS_TIMEOUT)
            .keepalives_idle(Duration::from_secs(10))
            .tcp_user_timeout(Duration::from_secs(30));
        set(&mut config);
        let connector = connector.with(&config);
        let read_only_since = Arc::<Mutex<Option<Instant>>>::default();
        let known = Arc::clone(&read_only_since);
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_connect(config, connector.clone(), recycling))
            .max_size(pool_size)
            .wait_timeout(Some(POOL_TIMEOUT))
            .create_timeout(Some(connector.timeout()))
            .recycle_timeout(Some(POOL_TIMEOUT))
            .pre_recycle(Hook::sync_fn(move |_, metrics| {
                let since = *known.lock().unwrap_or_else(PoisonError::into_inner);
                if since.is_some_and(|since| metrics.created <= since) {
                    return Err(HookError::message("its server became read-only"));
                }
                Ok(())
            }))
            .runtime(Runtime::Tokio1)
            .build()?;
        Ok(Self { pool, tickers: Arc::default(), connector, address, read_only_since })
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
    /// A connection on which something went wrong, or which was abandoned in the middle, is closed: what it is
    /// still busy with must not meet the next attempt. And if the server cannot write any more, all connections
    /// go, those at work as soon as they are given back: after a fail-over they all lead to the old one.
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
            Err(error) if error.is_read_only() => self.drop_connections(),
            Err(error) if !error.keeps_connection() => {}
            _ => drop(borrowed.0.take()),
        }
        result
    }

    /// Has all connections that there are now made again.
    fn drop_connections(&self) {
        *self.read_only_since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        drop(self.pool.retain(|_, _| false));
    }
}

/// A connection at work. Unless it is taken out in time, it is closed rather than given back to the pool.
struct Borrowed(Option<Object>);

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}
