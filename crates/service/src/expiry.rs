//! Ends transactions whose time is over.
//!
//! The sweeper has no way of its own into the ledger: it sends `expire` requests through the broker, as any client
//! could, and the rules decide by the clock of the instance that executes them. One instance sweeps at a time: the
//! one that holds a lock of the database. Two that sweep at once would do no harm, only work.

use std::time::{Duration, SystemTime};

use florin_client::{CallOptions, Client, ClientOptions, Request, Route};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use florin_store::{self as store, Store, SweepLock};

/// How late an expiry can be noticed.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long to wait after a fault, and for the lock that another instance holds.
const PAUSE: Duration = Duration::from_secs(1);
/// Expiries that are asked for at a time.
const AT_A_TIME: i64 = 1000;

/// Looks for transactions whose time is over.
#[derive(Debug)]
pub(crate) struct Sweeper {
    pub(crate) store: Store,
    pub(crate) amqp_url: String,
    pub(crate) work_queue: String,
}

/// Why sweeping was interrupted.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Client(#[from] florin_client::Error),
}

impl Sweeper {
    /// Sweeps until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let sweeping = async {
            loop {
                if let Err(error) = self.sweep().await {
                    tracing::warn!(%error, "transactions whose time is over wait until this works again");
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        shutdown.run_until_cancelled(sweeping).await;
    }

    /// Waits for its turn, and then sweeps until something fails.
    async fn sweep(&self) -> Result<(), Error> {
        let lock = loop {
            match self.store.try_sweep_lock().await? {
                Some(lock) => break lock,
                None => tokio::time::sleep(PAUSE).await,
            }
        };
        let options = ClientOptions {
            route: Route::Queue(self.work_queue.clone()),
            connection_name: format!("florin sweeper {}", std::process::id()),
            // Who ended them is recorded, and may be demanded.
            send_user_id: true,
            ..ClientOptions::default()
        };
        let client = Client::connect(&self.amqp_url, options).await?;
        tracing::info!("this instance ends the transactions whose time is over");
        loop {
            while self.expire(&client, &lock).await? {}
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Ends the transactions whose time is over now; says whether there may be more.
    async fn expire(&self, client: &Client, lock: &SweepLock) -> Result<bool, Error> {
        let expired = lock.expired(SystemTime::now(), AT_A_TIME).await?;
        let calls = expired.iter().map(|transaction_id| async {
            let request = Request::Expire { transaction_id: *transaction_id };
            client.call(&request, CallOptions::default()).await
        });
        for answer in join_all(calls).await {
            answer?;
        }
        Ok(i64::try_from(expired.len()).is_ok_and(|expired| expired == AT_A_TIME))
    }
}
