//! HTTP's requests to the database, as values: the service answers them from its store, so that this crate
//! knows neither SQL nor connections.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use florin_keys::{ApiKey, Sealed};
use florin_ledger::{
    Command, Outcome, PendingRow, PendingSummary, PostingRow, Scale, TickerRow, WalletId, WalletRow,
};
use florin_metrics::Condition;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

/// Capacity of the queue of requests to the service.
pub const DATABASE_REQUESTS: usize = 64;

/// A request to the database.
#[derive(Debug)]
pub enum DatabaseRequest {
    /// Whether it answers at all, and what keeps it from executing requests.
    Ping(Call<(), Vec<(Condition, String)>>),
    /// The API key of this id, active or not, with what is kept of its secret.
    FindKey(Call<String, Option<(ApiKey, Sealed)>>),
    /// The answer to a query.
    Query(Call<Command, (Command, Outcome)>),
    /// The wallets of each of these transactions that exists.
    WalletsOf(Call<Vec<Uuid>, HashMap<Uuid, Vec<WalletId>>>),
    /// Wallets by number: those after the first parameter, at most as many as the second says.
    ListWallets(Call<(Option<WalletId>, i64), Vec<WalletRow>>),
    /// Creates the wallets of a range that do not exist yet; how many those were.
    CreateWallets(Call<RangeInclusive<WalletId>, u64>),
    /// All tickers, by name.
    ListTickers(Call<(), Vec<TickerRow>>),
    /// Adds a ticker; whether it is new.
    AddTicker(Call<(String, Scale), bool>),
    /// The postings of a transaction, in the order in which they were written.
    PostingsOf(Call<Uuid, Vec<PostingRow>>),
    /// Pending transactions, the oldest first: those younger than the first parameter, at most as many as the
    /// second says.
    ListPending(Call<(Option<Uuid>, i64), Vec<PendingRow>>),
    /// How many transactions are pending, and since when.
    PendingSummary(Call<(), PendingSummary>),
}

/// The parameters of a request and the way back for its answer. A caller that stops waiting drops its end,
/// so that the work can stop.
#[derive(Debug)]
pub struct Call<P, A> {
    /// What the request is about.
    pub parameters: P,
    /// Takes the answer.
    pub answer: oneshot::Sender<Result<A, DatabaseError>>,
}

/// Why the database gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be reached, or cannot answer now.
    #[error("{0}")]
    Unavailable(String),
    /// No answer came in time: a write may have been done or not.
    #[error("the database did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It refuses the data, now and always.
    #[error("{0}")]
    Refused(String),
    /// What was to be created exists, with another meaning.
    #[error("{0}")]
    Exists(String),
}

/// The database, as HTTP uses it.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    requests: mpsc::Sender<DatabaseRequest>,
    timeout: Duration,
}

impl Database {
    pub(crate) const fn new(requests: mpsc::Sender<DatabaseRequest>, timeout: Duration) -> Self {
        Self { requests, timeout }
    }

    /// Sends a request and awaits its answer. `request` is its variant, made from the parameters.
    pub(crate) async fn call<P, A>(
        &self,
        request: impl FnOnce(Call<P, A>) -> DatabaseRequest,
        parameters: P,
    ) -> Result<A, DatabaseError> {
        let (answer, answered) = oneshot::channel();
        let request = request(Call { parameters, answer });
        let stopped = || DatabaseError::Unavailable("the service is stopping".into());
        let answer = async {
            self.requests.send(request).await.map_err(|_| stopped())?;
            answered.await.map_err(|_| stopped())?
        };
        self.within(answer).await
    }

    /// Limits the time of work that waits for the database.
    pub(crate) async fn within<T, E: From<DatabaseError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        timeout(self.timeout, work)
            .await
            .unwrap_or_else(|_| Err(DatabaseError::TimedOut(self.timeout).into()))
    }
}
