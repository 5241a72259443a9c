//! Sends changes to the work queue: HTTP is a client of the broker like any other.
//!
//! Concurrent calls share messages. The first call connects; from then on the client keeps the connection.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use florin_broker::connection_name;
use florin_client::{Body, CallOptions, Client, ClientOptions, Error, Operation, Response, Route};
use florin_wire::{BATCH, ProofKey};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::problem::{Fault, Problem};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The identity of a request, and who sent it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) message_id: String,
    /// The transaction that it opens or resolves.
    pub(super) transaction_id: Option<Uuid>,
    pub(super) on_behalf_of: String,
}

impl Call {
    fn options(self) -> CallOptions {
        let Self { message_id, on_behalf_of, .. } = self;
        CallOptions {
            message_id: Some(message_id),
            on_behalf_of: Some(on_behalf_of),
            ..CallOptions::default()
        }
    }
}

#[derive(Debug)]
pub(super) struct Broker {
    amqp_url: String,
    options: ClientOptions,
    proof_key: Arc<OnceLock<ProofKey>>,
    client: OnceCell<Client>,
}

impl Broker {
    pub(super) fn new(
        amqp_url: String,
        work_queue: String,
        timeout: Duration,
        max_in_flight: usize,
        proof_key: Arc<OnceLock<ProofKey>>,
    ) -> Self {
        let options = ClientOptions {
            route: Route::Queue(work_queue),
            timeout,
            max_in_flight,
            connect_timeout: CONNECT_TIMEOUT,
            // Who sends a request may be required.
            send_user_id: true,
            connection_name: connection_name("http"),
            ..ClientOptions::default()
        };
        Self { amqp_url, options, proof_key, client: OnceCell::new() }
    }

    /// Sends one operation and waits for the reply.
    pub(super) async fn call(
        &self,
        operation: Operation,
        body: Body,
        call: Call,
    ) -> Result<Response, Problem> {
        let transaction_id = call.transaction_id;
        let response = async {
            let answered = self.client().await?.call_body(operation, body, call.options()).await;
            answered.map_err(|error| problem(&error))
        };
        let of_call =
            |problem: Problem| problem.of_operation(operation.as_str()).of_transaction(transaction_id);
        response.await.map_err(of_call)
    }

    /// Sends a batch and waits for the reply. `on_behalf_of` is a header, whatever the operations say.
    pub(super) async fn batch(&self, body: Vec<u8>, call: Call) -> Result<Response, Problem> {
        let response = async {
            let answered = self.client().await?.batch_body(body, call.options()).await;
            answered.map_err(|error| problem(&error))
        };
        response.await.map_err(|problem| problem.of_operation(BATCH))
    }

    async fn client(&self) -> Result<&Client, Problem> {
        let connect = async || {
            let Some(proof_key) = self.proof_key.get() else {
                return Err(Problem::new(Fault::Unavailable, "the service has not reached its database yet"));
            };
            let options = ClientOptions { proof_key: Some(proof_key.clone()), ..self.options.clone() };
            Client::connect(&self.amqp_url, options).await.map_err(|error| problem(&error))
        };
        self.client.get_or_try_init(connect).await
    }
}

/// Says "nothing was done" only where that is certain.
fn problem(error: &Error) -> Problem {
    let fault = match error {
        Error::Overloaded { .. } => Fault::Overloaded,
        Error::Address(_)
        | Error::Connect(_)
        | Error::ConnectTimeout(_)
        | Error::Unroutable { .. }
        | Error::TooLong(_) => {
            tracing::warn!(%error, "HTTP request failed: not sent to the broker");
            Fault::Unavailable
        }
        _ => Fault::OutcomeUnknown,
    };
    let (_, _, title) = fault.parts();
    Problem::new(fault, title)
}
