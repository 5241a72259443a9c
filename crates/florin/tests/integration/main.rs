//! The service on real servers: every case of the wire, exactly-once, and bad input.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../common/mod.rs"]
mod common;

mod access;
mod addresses;
mod asyncapi;
mod bad_input;
mod batches;
mod book;
mod coalescing;
mod database;
mod dead;
mod docs;
mod http;
mod identity;
mod load;
mod lookups;
mod model;
mod pending;
mod permanent;
mod poison;
mod readiness;
mod role;
mod sabotage;
mod seed;
mod status;
mod store;
mod tls;
mod topology;
mod unknown_fields;
mod vectors;
mod verify;
