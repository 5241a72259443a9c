//! The service: what joins the sides.
//!
//! The path of a request: `florin_broker` takes it from RabbitMQ and decodes it, [`engine`] forms a batch,
//! `florin_store` commits the batch by the rules of `florin_ledger`, `florin_broker` sends the reply and
//! acknowledges the request. [`service`] joins these; [`serve`] adds the HTTP side.

mod answer;
pub mod asyncapi;
pub mod cli;
pub mod config;
mod echo;
pub mod engine;
mod expiry;
pub mod serve;
pub mod service;
pub mod telemetry;
