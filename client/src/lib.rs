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
//! One task (`supervisor`) owns the connection: it publishes, hands answers to their callers, and reconnects
//! for as long as it takes. Callers retry: a call whose connection was lost, or whose answer does not come, is
//! sent again under the same `message_id` until its time is up. The service answers every attempt like the
//! first one, so nothing is applied twice.
//!
//! In reading order: [`ClientOptions`], [`Client`], `supervisor`, `session` (one connection).

mod client;
mod error;
mod options;
mod session;
mod supervisor;

pub use client::{Client, RawReply, Response};
pub use error::Error;
pub use florin_wire::{BalanceBody, MovementBody, Receipt, Reply, Request, names};
pub use lapin::BasicProperties;
pub use options::{CallOptions, ClientOptions, Replies, Route};
