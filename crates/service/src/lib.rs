//! The service: what joins the sides.
//!
//! The path of a request, file by file:
//!
//! 1. `florin_broker`, `consumer.rs`: takes the delivery from RabbitMQ and decodes it into a `Job`.
//! 2. [`engine`], `engine/inbox.rs`: collects jobs until they make a batch.
//! 3. `engine.rs`: has the batch planned and committed, and the next one planned meanwhile.
//! 4. `florin_store`, `ledger/planner.rs`: takes balances from the cache or reads them, and plans.
//! 5. `florin_ledger`, `apply.rs`: the rules.
//! 6. `florin_store`, `ledger/commit.rs`: one statement appends the postings. After a conflict,
//!    `ledger/execute.rs` plans and commits the batch again.
//! 7. `florin_broker`, `outgoing.rs`: encodes the replies and events.
//! 8. `florin_broker`, `publisher.rs`: publishes them, and has `consumer.rs` ack the deliveries when they are
//!    confirmed.
//!
//! [`service`] joins these; [`serve`] adds the HTTP side.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod answer;
pub mod asyncapi;
pub mod cli;
pub mod config;
mod echo;
pub mod engine;
mod expiry;
mod http_database;
pub mod serve;
pub mod service;
pub mod telemetry;
