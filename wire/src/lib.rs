//! What travels through the broker: requests and replies. The only owner of JSON field names.
//!
//! [`decode`] turns a delivery into a command of the ledger, or refuses it before any database is asked.
//! [`Reply`] is the answer, for both sides. [`Request`] is the client's side of [`decode`].

mod identity;
mod json;
pub mod names;
mod reply;
mod request;

pub use json::JsonDecimal;
pub use reply::{BalanceBody, IDEMPOTENT_REPLAYED, Receipt, Reply};
pub use request::{Envelope, MovementBody, Refusal, Request, decode};
