//! The Rust client of Florin: sends requests through RabbitMQ and waits for the answers.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use florin_client::{Client, ClientOptions};
//!
//! let client = Client::connect("amqp://127.0.0.1:5672/%2f", ClientOptions::default()).await?;
//! let response = client.invoice(1, "USD", "10.50".parse()?).await?;
//! println!("{} {:?}", response.reply.code, response.reply.body);
//! # Ok(()) }
//! ```
//!
//! Requests with more options are built and passed to [`Client::call`]; several can be applied all or none:
//!
//! ```no_run
//! # async fn example(client: florin_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use florin_client::{BatchItem, BatchRequest, CallOptions, MovementBody, Request, SettleBody};
//!
//! // A hold for at most ten minutes, then captured in part.
//! let hold = MovementBody::new(1, "USD", "10".parse()?).pending(Some(Duration::from_secs(600)));
//! let options = CallOptions { message_id: Some("order-17".into()), ..CallOptions::default() };
//! let held = client.call(&Request::Withdraw(hold), options).await?.reply.receipt()?;
//! client.settle(SettleBody::new(held.transaction_id).amount("7.25".parse()?)).await?;
//!
//! let pay = |from, to| -> Result<BatchItem, Box<dyn std::error::Error>> {
//!     let movement = MovementBody::new(from, "USD", "1".parse()?);
//!     Ok(BatchItem { id: None, request: Request::Transfer(movement.to_wallet(to)) })
//! };
//! let batch = BatchRequest { operations: vec![pay(1, 2)?, pay(1, 3)?], atomic: true };
//! let response = client.batch(&batch, CallOptions::default()).await?;
//! assert!(response.reply.is_done() || response.reply.error.as_deref() == Some("batch_failed"));
//! # Ok(()) }
//! ```
//!
//! A call whose connection is lost, or whose answer does not come, is sent again under the same `message_id`
//! until its time limit. The service answers every attempt like the first one, so nothing is applied twice.
//!
//! # Calls share messages
//!
//! A message costs the broker and the service much more than the request in it. So calls that arrive while
//! earlier messages are in flight are collected, and sent as one `batch` message as soon as one of those is
//! answered. Nothing waits for a timer: a lone call is sent at once as a plain message, and a thousand
//! concurrent callers get the throughput of batches for free. Otherwise callers see no difference: calls are
//! sent in the order in which they were made; each has its own identity, answer and time limit; and a retry
//! is sent alone, so a batch that is lost, refused or returned costs its calls one retry and no more.
//! [`ClientOptions::coalescing`] sets the limits, or switches it off.
//!
//! # Design
//!
//! One task (`supervisor`) owns the connection: it publishes, hands answers to their callers, and reconnects
//! for as long as it takes. In reading order: [`ClientOptions`], [`Client`], `message`, `queue` (attempts
//! become messages), `flights` (messages in flight), `supervisor`, `session` (one connection).

#![warn(missing_docs)]

mod client;
mod error;
mod flights;
mod message;
mod operations;
mod options;
mod queue;
mod response;
mod session;
mod supervisor;

pub use client::Client;
pub use error::Error;
pub use florin_amqp::{Address, AddressError, Addresses, ConnectError};
pub use florin_ledger::Operation;
pub use florin_wire::{
    BalanceBody, BalanceQueryBody, BatchItem, BatchRequest, Body, HistoryBody, HistoryQueryBody,
    MovementBody, Receipt, Reply, Request, SettleBody, TransactionBody, TransferBody, names,
};
pub use lapin::BasicProperties;
pub use options::{CallOptions, ClientOptions, Coalescing, Replies, Route};
pub use response::{BatchResponse, RawReply, Response};
