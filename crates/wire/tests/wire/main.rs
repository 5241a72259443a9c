//! What travels, byte for byte: requests in both directions, replies, events.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod batch;
mod batch_replies;
mod common;
mod decode;
mod events;
mod identities;
mod lookups;
mod pending;
mod properties;
mod replies;
mod requesters;
mod requests;
mod unknown_fields;
