//! What a program calls: requests in, answers out, retries in between.

use std::sync::Arc;
use std::time::Duration;

use florin_ledger::Decimal;
use florin_wire::{BalanceQueryBody, IDEMPOTENT_REPLAYED, MovementBody, Reply, Request};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, ShortString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::error::Error;
use crate::options::{CallOptions, ClientOptions};
use crate::session::{Message, Session, parse_url};
use crate::supervisor::{Attempt, NotTaken, Outcome, Supervisor, Waiting};

/// How long a call waits after bad news from the broker before it sends again.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// Survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// A connection to the service. Clones share it; it is closed when the last one goes.
#[derive(Debug, Clone)]
pub struct Client {
    options: Arc<ClientOptions>,
    places: Arc<Semaphore>,
    attempts: mpsc::Sender<Attempt>,
    /// Closed when the connection is.
    done: mpsc::Sender<()>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// What the service said.
    pub reply: Reply,
    /// Whether the request had been answered before, and this is the same answer again.
    pub replayed: bool,
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct RawReply {
    /// The bytes.
    pub body: Vec<u8>,
    /// All that came beside them.
    pub properties: BasicProperties,
}

impl RawReply {
    /// Whether the request had been answered before, and this is the same answer again.
    #[must_use]
    pub fn replayed(&self) -> bool {
        let headers = self.properties.headers().as_ref();
        let replayed = headers.and_then(|headers| headers.inner().get(IDEMPOTENT_REPLAYED));
        replayed == Some(&AMQPValue::Boolean(true))
    }
}

impl Client {
    /// Connects. From then on, lost connections are made again without end.
    ///
    /// # Errors
    ///
    /// When the URL is wrong or this first connection fails.
    pub async fn connect(amqp_url: &str, options: ClientOptions) -> Result<Self, Error> {
        let uri = parse_url(amqp_url)?;
        let session = Session::open(&uri, &options).await?;
        let options = Arc::new(options);
        // A place is needed to send an attempt, so this queue is never full.
        let (attempts, receiver) = mpsc::channel(options.max_in_flight);
        let (done, running) = mpsc::channel(1);
        let supervisor = Supervisor::new(uri, Arc::clone(&options), receiver);
        tokio::spawn(async move {
            supervisor.run(session).await;
            drop(running);
        });
        let places = Arc::new(Semaphore::new(options.max_in_flight));
        Ok(Self { options, places, attempts, done })
    }

    /// Credits a wallet.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A refusal is a [`Response`].
    pub async fn invoice(&self, wallet_id: i64, ticker: &str, amount: Decimal) -> Result<Response, Error> {
        let request = Request::Invoice(MovementBody::new(wallet_id, ticker, amount));
        self.call(&request, CallOptions::default()).await
    }

    /// Debits a wallet.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A refusal is a [`Response`].
    pub async fn withdraw(&self, wallet_id: i64, ticker: &str, amount: Decimal) -> Result<Response, Error> {
        let request = Request::Withdraw(MovementBody::new(wallet_id, ticker, amount));
        self.call(&request, CallOptions::default()).await
    }

    /// Reads the balances of a wallet.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A refusal is a [`Response`].
    pub async fn balance(&self, wallet_id: i64) -> Result<Response, Error> {
        self.call(&Request::Balance(BalanceQueryBody::new(wallet_id)), CallOptions::default()).await
    }

    /// Sends a request and waits for its answer. It has a `message_id` in any case, so it can be sent again
    /// when the connection is lost or the answer does not come, until the time is up.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A refusal is a [`Response`].
    pub async fn call(&self, request: &Request, options: CallOptions) -> Result<Response, Error> {
        let message_id = options.message_id.unwrap_or_else(|| Uuid::now_v7().to_string());
        let message_id = ShortString::try_new(message_id).map_err(|_| Error::TooLong("message_id"))?;
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(PERSISTENT)
            .with_message_id(message_id);
        let operation = request.operation().as_str().into();
        let message = Message { operation, properties, body: request.to_json() };
        let raw = self.deliver(message, options.timeout).await?;
        let reply = Reply::from_json(&raw.body).map_err(Error::Reply)?;
        Ok(Response { reply, replayed: raw.replayed() })
    }

    /// Sends any bytes with any properties, for tests and tools; `reply_to` and `correlation_id` are replaced.
    /// Without a `message_id` nothing is sent a second time, for that could apply it twice.
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
        self.deliver(Message { operation, properties, body }, timeout).await
    }

    /// Closes the connection, when this is the last clone of the client, and waits for the end of it.
    pub async fn close(self) {
        let Self { options, attempts, done, .. } = self;
        drop(attempts);
        // The supervisor limits its steps; this is for clones that are still in use.
        let _ = tokio::time::timeout(options.connect_timeout, done.closed()).await;
    }

    /// Sends the message until there is an answer or the time is up.
    async fn deliver(&self, message: Message, timeout: Option<Duration>) -> Result<RawReply, Error> {
        let timeout = timeout.unwrap_or(self.options.timeout);
        let deadline = Instant::now() + timeout;
        let message = Arc::new(message);
        let mut may_be_applied = false;
        loop {
            let Ok(place) = timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await else {
                return Err(self.out_of_time(&message, may_be_applied, timeout));
            };
            let place = place.map_err(|_| Error::Closed)?;
            let attempt_end = deadline.min(Instant::now() + self.options.attempt_timeout);
            match timeout_at(attempt_end, self.attempt(Arc::clone(&message), place)).await {
                Ok(Ok(Some(Ok(reply)))) => return Ok(reply),
                // Sent once, taken by nobody: nothing was done. Later, an earlier attempt may have been taken.
                Ok(Ok(Some(Err(NotTaken::Unroutable)))) if !may_be_applied => {
                    return Err(self.unroutable(&message));
                }
                Ok(Ok(Some(Err(_)))) => {
                    tokio::time::sleep_until(deadline.min(Instant::now() + RETRY_DELAY)).await;
                }
                Ok(Ok(None)) | Err(_) => {}
                Ok(Err(closed)) => return Err(closed),
            }
            may_be_applied = true;
            if Instant::now() >= deadline || message.properties.message_id().is_none() {
                return Err(self.out_of_time(&message, may_be_applied, timeout));
            }
        }
    }

    /// One attempt; none when the connection was lost.
    async fn attempt(
        &self,
        message: Arc<Message>,
        place: OwnedSemaphorePermit,
    ) -> Result<Option<Outcome>, Error> {
        let (outcome, answer) = oneshot::channel();
        let waiting = Waiting { outcome, _place: place };
        self.attempts.send(Attempt { message, waiting }).await.map_err(|_| Error::Closed)?;
        Ok(answer.await.ok())
    }

    fn unroutable(&self, message: &Message) -> Error {
        Error::Unroutable { operation: message.operation.to_string(), route: self.options.route.to_string() }
    }

    fn out_of_time(&self, message: &Message, may_be_applied: bool, timeout: Duration) -> Error {
        if !may_be_applied {
            return Error::Overloaded { max_in_flight: self.options.max_in_flight, timeout };
        }
        let message_id = message.properties.message_id().as_ref();
        Error::OutcomeUnknown { message_id: message_id.map(ToString::to_string).unwrap_or_default(), timeout }
    }
}
