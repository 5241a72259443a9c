//! The client: requests in, answers out, retries in between.

use std::sync::Arc;
use std::time::Duration;

use florin_ledger::Operation;
use florin_wire::{BATCH, BatchRequest, Body, Request, is_identity};
use lapin::BasicProperties;
use lapin::types::ShortString;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::error::Error;
use crate::message::{Call, Message, Outgoing, properties};
use crate::options::{CallOptions, ClientOptions};
use crate::queue::{Answer, Attempt, AttemptError, Outcome, Waiting};
use crate::response::{BatchResponse, RawReply, Response};
use crate::session::{Session, parse_urls};
use crate::supervisor::Supervisor;

/// Pause before a request is sent again after the broker rejected it.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// A connection to the service. Clones share it; it is closed when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Client {
    options: Arc<ClientOptions>,
    places: Arc<Semaphore>,
    attempts: mpsc::Sender<Attempt>,
    /// Closed when the connection is.
    done: mpsc::Sender<()>,
}

impl Client {
    /// Connects. From then on, lost connections are re-established without end. The URL may be one of TLS
    /// (`amqps://`), and name certificates: see [`Address`](crate::Address). It may also be several with commas between
    /// them, the nodes of a cluster: they are tried in a random order, the one that worked last first.
    ///
    /// # Errors
    ///
    /// When the URL or a file it names cannot be used, or this first connection fails.
    pub async fn connect(amqp_url: &str, options: ClientOptions) -> Result<Self, Error> {
        let addresses = parse_urls(amqp_url)?;
        let session = Session::open(&addresses, &options).await?;
        let options = Arc::new(options);
        // A place is needed to send an attempt, so this queue is never full.
        let (attempts, receiver) = mpsc::channel(options.max_in_flight);
        let (done, running) = mpsc::channel(1);
        let supervisor = Supervisor::new(addresses, Arc::clone(&options), receiver);
        tokio::spawn(async move {
            supervisor.run(session).await;
            drop(running);
        });
        let places = Arc::new(Semaphore::new(options.max_in_flight));
        Ok(Self { options, places, attempts, done })
    }

    /// Sends a request and waits for its answer. It always has a `message_id`, so it is sent again when the
    /// connection is lost or the answer does not come, until the time limit.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A refusal is a [`Response`].
    pub async fn call(&self, request: &Request, options: CallOptions) -> Result<Response, Error> {
        self.call_body(request.operation(), Body::from(request), options).await
    }

    /// Like [`Client::call`], with a body as JSON.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A refusal is a [`Response`].
    pub async fn call_body(
        &self,
        operation: Operation,
        body: Body,
        options: CallOptions,
    ) -> Result<Response, Error> {
        let message_id = message_id(options.message_id)?;
        let on_behalf_of = on_behalf_of(options.on_behalf_of)?;
        let message = Message::Call(Call { operation, message_id, body, on_behalf_of });
        match self.deliver(message, options.timeout).await? {
            Answer::InBatch(response) => Ok(response),
            Answer::Alone(raw) => raw.read().map_err(Error::Reply),
        }
    }

    /// Sends several requests as one message and waits for the answer to all of them. Like a [`Client::call`]
    /// it always has a `message_id`; its operations have their own, or one derived from it.
    ///
    /// Use it for atomic batches, not for speed: concurrent calls share messages anyway.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A refusal is a [`BatchResponse`].
    pub async fn batch(&self, batch: &BatchRequest, options: CallOptions) -> Result<BatchResponse, Error> {
        self.deliver_batch(batch.to_json(), options).await?.read_batch().map_err(Error::Reply)
    }

    /// Like [`Client::batch`], with a body as JSON. The results stay in the reply.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A refusal is a [`Response`].
    pub async fn batch_body(&self, body: Vec<u8>, options: CallOptions) -> Result<Response, Error> {
        self.deliver_batch(body, options).await?.read().map_err(Error::Reply)
    }

    /// Sends any bytes with any properties, for tests and tools; `reply_to` and `correlation_id` are
    /// replaced. Without a `message_id` nothing is sent a second time, because it could be applied twice.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn call_raw(
        &self,
        operation: &str,
        body: Vec<u8>,
        properties: BasicProperties,
        timeout: Option<Duration>,
    ) -> Result<RawReply, Error> {
        let operation = ShortString::try_new(operation).map_err(|_| Error::TooLong("the operation"))?;
        self.deliver_alone(Outgoing { operation, properties, body }, timeout).await
    }

    /// Closes the connection, if this is the last clone of the client, and waits until it is closed.
    pub async fn close(self) {
        let Self { options, attempts, done, .. } = self;
        drop(attempts);
        // The supervisor limits its own steps; this limit is for clones that are still in use.
        let _ = tokio::time::timeout(options.connect_timeout, done.closed()).await;
    }

    async fn deliver_batch(&self, body: Vec<u8>, options: CallOptions) -> Result<RawReply, Error> {
        let on_behalf_of = on_behalf_of(options.on_behalf_of)?;
        let properties = properties(on_behalf_of.as_deref()).with_message_id(message_id(options.message_id)?);
        self.deliver_alone(Outgoing { operation: BATCH.into(), properties, body }, options.timeout).await
    }

    async fn deliver_alone(&self, message: Outgoing, timeout: Option<Duration>) -> Result<RawReply, Error> {
        match self.deliver(Message::Raw(Box::new(message)), timeout).await? {
            Answer::Alone(raw) => Ok(raw),
            Answer::InBatch(_) => unreachable!("only calls are coalesced"),
        }
    }

    /// Sends the message until there is an answer or the time limit is reached.
    async fn deliver(&self, message: Message, timeout: Option<Duration>) -> Result<Answer, Error> {
        let timeout = timeout.unwrap_or(self.options.timeout);
        let deadline = Instant::now() + timeout;
        let message = Arc::new(message);
        let (mut is_retry, mut may_be_applied) = (false, false);
        loop {
            let Ok(place) = timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await else {
                return Err(self.out_of_time(&message, may_be_applied, timeout));
            };
            let place = place.map_err(|_| Error::Closed)?;
            let attempt_end = deadline.min(Instant::now() + self.options.attempt_timeout);
            let attempt = self.attempt(Arc::clone(&message), is_retry, place);
            match timeout_at(attempt_end, attempt).await {
                Ok(Ok(Some(Ok(answer)))) => return Ok(answer),
                // Returned at the first attempt: nothing was done. Later, an earlier attempt may have been
                // delivered.
                Ok(Ok(Some(Err(AttemptError::Unroutable)))) if !may_be_applied => {
                    return Err(self.unroutable(&message));
                }
                Ok(Ok(Some(Err(AttemptError::BatchRefused)))) => {}
                Ok(Ok(Some(Err(AttemptError::Unroutable | AttemptError::Nacked)))) => {
                    may_be_applied = true;
                    tokio::time::sleep_until(deadline.min(Instant::now() + RETRY_DELAY)).await;
                }
                Ok(Ok(None)) | Err(_) => may_be_applied = true,
                Ok(Err(closed)) => return Err(closed),
            }
            is_retry = true;
            if Instant::now() >= deadline || message.message_id().is_none() {
                return Err(self.out_of_time(&message, may_be_applied, timeout));
            }
        }
    }

    /// One attempt; none if its outcome is unknown.
    async fn attempt(
        &self,
        message: Arc<Message>,
        is_retry: bool,
        place: OwnedSemaphorePermit,
    ) -> Result<Option<Outcome>, Error> {
        let (outcome, answer) = oneshot::channel();
        let waiting = Waiting { outcome, _place: place };
        self.attempts.send(Attempt { message, is_retry, waiting }).await.map_err(|_| Error::Closed)?;
        Ok(answer.await.ok())
    }

    fn unroutable(&self, message: &Message) -> Error {
        Error::Unroutable { operation: message.operation().to_owned(), route: self.options.route.to_string() }
    }

    fn out_of_time(&self, message: &Message, may_be_applied: bool, timeout: Duration) -> Error {
        if !may_be_applied {
            return Error::Overloaded { max_in_flight: self.options.max_in_flight, timeout };
        }
        let message_id = message.message_id().unwrap_or_default().to_owned();
        Error::OutcomeUnknown { message_id, timeout }
    }
}

/// Bounded, because it is kept with the call. The service validates the content.
fn on_behalf_of(given: Option<String>) -> Result<Option<String>, Error> {
    const LONGEST: usize = 255;
    if given.as_ref().is_some_and(|name| name.len() > LONGEST) {
        return Err(Error::TooLong("on_behalf_of"));
    }
    Ok(given)
}

/// A fresh identity if none is given.
fn message_id(given: Option<String>) -> Result<ShortString, Error> {
    let given = given.filter(|id| is_identity(id));
    let message_id = given.unwrap_or_else(|| Uuid::now_v7().to_string());
    ShortString::try_new(message_id).map_err(|_| Error::TooLong("message_id"))
}
