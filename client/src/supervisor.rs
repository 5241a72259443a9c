//! The task that owns the connection: publishes, hands answers to their callers, reconnects.
//!
//! lapin's own recovery is not used: it takes long after a hard kill of the broker and misses lost consumers
//! and channels. Here, whatever ends a session ends it as a whole: all waiting callers are told so (they send
//! again by themselves), and a new session is opened with a growing, capped delay between the attempts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Confirmation, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::client::RawReply;
use crate::error::Error;
use crate::options::ClientOptions;
use crate::session::{Message, Session};

/// The delay between attempts to connect grows from the first to the second.
const RECONNECT_DELAY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
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
        Self { uri, options, attempts, waiting: HashMap::new(), last_correlation_id: 0 }
    }

    /// Runs until all clients are gone.
    pub(crate) async fn run(mut self, mut session: Session) {
        loop {
            let end = self.serve(&mut session).await;
            session.close(&self.options).await;
            let End::Lost(error) = end else { return };
            self.release_waiting(error.as_ref());
            let reason = error.map_or_else(|| "the broker ended the consumer".into(), |it| it.to_string());
            tracing::warn!(reason, "connection to the broker lost");
            session = match self.reconnect().await {
                Ok(session) => session,
                Err(_unused) => return,
            };
            tracing::info!("connected to the broker again");
        }
    }

    async fn reconnect(&self) -> Result<Session, Error> {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(RECONNECT_DELAY.0)
            .with_max_delay(RECONNECT_DELAY.1)
            .without_max_times()
            .with_jitter();
        let open = || Session::open(&self.uri, &self.options);
        open.retry(backoff)
            .sleep(tokio::time::sleep)
            .when(|_| !self.attempts.is_closed())
            .notify(|error, delay| tracing::debug!(%error, ?delay, "cannot connect to the broker yet"))
            .await
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

    /// Lets all callers send again; but when the exchange is missing, trying again at once is of no use.
    fn release_waiting(&mut self, error: Option<&lapin::Error>) {
        let unroutable = error.is_some_and(is_not_found);
        for (_, waiting) in self.waiting.drain().filter(|_| unroutable) {
            let _ = waiting.outcome.send(Err(NotTaken::Unroutable));
        }
        self.waiting.clear();
    }
}

fn is_not_found(error: &lapin::Error) -> bool {
    let not_found = AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND);
    matches!(error.kind(), ErrorKind::ProtocolError(error) if *error.kind() == not_found)
}
