//! The client on a real broker.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod broker;
mod by_hand;
mod calls;
mod coalescing;
mod fallback;
mod lost_broker;
mod requesters;
mod responder;
