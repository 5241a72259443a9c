//! Publishes requests as fast as the broker confirms them, without waiting for answers, and counts the
//! answers. Runs on a thread of its own.
//!
//! With one request per message the service keeps up with the broker, which would be no overload. So each
//! message has many.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

const EXCHANGE: &str = "florin.requests";
const OPERATION: &str = "batch";
/// Per message.
pub(crate) const REQUESTS: u64 = 100;
/// Messages that are not confirmed yet.
const UNCONFIRMED: usize = 1000;
/// The longest backlog: the disk is finite.
const MOST_WAITING: u64 = 50_000;
/// A broker under a resource alarm blocks publishers for a while.
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the broker: {0}")]
    Broker(#[from] lapin::Error),
    #[error("the broker confirmed nothing for {} s", PATIENCE.as_secs())]
    Stuck,
    #[error("cannot start a runtime: {0}")]
    Runtime(#[from] std::io::Error),
    #[error("publishing failed: {0}")]
    Failed(String),
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    confirmed: AtomicU64,
    /// Distinct messages: an answer that comes twice counts once.
    answered: AtomicU64,
}

impl Counts {
    /// Messages that were confirmed and are not answered. An answer can come before its confirm.
    pub(crate) fn waiting(&self) -> u64 {
        let (confirmed, answered) = self.totals();
        confirmed.saturating_sub(answered)
    }

    pub(crate) fn totals(&self) -> (u64, u64) {
        let answered = self.answered.load(Ordering::Relaxed);
        (self.confirmed.load(Ordering::Relaxed), answered)
    }
}

/// The thread. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Flood {
    thread: Option<JoinHandle<()>>,
    signals: Arc<Signals>,
}

#[derive(Debug, Default)]
struct Signals {
    stop: AtomicBool,
    /// All published messages are confirmed.
    stopped: AtomicBool,
    end: AtomicBool,
    failure: std::sync::Mutex<Option<String>>,
}

impl Flood {
    pub(crate) fn start(amqp_url: &str, wallets: u32, counts: Arc<Counts>) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let signals = Arc::new(Signals::default());
        let (url, own) = (amqp_url.to_owned(), Arc::clone(&signals));
        let thread = thread::spawn(move || {
            if let Err(error) = runtime.block_on(run(&url, wallets, &counts, &own)) {
                let mut failure = own.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                *failure = Some(error.to_string());
            }
        });
        Ok(Self { thread: Some(thread), signals })
    }

    /// An error when it has failed.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut failure = self.signals.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        failure.take().map_or(Ok(()), |reason| Err(Error::Failed(reason)))
    }

    /// Publishes nothing more, but goes on counting answers.
    pub(crate) fn stop_publishing(&self) {
        self.signals.stop.store(true, Ordering::Relaxed);
    }

    /// Whether all that was sent is confirmed.
    pub(crate) fn has_stopped(&self) -> bool {
        self.signals.stopped.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.signals.stop.store(true, Ordering::Relaxed);
        self.signals.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // `check` has reported the error.
            let _ = thread.join();
        }
    }
}

async fn run(url: &str, wallets: u32, counts: &Arc<Counts>, signals: &Signals) -> Result<(), Error> {
    // The broker may block a connection that publishes, so answers come through another.
    let answers = Connection::connect(url, ConnectionProperties::default()).await?;
    let requests = Connection::connect(url, ConnectionProperties::default()).await?;
    let reply_to = count_answers(&answers.create_channel().await?, Arc::clone(counts)).await?;
    let channel = requests.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    publish(&channel, wallets, &reply_to, counts, signals).await?;
    signals.stopped.store(true, Ordering::Relaxed);
    while !signals.end.load(Ordering::Relaxed) {
        sleep(PAUSE).await;
    }
    requests.close(200, "done".into()).await?;
    answers.close(200, "done".into()).await?;
    Ok(())
}

/// A queue for the answers, which are counted as they come.
async fn count_answers(channel: &Channel, counts: Arc<Counts>) -> Result<ShortString, Error> {
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), exclusive, FieldTable::default()).await?;
    let name = queue.name().clone();
    let consume = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut replies =
        channel.basic_consume(name.clone(), ShortString::default(), consume, FieldTable::default()).await?;
    tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(Ok(reply)) = replies.next().await {
            let number = reply.properties.correlation_id().as_ref().and_then(|id| id.as_str().parse().ok());
            if number.is_some_and(|number| is_new(&mut seen, number)) {
                counts.answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    Ok(name)
}

/// Whether this number was not there before.
fn is_new(seen: &mut Vec<bool>, number: usize) -> bool {
    if number >= seen.len() {
        seen.resize(number + 1, false);
    }
    !std::mem::replace(&mut seen[number], true)
}

async fn publish(
    channel: &Channel,
    wallets: u32,
    reply_to: &ShortString,
    counts: &Counts,
    signals: &Signals,
) -> Result<(), Error> {
    let mut unconfirmed = VecDeque::with_capacity(UNCONFIRMED);
    let mut number = 0_u64;
    loop {
        let stop = signals.stop.load(Ordering::Relaxed);
        if unconfirmed.len() >= UNCONFIRMED || stop {
            let Some(confirm) = unconfirmed.pop_front() else { return Ok(()) };
            timeout(PATIENCE, confirm).await.map_err(|_| Error::Stuck)??;
            counts.confirmed.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        if counts.waiting() >= MOST_WAITING {
            sleep(PAUSE).await;
            continue;
        }
        let body = body(number, u64::from(wallets));
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(2)
            .with_reply_to(reply_to.clone())
            .with_correlation_id(number.to_string().into())
            .with_message_id(Uuid::now_v7().to_string().into());
        let options = BasicPublishOptions::default();
        let sent =
            channel.basic_publish(EXCHANGE.into(), OPERATION.into(), options, body.as_bytes(), properties);
        unconfirmed.push_back(timeout(PATIENCE, sent).await.map_err(|_| Error::Stuck)??);
        number += 1;
    }
}

fn body(number: u64, wallets: u64) -> String {
    let operation = |index: u64| {
        let (id, wallet_id) = (Uuid::now_v7(), 1 + (number * REQUESTS + index) % wallets);
        format!(r#"{{"operation":"invoice","id":"{id}","wallet_id":{wallet_id},"ticker":"USD","amount":1}}"#)
    };
    let operations: Vec<String> = (0..REQUESTS).map(operation).collect();
    format!(r#"{{"operations":[{}]}}"#, operations.join(","))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_message_has_different_requests_to_wallets_in_turn() {
        let message: serde_json::Value = serde_json::from_str(&body(1, 1000)).unwrap();
        let operations = message["operations"].as_array().unwrap();
        let ids: HashSet<&str> = operations.iter().map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len() as u64, REQUESTS);
        let wallets: Vec<u64> = operations.iter().map(|one| one["wallet_id"].as_u64().unwrap()).collect();
        assert!(wallets.iter().copied().eq(101..=200), "{wallets:?}");
    }

    #[test]
    fn an_answer_counts_once() {
        let mut seen = Vec::new();
        assert!(is_new(&mut seen, 5) && is_new(&mut seen, 0) && !is_new(&mut seen, 5));
    }

    #[test]
    fn an_answer_before_its_confirm_is_not_waited_for() {
        let counts = Counts::default();
        counts.answered.store(3, Ordering::Relaxed);
        counts.confirmed.store(2, Ordering::Relaxed);
        assert_eq!(counts.waiting(), 0);
    }
}
