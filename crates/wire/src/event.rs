//! Events: published when a transaction was opened or its hold was resolved.
//!
//! Those that were committed together and have the same routing key share a message: under load, events then
//! cost the broker very little.

use florin_ledger::{Change, Decimal, Posting, WalletId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bodies::TransactionBody;
use crate::json::JsonDecimal;
use crate::time::JsonTime;
use crate::values;

/// About the size of an event without metadata.
const USUAL_EVENT_BYTES: usize = 512;

/// The body of an event message: steps of transactions, all of one operation and to one status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Events {
    /// The events, in the order in which they were decided.
    #[schemars(length(min = 1))]
    pub events: Vec<Event>,
}

/// One step of a transaction: it was opened, or its hold was resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// `<transaction_id>.<status>`, in lower case: the same whenever this step is published again.
    pub event_id: String,
    /// The transaction after the step.
    pub transaction: TransactionBody,
    /// The balances after the step, one per posting.
    pub balances: Vec<EventBalance>,
    /// When the step was decided.
    #[schemars(with = "values::Time")]
    pub created_at: JsonTime,
}

/// A balance after one step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventBalance {
    /// The wallet that holds the balance.
    #[schemars(with = "values::WalletId")]
    pub wallet_id: WalletId,
    /// The currency of the balance.
    #[schemars(with = "values::Ticker")]
    pub ticker: String,
    /// The number of the posting in its chain. Of two events of one balance, the higher number has the later
    /// balance.
    #[schemars(with = "values::Version")]
    pub version: i64,
    /// Available to withdraw.
    #[schemars(with = "values::Balance")]
    pub actual_balance: JsonDecimal,
    /// Frozen by holds.
    #[schemars(with = "values::Balance")]
    pub frozen_balance: JsonDecimal,
}

impl Event {
    /// The event for a change.
    #[must_use]
    pub fn new(change: &Change) -> Self {
        let ticker = &change.transaction.ticker;
        let amount = |minor| JsonDecimal(Decimal::from_minor(minor, ticker.scale));
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

    /// The routing key: `transaction.<operation>.<status>`, in lower case.
    #[must_use]
    pub fn routing_key(&self) -> String {
        let TransactionBody { operation, status, .. } = &self.transaction;
        format!("transaction.{operation}.{}", status.to_ascii_lowercase())
    }
}

impl Events {
    /// The body of the message as JSON.
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
    /// When the bytes are not an event message.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}
