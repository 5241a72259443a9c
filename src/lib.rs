//! The wallet transaction service.
//!
//! The path of a request: [`amqp`] takes it from the broker and decodes it, [`engine`] forms a batch,
//! [`store`] executes the batch by the rules of `florin_ledger`, [`amqp`] sends the reply and acknowledges the
//! request. [`service`] joins these parts.

pub mod amqp;
mod answer;
pub mod asyncapi;
pub mod config;
mod echo;
pub mod engine;
mod expiry;
pub mod http;
pub mod keys;
pub mod metrics;
pub mod service;
pub mod store;
pub mod telemetry;
