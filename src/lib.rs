//! The wallet transaction service.
//!
//! The path of a request: [`amqp`] takes it from the broker and decodes it, [`engine`] forms a batch,
//! [`store`] executes the batch by the rules of `florin_ledger`, [`amqp`] sends the reply and acknowledges the
//! request. [`service`] joins these parts.

pub mod amqp;
pub mod config;
mod echo;
pub mod engine;
pub mod http;
pub mod metrics;
pub mod service;
pub mod store;
pub mod telemetry;
