//! The messages: requests, replies and events. The only owner of JSON field names.
//!
//! [`decode`] turns a delivery into commands of the ledger, or refuses it before the database is asked.
//! [`Reply`] is the answer, for both sides. [`Request`] is the client's side of [`decode`]. [`Events`] are
//! published to everybody else.
//!
//! Files depend on each other in one direction: `fields` reads JSON, `command` makes one request of it,
//! `batch` many, `decode` either; `bodies` are what replies carry, `reply` is one, `batch_reply` many;
//! `values` are the kinds of values in all of them, and `schema` describes it all.

#![warn(missing_docs)]

mod batch;
mod batch_reply;
mod batch_request;
mod bodies;
mod command;
mod cursor;
mod decode;
mod envelope;
mod event;
mod fields;
mod guide;
mod identity;
mod json;
mod metadata;
pub mod names;
mod number;
mod proof;
mod reason;
mod refusal;
mod reply;
mod request;
mod requester;
pub mod schema;
mod time;
mod values;

pub use batch::{Batch, Item, MAX_BATCH_OPERATIONS};
pub use batch_reply::{Answered, BatchReply};
pub use batch_request::{BatchItem, BatchRequest, BatchWriter, Body};
pub use bodies::{BalanceBody, BatchBody, HistoryBody, PostingBody, Receipt, ResultBody, TransactionBody};
pub use decode::{Decoded, decode};
pub use envelope::{Envelope, Limits};
pub use event::{Event, EventBalance, Events};
pub use guide::{Givers, Guide, Retry};
pub use identity::{hyphenated, is_identity};
pub use json::{JsonDecimal, RawJson};
pub use names::BATCH;
pub use proof::{Claim, PROOF, ProofKey};
pub use refusal::Refusal;
pub use reply::{IDEMPOTENT_REPLAYED, Reply};
pub use request::{BalanceQueryBody, HistoryQueryBody, MovementBody, Request, SettleBody, TransferBody};
pub use requester::ON_BEHALF_OF;
pub use time::{JsonTime, ParseTimeError};
