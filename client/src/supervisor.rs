//! The task that owns the connection: publishes, hands answers to their callers, reconnects.
//!
//! lapin's own recovery is not used: it takes long after a hard kill of the broker and misses lost consumers
//! and channels. Here, whatever ends a session ends it as a whole: all waiting callers are told so (they send
//! again by themselves), and a new session is opened with a growing, capped delay between the attempts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Confirmation, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use crate::client::RawReply;
use crate::options::ClientOptions;
use crate::session::{Message, Session};

/// The longest pause between attempts to connect.
const MAX_DELAY: Duration = Duration::from_secs(2);
/// A session that lasted so long was a good one: the pauses after it are short again.
const GOOD_SESSION: Duration = Duration::from_secs(5);
/// How often calls that nobody waits for any more are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

/// What became of one attempt. When there is none, the connection was lost.
pub(crate) type Outcome = Result<RawReply, NotTaken>;

/// Why the broker did not take a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// No queue takes it.
    Unroutable,
    /// The queue refused it.
    Refused,
}

/// One attempt of a call, and its place among the calls in flight.
///
/// The place is given back when the attempt is forgotten, not when its caller turns away, so that nothing
/// here can grow beyond the number of places.
pub(crate) struct Attempt {
    pub(crate) message: Arc<Message>,
    pub(crate) waiting: Waiting,
}

/// A caller.
pub(crate) struct Waiting {
    pub(crate) outcome: oneshot::Sender<Outcome>,
    pub(crate) _place: OwnedSemaphorePermit,
}

pub(crate) struct Supervisor {
    uri: AMQPUri,
    options: Arc<ClientOptions>,
    attempts: mpsc::Receiver<Attempt>,
    /// By correlation id.
    waiting: HashMap<u64, Waiting>,
    /// Whether the broker took any request in this session.
    any_taken: bool,
    last_correlation_id: u64,
}

/// Why a session ended.
enum End {
    /// All clients are gone.
    Unused,
    /// The connection, the channel or the consumer is gone.
    Lost(Option<lapin::Error>),
}

impl Supervisor {
    pub(crate) fn new(uri: AMQPUri, options: Arc<ClientOptions>, attempts: mpsc::Receiver<Attempt>) -> Self {
        Self { uri, options, attempts, waiting: HashMap::new(), any_taken: false, last_correlation_id: 0 }
    }

    /// Runs until all clients are gone.
    pub(crate) async fn run(mut self, mut session: Session) {
        let mut delays = backoff();
        loop {
            let started = Instant::now();
            let error = match self.serve(&mut session).await {
                End::Unused => return session.close(&self.options).await,
                End::Lost(error) => error,
            };
            drop(session);
            self.release_waiting(error.as_ref());
            let reason = error.map_or_else(|| "the consumer was cancelled".into(), |it| it.to_string());
            tracing::warn!(reason, "connection to the broker lost");
            if started.elapsed() >= GOOD_SESSION {
                delays = backoff();
            }
            let Some(next) = self.reconnect(&mut delays).await else { return };
            tracing::info!("connected to the broker again");
            session = next;
        }
    }

    /// None when all clients are gone.
    async fn reconnect(&self, delays: &mut ExponentialBackoff) -> Option<Session> {
        loop {
            tokio::time::sleep(delays.next().unwrap_or(MAX_DELAY)).await;
            if self.attempts.is_closed() {
                return None;
            }
            match Session::open(&self.uri, &self.options).await {
                Ok(session) => return Some(session),
                Err(error) => tracing::debug!(%error, "cannot connect to the broker yet"),
            }
        }
    }

    async fn serve(&mut self, session: &mut Session) -> End {
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // A blocked broker confirms nothing: then nothing more is handed to it.
            let may_publish = session.unconfirmed.len() < self.options.max_in_flight;
            tokio::select! {
                reply = session.replies.next() => match reply {
                    Some(Ok(delivery)) => self.answer(delivery),
                    Some(Err(error)) => return End::Lost(Some(error)),
                    None => return End::Lost(None),
                },
                (correlation_id, confirmation) = session.unconfirmed.next() => {
                    if let Err(error) = self.confirmed(correlation_id, confirmation) {
                        return End::Lost(Some(error));
                    }
                }
                attempt = self.attempts.recv(), if may_publish => match attempt {
                    Some(attempt) => self.publish(session, attempt),
                    None => return End::Unused,
                },
                _ = sweep.tick() => self.waiting.retain(|_, waiting| !waiting.outcome.is_closed()),
            }
        }
    }

    fn publish(&mut self, session: &mut Session, attempt: Attempt) {
        if attempt.waiting.outcome.is_closed() {
            return;
        }
        self.last_correlation_id += 1;
        let correlation_id = self.last_correlation_id;
        self.waiting.insert(correlation_id, attempt.waiting);
        session.publish(&self.options.route, attempt.message, correlation_id);
    }

    fn answer(&mut self, delivery: Delivery) {
        // An answer that nobody waits for is a late one, or the second to a request that was sent twice.
        if let Some(waiting) = self.take(&delivery.properties) {
            let reply = RawReply { body: delivery.data, properties: delivery.properties };
            let _ = waiting.outcome.send(Ok(reply));
        }
    }

    /// A confirmation matters only when it is bad news: good news is the answer.
    fn confirmed(
        &mut self,
        correlation_id: u64,
        confirmation: lapin::Result<Confirmation>,
    ) -> Result<(), lapin::Error> {
        let confirmation = confirmation?;
        self.any_taken = true;
        if confirmation.is_nack()
            && let Some(waiting) = self.waiting.remove(&correlation_id)
        {
            let _ = waiting.outcome.send(Err(NotTaken::Refused));
        }
        // lapin may hand over the returned message with the confirmation of another one.
        if let Some(returned) = confirmation.take_message()
            && let Some(waiting) = self.take(&returned.delivery.properties)
        {
            let _ = waiting.outcome.send(Err(NotTaken::Unroutable));
        }
        Ok(())
    }

    fn take(&mut self, properties: &BasicProperties) -> Option<Waiting> {
        let correlation_id = properties.correlation_id().as_ref()?.as_str().parse().ok()?;
        self.waiting.remove(&correlation_id)
    }

    /// Lets all callers send again; but when the exchange was missing from the start, trying again at once is of
    /// no use. One that went missing later may have passed on what it was sent before.
    fn release_waiting(&mut self, error: Option<&lapin::Error>) {
        let unroutable = error.is_some_and(is_not_found) && !self.any_taken;
        self.any_taken = false;
        for (_, waiting) in self.waiting.drain().filter(|_| unroutable) {
            let _ = waiting.outcome.send(Err(NotTaken::Unroutable));
        }
        self.waiting.clear();
    }
}

/// From 50 ms, doubled each time, with jitter.
fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(MAX_DELAY)
        .with_jitter()
        .without_max_times()
        .build()
}

fn is_not_found(error: &lapin::Error) -> bool {
    let not_found = AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND);
    matches!(error.kind(), ErrorKind::ProtocolError(error) if *error.kind() == not_found)
}
