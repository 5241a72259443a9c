//! Answers HTTP's requests to the database.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use florin_http::{Call, DatabaseError, DatabaseRequest};
use florin_metrics::{Condition, Metrics};
use florin_store::{DatabaseStatus, Error, Store};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

/// Connections of the pool that queries leave to the writer, the expiry worker, keys and readiness.
const RESERVED_CONNECTIONS: usize = 4;
/// How often the use of the pool is recorded.
const RECORD_PERIOD: Duration = Duration::from_secs(1);

/// How many requests work on the database at a time. What everybody waits for does not wait behind queries.
#[derive(Clone)]
struct Places {
    queries: Arc<Semaphore>,
    keys: Arc<Semaphore>,
    pings: Arc<Semaphore>,
}

impl Places {
    fn new(pool_size: usize) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        let queries = places(pool_size.saturating_sub(RESERVED_CONNECTIONS).max(1));
        Self { queries, keys: places(1), pings: places(1) }
    }
}

/// Answers requests until HTTP ends. Their number is bounded by HTTP, which waits for each; those that work
/// on the database at a time are bounded here, so that queries cannot starve the writer.
pub(crate) async fn answer(
    store: Store,
    mut requests: mpsc::Receiver<DatabaseRequest>,
    pool_size: usize,
    metrics: Arc<Metrics>,
) {
    let places = Places::new(pool_size);
    let mut ticks = interval(RECORD_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            request = requests.recv() => match request {
                Some(request) => drop(tokio::spawn(respond(store.clone(), places.clone(), request))),
                None => return,
            },
            _ = ticks.tick() => record_pool(&store, &metrics),
        }
    }
}

fn record_pool(store: &Store, metrics: &Metrics) {
    let pool = store.pool_status();
    let in_use = pool.size.saturating_sub(pool.available);
    for (state, connections) in [("idle", pool.available), ("in_use", in_use), ("max", pool.max_size)] {
        let gauge = metrics.database_pool_connections.with_label_values(&[state]);
        gauge.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }
}

async fn respond(store: Store, Places { queries, keys, pings }: Places, request: DatabaseRequest) {
    use DatabaseRequest::{
        AddTicker, CreateWallets, FindKey, ListPending, ListTickers, ListWallets, PendingSummary, Ping,
        PostingsOf, Query, WalletsOf,
    };
    match request {
        Ping(Call { answer, .. }) => send(&pings, answer, conditions(&store)).await,
        FindKey(Call { parameters: id, answer }) => send(&keys, answer, store.find_key(&id)).await,
        Query(Call { parameters: command, answer }) => send(&queries, answer, store.look_up(command)).await,
        WalletsOf(Call { parameters: ids, answer }) => send(&queries, answer, store.wallets_of(&ids)).await,
        ListWallets(Call { parameters: (after, limit), answer }) => {
            send(&queries, answer, store.list_wallets(after, limit)).await;
        }
        CreateWallets(Call { parameters: wallet_ids, answer }) => {
            send(&queries, answer, store.create_wallets(wallet_ids)).await;
        }
        ListTickers(Call { answer, .. }) => send(&queries, answer, store.list_tickers()).await,
        AddTicker(Call { parameters: (name, scale), answer }) => {
            send(&queries, answer, store.add_ticker(&name, scale)).await;
        }
        PostingsOf(Call { parameters: id, answer }) => send(&queries, answer, store.postings_of(id)).await,
        ListPending(Call { parameters: (after, limit), answer }) => {
            send(&queries, answer, store.pending(after, limit)).await;
        }
        PendingSummary(Call { answer, .. }) => send(&queries, answer, store.pending_summary()).await,
    }
}

/// What keeps the database from executing requests, although it answers.
async fn conditions(store: &Store) -> Result<Vec<(Condition, String)>, Error> {
    match store.ping().await {
        Ok(()) => {}
        Err(error @ Error::ReadOnly) => return Ok(vec![(Condition::DatabaseReadOnly, error.to_string())]),
        Err(error) => return Err(error),
    }
    let expected = DatabaseStatus::expected_schema_version();
    let version = match store.schema_version().await {
        Ok(version) => version.unwrap_or_default(),
        // The role may not read the history of migrations: that keeps it from nothing.
        Err(Error::InvalidStatement(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let condition = match version.cmp(&expected) {
        Ordering::Less => Condition::SchemaOlder,
        Ordering::Equal => return Ok(Vec::new()),
        Ordering::Greater => Condition::SchemaNewer,
    };
    let text = format!("the schema has version {version}, and this program was made for {expected}");
    Ok(vec![(condition, text)])
}

/// Sends the answer of the database, unless nobody waits for it any more.
async fn send<A>(
    places: &Semaphore,
    mut answer: oneshot::Sender<Result<A, DatabaseError>>,
    work: impl Future<Output = Result<A, Error>>,
) {
    let work = async {
        let _place = places.acquire().await;
        work.await.map_err(|error| failure(&error))
    };
    tokio::select! {
        result = work => drop(answer.send(result)),
        () = answer.closed() => {}
    }
}

fn failure(error: &Error) -> DatabaseError {
    let text = error.to_string();
    match error {
        Error::TickerExists { .. } => DatabaseError::Exists(text),
        Error::InvalidData(_) => DatabaseError::Refused(text),
        _ => DatabaseError::Unavailable(text),
    }
}
