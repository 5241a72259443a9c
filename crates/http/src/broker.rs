//! The way of money operations: HTTP is a client of the broker like any other, so that there is one way in.
//!
//! Calls made at the same time share messages. The connection is made when it is first needed, and from then on
//! the client sees to it.

use std::time::Duration;

use florin_client::{Body, CallOptions, Client, ClientOptions, Error, Operation, Response, Route};
use florin_wire::BATCH;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::problem::{Fault, Problem};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Who asks, and under which identity.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) message_id: String,
    /// The transaction that it opens or ends.
    pub(super) transaction_id: Option<Uuid>,
    pub(super) on_behalf_of: String,
}

impl Asked {
    fn options(self) -> CallOptions {
        let Self { message_id, on_behalf_of, .. } = self;
        CallOptions {
            message_id: Some(message_id),
            on_behalf_of: Some(on_behalf_of),
            ..CallOptions::default()
        }
    }
}

/// The broker, as HTTP uses it.
#[derive(Debug)]
pub(super) struct Broker {
    amqp_url: String,
    options: ClientOptions,
    client: OnceCell<Client>,
}

impl Broker {
    /// Sends to this queue; an answer is waited for so long.
    pub(super) fn new(amqp_url: String, work_queue: String, timeout: Duration, max_in_flight: usize) -> Self {
        let options = ClientOptions {
            route: Route::Queue(work_queue),
            timeout,
            max_in_flight,
            connect_timeout: CONNECT_TIMEOUT,
            // Only to its own user the service believes for whom it asks.
            send_user_id: true,
            connection_name: format!("florin http {}", std::process::id()),
            ..ClientOptions::default()
        };
        Self { amqp_url, options, client: OnceCell::new() }
    }

    /// What the service answers to one operation.
    pub(super) async fn call(
        &self,
        operation: Operation,
        body: Body,
        asked: Asked,
    ) -> Result<Response, Problem> {
        let transaction_id = asked.transaction_id;
        let name = operation.as_str();
        let answer = async { self.client().await?.call_body(operation, body, asked.options()).await };
        answer.await.map_err(|error| problem(&error).of_operation(name).of_transaction(transaction_id))
    }

    /// What the service answers to a batch. Whose it is stands in a header, whatever is written in the operations.
    pub(super) async fn batch(&self, body: Vec<u8>, asked: Asked) -> Result<Response, Problem> {
        let answer = async { self.client().await?.batch_body(body, asked.options()).await };
        answer.await.map_err(|error| problem(&error).of_operation(BATCH))
    }

    async fn client(&self) -> Result<&Client, Error> {
        self.client.get_or_try_init(|| Client::connect(&self.amqp_url, self.options.clone())).await
    }
}

/// An answer that is not there. Only where it is certain that nothing was done the caller is told so.
fn problem(error: &Error) -> Problem {
    let fault = match error {
        Error::Overloaded { .. } => Fault::Overloaded,
        Error::Address(_)
        | Error::Connect(_)
        | Error::ConnectTimeout(_)
        | Error::Unroutable { .. }
        | Error::TooLong(_) => {
            tracing::warn!(%error, "a request over HTTP cannot be passed on");
            Fault::Unavailable
        }
        _ => Fault::OutcomeUnknown,
    };
    let (_, _, meaning) = fault.parts();
    Problem::new(fault, meaning)
}
