//! Which ledger a work queue belongs to.
//!
//! A service that was pointed to an empty database by mistake, or to another `search_path`, would answer the requests of
//! a queue from a second, empty ledger. So the broker keeps the id of the ledger that the queue belongs to: a durable
//! exchange has an alternate exchange that is named after it. RabbitMQ compares that argument when the exchange is declared
//! again, so that two instances that start at the same time cannot both be first. Nothing is ever published there, and
//! the alternate exchange need not exist.

use lapin::options::{ExchangeDeclareOptions, ExchangeDeleteOptions};
use lapin::protocol::AMQPSoftError;
use lapin::types::{FieldTable, ShortString};
use lapin::{Connection, ExchangeKind};
use uuid::Uuid;

use crate::connection::{Error, REPLY_SUCCESS, RPC_TIMEOUT, within};
use crate::declare::refusal;
use crate::topology::text;

/// Prefix of the exchange; the name of the queue follows.
const OWNER: &str = "florin.ledger.";

/// The ledger that a work queue has to belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueOwner {
    /// Its id.
    pub ledger: Uuid,
    /// Whether the queue becomes its own if it was another's.
    pub takes_over: bool,
}

impl QueueOwner {
    /// Claims the queue for the ledger.
    pub(super) async fn claim(&self, connection: &Connection, queue: &str) -> Result<(), Error> {
        // A longer name is no name of an exchange.
        let Ok(name) = ShortString::try_new(format!("{OWNER}{queue}")) else { return Ok(()) };
        // A channel of its own, which a refusal closes.
        let channel = within(RPC_TIMEOUT, "open a channel", connection.create_channel()).await?;
        if self.takes_over {
            let deleted = channel.exchange_delete(name.clone(), ExchangeDeleteOptions::default());
            within(RPC_TIMEOUT, "delete an exchange", deleted).await?;
        }
        let mut arguments = FieldTable::default();
        arguments.insert("alternate-exchange".into(), text(&format!("{OWNER}{}", self.ledger)));
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declared = channel.exchange_declare(name, ExchangeKind::Fanout, options, arguments);
        match within(RPC_TIMEOUT, "declare an exchange", declared).await {
            Ok(()) => {
                within(RPC_TIMEOUT, "close a channel", channel.close(REPLY_SUCCESS, "claimed".into())).await
            }
            Err(error) if refusal(&error, AMQPSoftError::PRECONDITIONFAILED).is_some() => {
                Err(Error::OtherLedger { queue: queue.to_owned(), ledger: self.ledger })
            }
            // Then nothing is claimed, and the queue is protected as little as without this.
            Err(error) if refusal(&error, AMQPSoftError::ACCESSREFUSED).is_some() => {
                tracing::warn!(
                    queue,
                    %error,
                    "the broker cannot keep which ledger the queue belongs to: let the service configure, read and write \
                     exchanges whose names begin with florin."
                );
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
