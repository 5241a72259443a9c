//! Events: what is told to everybody when a transaction was opened or ended.
//!
//! Those that were committed together and have the same routing key share a message: under load, telling everybody
//! then costs the broker next to nothing.

use florin_ledger::{Change, Decimal, Posting, WalletId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bodies::TransactionBody;
use crate::json::JsonDecimal;
use crate::schema;
use crate::time::JsonTime;

/// An event without metadata is about as long.
const USUAL_EVENT_BYTES: usize = 512;

/// What a message tells: steps of transactions of one operation, to one status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Events {
    /// In the order in which they were decided.
    #[schemars(length(min = 1))]
    pub events: Vec<Event>,
}

/// A step in the life of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// `<transaction_id>.<status>`, in lower case: the same whenever this step is told again.
    pub event_id: String,
    /// The transaction after the step.
    pub transaction: TransactionBody,
    /// The balances that the step wrote.
    pub balances: Vec<EventBalance>,
    /// The time of the step.
    #[schemars(with = "schema::Time")]
    pub created_at: JsonTime,
}

/// A balance after a step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventBalance {
    /// Whose.
    #[schemars(with = "schema::WalletId")]
    pub wallet_id: WalletId,
    /// Of which ticker.
    #[schemars(with = "schema::Ticker")]
    pub ticker: String,
    /// The number of the posting in the chain of this balance. Of two events, the one with the higher number tells
    /// the later balance.
    #[schemars(with = "schema::Version")]
    pub version: i64,
    /// What can be withdrawn.
    #[schemars(with = "schema::Balance")]
    pub actual_balance: JsonDecimal,
    /// What waits on transactions in status Created.
    #[schemars(with = "schema::Balance")]
    pub frozen_balance: JsonDecimal,
}

impl Event {
    /// The event of a change.
    #[must_use]
    pub fn new(change: &Change) -> Self {
        let ticker = &change.transaction.ticker;
        let amount = |units| JsonDecimal(Decimal::from_minor(units, ticker.scale));
        let balance = |posting: &Posting| EventBalance {
            wallet_id: posting.wallet_id,
            ticker: ticker.name.to_string(),
            version: posting.after.version,
            actual_balance: amount(posting.after.actual),
            frozen_balance: amount(posting.after.frozen),
        };
        let transaction = TransactionBody::new(&change.transaction);
        Self {
            event_id: format!("{}.{}", transaction.transaction_id, transaction.status.to_ascii_lowercase()),
            transaction,
            balances: change.postings().map(balance).collect(),
            created_at: JsonTime(change.first.after.created_at),
        }
    }

    /// Where it is published: `transaction.<operation>.<status>`, in lower case.
    #[must_use]
    pub fn routing_key(&self) -> String {
        let TransactionBody { operation, status, .. } = &self.transaction;
        format!("transaction.{operation}.{}", status.to_ascii_lowercase())
    }
}

impl Events {
    /// The body of a message.
    ///
    /// # Panics
    ///
    /// Never: an event is made of text and numbers only.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.events.len() * USUAL_EVENT_BYTES);
        serde_json::to_writer(&mut body, self).expect("text and numbers are JSON");
        body
    }

    /// Reads the body of a message.
    ///
    /// # Errors
    ///
    /// When the bytes are not events.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}
