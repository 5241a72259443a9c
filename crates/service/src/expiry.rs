//! Expires overdue holds.
//!
//! The worker has no way of its own into the ledger: it sends `expire` requests through the broker, as any
//! client could, and the rules decide by the clock of the instance that executes them. One instance does it
//! at a time, the one that holds a lock of the database. Two at once would do no harm, only double work.

use std::time::{Duration, SystemTime};

use florin_broker::connection_name;
use florin_client::{CallOptions, Client, ClientOptions, Request, Route};
use florin_store::{self as store, ExpiryLock, Store};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

/// How late an expiry can be noticed.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long to wait after a failure, and for the lock that another instance holds.
const PAUSE: Duration = Duration::from_secs(1);
/// How many holds are expired at a time.
const BATCH: i64 = 1000;

#[derive(Debug)]
pub(crate) struct ExpiryWorker {
    pub(crate) store: Store,
    pub(crate) amqp_url: String,
    pub(crate) work_queue: String,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Client(#[from] florin_client::Error),
}

impl ExpiryWorker {
    /// Works until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let working = async {
            loop {
                if let Err(error) = self.work().await {
                    tracing::warn!(%error, "expiry worker failed, retrying: overdue transactions stay pending meanwhile");
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        shutdown.run_until_cancelled(working).await;
    }

    /// Waits for the lock, and then expires holds until something fails.
    async fn work(&self) -> Result<(), Error> {
        let lock = loop {
            match self.store.try_expiry_lock().await? {
                Some(lock) => break lock,
                None => tokio::time::sleep(PAUSE).await,
            }
        };
        let options = ClientOptions {
            route: Route::Queue(self.work_queue.clone()),
            connection_name: connection_name("expiry"),
            // Who resolved a hold is recorded, and may be required.
            send_user_id: true,
            ..ClientOptions::default()
        };
        let client = Client::connect(&self.amqp_url, options).await?;
        tracing::info!("expiry worker started: this instance expires overdue pending transactions");
        loop {
            while self.expire(&client, &lock).await? {}
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Expires the holds that are overdue now, and returns whether there may be more.
    async fn expire(&self, client: &Client, lock: &ExpiryLock) -> Result<bool, Error> {
        let overdue = lock.overdue(SystemTime::now(), BATCH).await?;
        let calls = overdue.iter().map(|transaction_id| async {
            let request = Request::Expire { transaction_id: *transaction_id };
            client.call(&request, CallOptions::default()).await
        });
        for answer in join_all(calls).await {
            answer?;
        }
        Ok(i64::try_from(overdue.len()).is_ok_and(|overdue| overdue == BATCH))
    }
}
