//! The task that owns the connection: publishes, hands answers to their callers, reconnects.
//!
//! lapin's own recovery is not used: it takes long after a hard kill of the broker and misses lost consumers
//! and channels. Here, any failure ends the whole session: all callers learn of it (and send again by
//! themselves), and a new session is opened with a growing, capped delay between attempts.

use std::sync::Arc;
use std::time::Duration;

use florin_amqp::{Addresses, Backoff};
use florin_wire::{Reply, ResultBody};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::{BasicProperties, Confirmation, ErrorKind};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use crate::flights::Flights;
use crate::options::ClientOptions;
use crate::queue::{Answer, Attempt, AttemptError, Dispatch, Queue, Waiting};
use crate::response::{RawReply, Response};
use crate::session::Session;

/// After a session of this length the pauses start short again.
const STABLE_SESSION: Duration = Duration::from_secs(5);
/// How often calls whose callers stopped waiting are dropped.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);
/// How long calls are sent one by one after a batch was refused: an older service has no batches.
const NO_BATCHES: Duration = Duration::from_secs(10);

pub(crate) struct Supervisor {
    addresses: Addresses,
    options: Arc<ClientOptions>,
    attempts: mpsc::Receiver<Attempt>,
    queue: Queue,
    flights: Flights,
    /// No batches before this time.
    batches_from: Instant,
    /// Whether the broker confirmed any request in this session.
    any_confirmed: bool,
    last_correlation_id: u64,
}

/// Why a session ended.
enum End {
    /// All clients were dropped.
    Unused,
    /// The connection, the channel or the consumer was lost.
    Lost(Option<lapin::Error>),
}

impl Supervisor {
    pub(crate) fn new(
        addresses: Addresses,
        options: Arc<ClientOptions>,
        attempts: mpsc::Receiver<Attempt>,
    ) -> Self {
        Self {
            addresses,
            options,
            attempts,
            queue: Queue::default(),
            flights: Flights::default(),
            batches_from: Instant::now(),
            any_confirmed: false,
            last_correlation_id: 0,
        }
    }

    /// Runs until all clients are dropped.
    pub(crate) async fn run(mut self, mut session: Session) {
        let mut backoff = Backoff::new();
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
            if started.elapsed() >= STABLE_SESSION {
                backoff = Backoff::new();
            }
            let Some(next) = self.reconnect(&mut backoff).await else { return };
            tracing::info!("reconnected to the broker");
            session = next;
        }
    }

    /// None if all clients were dropped.
    async fn reconnect(&self, backoff: &mut Backoff) -> Option<Session> {
        loop {
            tokio::time::sleep(backoff.next_delay()).await;
            if self.attempts.is_closed() {
                return None;
            }
            match Session::open(&self.addresses, &self.options).await {
                Ok(session) => return Some(session),
                Err(error) => tracing::debug!(%error, "cannot connect to the broker yet"),
            }
        }
    }

    async fn serve(&mut self, session: &mut Session) -> End {
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut arrived = Vec::new();
        let mut idle = false;
        loop {
            tokio::select! {
                // Everything that is ready comes before sending, so that calls share messages.
                biased;
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
                count = self.attempts.recv_many(&mut arrived, self.options.max_in_flight) => {
                    if count == 0 {
                        return End::Unused;
                    }
                    self.queue.extend(arrived.drain(..));
                }
                _ = sweep.tick() => {
                    self.queue.sweep();
                    self.flights.sweep();
                }
                // Callers who were answered just now may call again at once: let them run first.
                () = tokio::task::yield_now(), if !idle => {
                    self.publish(session);
                    idle = true;
                    continue;
                }
            }
            idle = false;
        }
    }

    /// Sends what can be sent now. A blocked broker confirms nothing, so that nothing more is sent.
    fn publish(&mut self, session: &mut Session) {
        let coalescing = self.options.coalescing.as_ref().filter(|_| self.batches_from <= Instant::now());
        while session.unconfirmed.calls() < self.options.max_in_flight
            && let Some(dispatch) = self.queue.next_dispatch(coalescing, self.flights.counted())
        {
            let Dispatch { outgoing, callers, is_counted } = dispatch;
            self.last_correlation_id += 1;
            session.publish(&self.options.route, outgoing, self.last_correlation_id, callers.len());
            self.flights.insert(self.last_correlation_id, callers, is_counted);
        }
    }

    fn answer(&mut self, delivery: Delivery) {
        // No caller waits: the answer is late, or the second one to a request that was sent twice.
        let Some(mut callers) = self.take(&delivery.properties) else { return };
        if let [caller] = callers.as_mut_slice() {
            if let Some(waiting) = caller.take() {
                let reply = RawReply { body: delivery.data, properties: delivery.properties };
                waiting.send(Ok(Answer::Alone(reply)));
            }
            return;
        }
        match BatchAnswer::read(&delivery.data, callers.len()) {
            BatchAnswer::Results(results) => {
                for (caller, result) in callers.into_iter().zip(results) {
                    if let Some(waiting) = caller {
                        waiting.send(Ok(Answer::InBatch(Response::from(result))));
                    }
                }
            }
            BatchAnswer::Refused(reason) => self.retry_alone(callers, &reason),
            // As if it had not arrived: the callers retry, each alone.
            BatchAnswer::Unreadable(reason) => {
                tracing::warn!(reason, "the reply to a batch cannot be parsed");
            }
        }
    }

    /// Makes the callers of a batch retry, each alone.
    fn retry_alone(&mut self, callers: Vec<Option<Waiting>>, reason: &str) {
        tracing::warn!(reason, "batch refused, sending calls one by one for a while");
        self.batches_from = Instant::now() + NO_BATCHES;
        for waiting in callers.into_iter().flatten() {
            waiting.send(Err(AttemptError::BatchRefused));
        }
    }

    /// A confirmation only matters if it is negative: the answer is the positive one.
    fn confirmed(
        &mut self,
        correlation_id: u64,
        confirmation: lapin::Result<Confirmation>,
    ) -> Result<(), lapin::Error> {
        let confirmation = confirmation?;
        self.any_confirmed = true;
        if confirmation.is_nack() {
            let callers = self.flights.remove(correlation_id);
            for waiting in callers.into_iter().flatten().flatten() {
                waiting.send(Err(AttemptError::Nacked));
            }
        }
        // lapin may attach a returned message to the confirmation of another one.
        if let Some(returned) = confirmation.take_message()
            && let Some(mut callers) = self.take(&returned.delivery.properties)
        {
            match callers.as_mut_slice() {
                [caller] => {
                    if let Some(waiting) = caller.take() {
                        waiting.send(Err(AttemptError::Unroutable));
                    }
                }
                // A queue may be bound for single requests all the same.
                _ => self.retry_alone(callers, "no queue is bound for batches"),
            }
        }
        Ok(())
    }

    fn take(&mut self, properties: &BasicProperties) -> Option<Vec<Option<Waiting>>> {
        let correlation_id = properties.correlation_id().as_ref()?.as_str().parse().ok()?;
        self.flights.remove(correlation_id)
    }

    /// Makes all callers send again; unless the exchange was missing from the start: then an immediate retry
    /// is no use. One that went missing later may have routed earlier messages.
    fn release_waiting(&mut self, error: Option<&lapin::Error>) {
        let unroutable = error.is_some_and(is_not_found) && !self.any_confirmed;
        self.any_confirmed = false;
        for waiting in self.flights.drain() {
            if unroutable {
                waiting.send(Err(AttemptError::Unroutable));
            }
        }
    }
}

fn is_not_found(error: &lapin::Error) -> bool {
    let not_found = AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND);
    matches!(error.kind(), ErrorKind::ProtocolError(error) if *error.kind() == not_found)
}

/// The reply to a batch of calls.
enum BatchAnswer {
    /// One result per call, in order.
    Results(Vec<ResultBody>),
    /// The batch as a whole was refused, for this reason.
    Refused(String),
    /// Not an answer to this many calls, for this reason.
    Unreadable(String),
}

impl BatchAnswer {
    fn read(json: &[u8], calls: usize) -> Self {
        let reply = match Reply::from_json(json) {
            Ok(reply) => reply,
            Err(error) => return Self::Unreadable(error.to_string()),
        };
        match reply.results() {
            Ok(results) if results.len() == calls => Self::Results(results),
            Ok(results) => Self::Unreadable(format!("{} answers to {calls} calls", results.len())),
            Err(_) if !reply.is_done() => Self::Refused(reply.reason.unwrap_or_default()),
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }
}
