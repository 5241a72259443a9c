//! What travels through the broker: requests, replies and events. The only owner of JSON field names.
//!
//! [`decode`] turns a delivery into commands of the ledger, or refuses it before any database is asked.
//! [`Reply`] is the answer, for both sides. [`Request`] is the client's side of [`decode`]. [`Events`] tell everybody
//! else what became of a transaction.

mod batch;
mod batch_reply;
mod batch_request;
mod bodies;
mod cursor;
mod decode;
mod event;
mod fields;
mod guide;
mod identity;
mod json;
mod metadata;
pub mod names;
mod reason;
mod refusal;
mod reply;
mod request;
mod requester;
pub mod schema;
mod time;

pub use batch::{BATCH, Batch, Item, MAX_BATCH_OPERATIONS};
pub use batch_reply::{Answered, BatchBody, BatchReply, ResultBody};
pub use batch_request::{BatchItem, BatchRequest, BatchWriter, Body};
pub use bodies::{BalanceBody, HistoryBody, PostingBody, Receipt, TransactionBody};
pub use decode::{Decoded, Envelope, Limits, decode};
pub use event::{Event, EventBalance, Events};
pub use guide::{Givers, Guide, Retry};
pub use json::{JsonDecimal, RawJson};
pub use refusal::Refusal;
pub use reply::{IDEMPOTENT_REPLAYED, Reply};
pub use request::{BalanceQueryBody, HistoryQueryBody, MovementBody, Request, SettleBody, TransferBody};
pub use requester::ON_BEHALF_OF;
pub use time::{JsonTime, ParseTimeError};
