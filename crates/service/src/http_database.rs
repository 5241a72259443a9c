//! Answers HTTP's requests to the database.

use std::sync::Arc;
use std::time::Duration;

use florin_http::{Call, DatabaseError, DatabaseRequest};
use florin_metrics::Metrics;
use florin_store::{Error, Store};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

/// Connections of the pool that HTTP leaves to the writer and to the expiry worker.
const RESERVED_CONNECTIONS: usize = 2;
/// How often the use of the pool is recorded.
const RECORD_PERIOD: Duration = Duration::from_secs(1);

/// Answers requests until HTTP ends. Their number is bounded by HTTP, which waits for each; those that work
/// on the database at a time are bounded here, so that queries cannot starve the writer.
pub(crate) async fn answer(
    store: Store,
    mut requests: mpsc::Receiver<DatabaseRequest>,
    pool_size: usize,
    metrics: Arc<Metrics>,
) {
    let places = Arc::new(Semaphore::new(pool_size.saturating_sub(RESERVED_CONNECTIONS).max(1)));
    let mut ticks = interval(RECORD_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            request = requests.recv() => match request {
                Some(request) => drop(tokio::spawn(respond(store.clone(), Arc::clone(&places), request))),
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

async fn respond(store: Store, places: Arc<Semaphore>, request: DatabaseRequest) {
    use DatabaseRequest::{
        AddTicker, CreateWallets, FindKey, ListPending, ListTickers, ListWallets, PendingSummary, Ping,
        PostingsOf, Query, WalletsOf,
    };
    match request {
        // Readiness does not wait behind queries.
        Ping(Call { answer, .. }) => send(&Semaphore::new(1), answer, store.ping()).await,
        FindKey(Call { parameters: id, answer }) => send(&places, answer, store.find_key(&id)).await,
        Query(Call { parameters: command, answer }) => send(&places, answer, store.look_up(command)).await,
        WalletsOf(Call { parameters: ids, answer }) => send(&places, answer, store.wallets_of(&ids)).await,
        ListWallets(Call { parameters: (after, limit), answer }) => {
            send(&places, answer, store.list_wallets(after, limit)).await;
        }
        CreateWallets(Call { parameters: wallet_ids, answer }) => {
            send(&places, answer, store.create_wallets(wallet_ids)).await;
        }
        ListTickers(Call { answer, .. }) => send(&places, answer, store.list_tickers()).await,
        AddTicker(Call { parameters: (name, scale), answer }) => {
            send(&places, answer, store.add_ticker(&name, scale)).await;
        }
        PostingsOf(Call { parameters: id, answer }) => send(&places, answer, store.postings_of(id)).await,
        ListPending(Call { parameters: (after, limit), answer }) => {
            send(&places, answer, store.pending(after, limit)).await;
        }
        PendingSummary(Call { answer, .. }) => send(&places, answer, store.pending_summary()).await,
    }
}

/// Sends the answer of the database; stops the work if the caller stops waiting.
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
