//! The tables in PostgreSQL: the only owner of SQL.
//!
//! [`Store`] is the door: a pool of connections. [`Writer`] executes batches of commands: `decide`
//! gathers what the rules need and asks them, `load` reads it, with `history` for long lists; `save` appends what they decided. `catalog` keeps wallets and tickers,
//! `inspect` shows what people look for, `migrate` keeps the schema, `verify` audits them, `connect` makes connections,
//! `error` sorts what can go wrong.

mod batch;
mod catalog;
mod connect;
mod decide;
mod error;
mod history;
mod holds;
mod inspect;
mod keys;
mod load;
mod look_up;
mod message;
mod migrate;
mod numeric;
mod save;
mod status;
mod url;
mod verify;
mod writer;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use deadpool_postgres::{
    GenericClient, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Status,
};
use florin_ledger::Tickers;

pub use batch::{Batch, Executed, Following};
use connect::Connector;
pub use error::Error;
pub use holds::SweepLock;
pub use keys::NewKey;
pub use message::DatabaseMessage;
pub use status::DatabaseStatus;
pub use url::{DatabaseUrl, POSTGRES_PARAMETERS, SslMode, UnknownSslMode};
pub use verify::{Audit, AuditOptions, AuditReport, AuditStop, Check, CheckReport, Finding, Progress};
pub use writer::Writer;

/// How long a new connection, or a free one of the pool, is waited for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of every session:
/// - look-ups are always by index, also while the tables are small or were never analysed: a plan that was
///   made for an empty table would be kept while it grows;
/// - no plan is compiled: the penalties above look like costs that would be worth it, at 100 ms a time;
/// - a session that stops in the middle of a transaction (a frozen process) gives its locks back;
/// - a session that waits for a lock gives up before we give up on it: else abandoned sessions would add up.
const SESSION_OPTIONS: &str = "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_sort=off -c jit=off \
                               -c idle_in_transaction_session_timeout=10s -c lock_timeout=20s";

/// The database of the ledger. Clones share one pool; connections are made when they are needed.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
    /// There are few, and they never change once they are there: all clones share what one has read.
    tickers: Arc<RwLock<Arc<Tickers>>>,
    connector: Connector,
}

impl Store {
    /// A store on the database of this URL, with at most `pool_size` connections.
    ///
    /// # Errors
    ///
    /// When the URL, or a certificate that it names (`sslrootcert`, `sslcert`, `sslkey`), cannot be used. Whether
    /// the database can be reached is not tried here: see [`Store::ping`].
    pub fn new(database_url: &str, pool_size: usize) -> Result<Self, Error> {
        let (mut config, connector) = Connector::new(database_url)?;
        let options = config.get_options().map_or(SESSION_OPTIONS.to_owned(), |given| {
            // What the operator gives comes last and wins.
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
        Ok(Self { pool, tickers: Arc::default(), connector })
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    ///
    /// When it gives none.
    pub async fn ping(&self) -> Result<(), Error> {
        Ok(self.connection().await?.batch_execute("SELECT").await?)
    }

    /// How many connections the pool has, and how many of them are free.
    #[must_use]
    pub fn pool_status(&self) -> Status {
        self.pool.status()
    }

    /// The tickers as they were read last.
    fn known_tickers(&self) -> Arc<Tickers> {
        Arc::clone(&self.tickers.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn read_tickers(&self, client: &impl GenericClient) -> Result<Arc<Tickers>, Error> {
        let tickers = Arc::new(load::tickers(client).await?);
        *self.tickers.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&tickers);
        Ok(tickers)
    }

    async fn connection(&self) -> Result<Object, Error> {
        Ok(self.pool.get().await?)
    }
}
