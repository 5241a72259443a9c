//! Nothing lost and nothing doubled while real processes are killed: the service, the broker, the database.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../common/mod.rs"]
mod common;

mod broker;
mod database;
mod dead_letters;
mod events;
mod instances;
mod load;
mod parked;
mod races;
mod service;
