//! The bodies of replies.

use std::collections::BTreeMap;

use florin_ledger::{BalanceLine, Decimal, Entry, ErrorCode, Page, Status, Transaction, WalletId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::json::{JsonDecimal, RawJson};
use crate::time::JsonTime;
use crate::{cursor, reason, schema};

/// The body of the answer to a request that opened a transaction or ended one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// The transaction.
    #[schemars(with = "schema::TransactionId")]
    pub transaction_id: Uuid,
    /// Its status: `Created`, `Success` or `Error`.
    #[schemars(with = "schema::TransactionStatus")]
    pub status: String,
    /// How much of it was settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "schema::Amount")]
    pub settled_amount: Option<JsonDecimal>,
    /// Why it was not done: `cancelled` or `expired`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "schema::TransactionError")]
    pub error: Option<String>,
}

/// The body of the answer to `balance`. A map without entries is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BalanceBody {
    /// What can be withdrawn, by ticker.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, schema::Balance>")]
    pub actual_balance: BTreeMap<String, JsonDecimal>,
    /// What waits on transactions in status Created, by ticker.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, schema::Balance>")]
    pub frozen_balance: BTreeMap<String, JsonDecimal>,
}

/// The body of the answer to `transaction`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "transaction.body", transform = schema::error_when_failed)]
pub struct TransactionBody {
    /// Its id.
    #[schemars(with = "schema::TransactionId")]
    pub transaction_id: Uuid,
    /// What opened it: `invoice`, `withdraw` or `transfer`.
    #[schemars(with = "schema::OpenedBy")]
    pub operation: String,
    /// Its status: `Created`, `Success` or `Error`.
    #[schemars(with = "schema::TransactionStatus")]
    pub status: String,
    /// Whose balance it moves: the payer's, of a transfer.
    #[schemars(with = "schema::WalletId")]
    pub wallet_id: WalletId,
    /// The payee of a transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "schema::WalletId")]
    pub to_wallet_id: Option<WalletId>,
    /// Of which ticker.
    #[schemars(with = "schema::Ticker")]
    pub ticker: String,
    /// The amount asked for.
    #[schemars(with = "schema::Amount")]
    pub amount: JsonDecimal,
    /// How much was settled, when it had waited for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "schema::Amount")]
    pub settled_amount: Option<JsonDecimal>,
    /// Why it is in status `Error`: the name of an `ErrorCode`, which is stable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "schema::TransactionError")]
    pub error: Option<String>,
    /// The same, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub reason: Option<String>,
    /// When it was opened.
    #[schemars(with = "schema::Time")]
    pub created_at: JsonTime,
    /// When it reached its final status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "schema::Time")]
    pub ended_at: Option<JsonTime>,
    /// When it expires, or would have expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "schema::Time")]
    pub expires_at: Option<JsonTime>,
    /// Who asked for it: `amqp:<user>`, or whom a trusted user named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "schema::Requester")]
    pub requested_by: Option<String>,
    /// Who asked for its end, when it had waited for that; none when one who came too late found it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "schema::Requester")]
    pub ended_by: Option<String>,
    /// What the client had kept with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "schema::Metadata")]
    pub metadata: Option<RawJson>,
}

/// The body of the answer to `history`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryBody {
    /// Newest first. There may be fewer than asked for, or none, and more on the next page.
    pub postings: Vec<PostingBody>,
    /// Where the next page begins, for `before`; none when there is nothing more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "schema::Cursor")]
    pub next: Option<String>,
}

/// One change of a balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = schema::error_when_failed)]
pub struct PostingBody {
    /// Of which ticker.
    #[schemars(with = "schema::Ticker")]
    pub ticker: String,
    /// Its number in the chain of this balance: 1, 2, 3...
    #[schemars(with = "schema::Version")]
    pub version: i64,
    /// The transaction that it belongs to.
    #[schemars(with = "schema::TransactionId")]
    pub transaction_id: Uuid,
    /// What opened that.
    #[schemars(with = "schema::OpenedBy")]
    pub operation: String,
    /// The status that this posting brought it into.
    #[schemars(with = "schema::TransactionStatus")]
    pub status: String,
    /// Why that is `Error`: the name of an `ErrorCode`, which is stable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "schema::TransactionError")]
    pub error: Option<String>,
    /// What was asked for, settled or released.
    #[schemars(with = "schema::Amount")]
    pub amount: JsonDecimal,
    /// What could be withdrawn after it.
    #[schemars(with = "schema::Balance")]
    pub actual_balance: JsonDecimal,
    /// What waited on transactions in status Created after it.
    #[schemars(with = "schema::Balance")]
    pub frozen_balance: JsonDecimal,
    /// The other wallet of a transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "schema::WalletId")]
    pub counterparty_wallet_id: Option<WalletId>,
    /// Its time.
    #[schemars(with = "schema::Time")]
    pub created_at: JsonTime,
}

impl Receipt {
    pub(crate) fn opened(transaction_id: Uuid, status: Status) -> Self {
        Self { transaction_id, status: status.as_str().to_owned(), settled_amount: None, error: None }
    }

    pub(crate) fn ended(transaction_id: Uuid, settled: Option<Decimal>, error: Option<ErrorCode>) -> Self {
        let status = if error.is_none() { Status::Success } else { Status::Error };
        Self {
            settled_amount: settled.map(JsonDecimal),
            error: error.map(name),
            ..Self::opened(transaction_id, status)
        }
    }
}

impl BalanceBody {
    pub(crate) fn new(lines: &[BalanceLine]) -> Self {
        let actual = lines.iter().map(|line| (line.ticker.clone(), JsonDecimal(line.actual)));
        let frozen = lines.iter().filter(|line| line.frozen.is_positive());
        let frozen = frozen.map(|line| (line.ticker.clone(), JsonDecimal(line.frozen)));
        Self { actual_balance: actual.collect(), frozen_balance: frozen.collect() }
    }
}

impl TransactionBody {
    pub(crate) fn new(transaction: &Transaction) -> Self {
        let amount = |units| JsonDecimal(Decimal::from_minor(units, transaction.ticker.scale));
        let resolution = transaction.resolution.as_ref();
        let settled = resolution.filter(|resolution| resolution.error.is_none());
        let error = transaction.error();
        let metadata = transaction.metadata.as_deref();
        Self {
            transaction_id: transaction.id,
            operation: transaction.operation.as_str().to_owned(),
            status: transaction.status().as_str().to_owned(),
            wallet_id: transaction.wallet_id,
            to_wallet_id: transaction.to_wallet_id,
            ticker: transaction.ticker.name.to_string(),
            amount: amount(transaction.amount),
            settled_amount: settled.map(|resolution| amount(resolution.amount)),
            error: error.map(name),
            reason: error.map(|code| reason::of_transaction(code, transaction)),
            created_at: JsonTime(transaction.created_at),
            ended_at: transaction.ended_at().map(JsonTime),
            expires_at: transaction.expires_at.map(JsonTime),
            requested_by: transaction.requested_by.as_deref().map(str::to_owned),
            ended_by: resolution.and_then(|resolution| resolution.requested_by.as_deref()).map(str::to_owned),
            metadata: metadata.map(|text| text.parse().expect("only JSON is taken as metadata")),
        }
    }
}

impl HistoryBody {
    pub(crate) fn new(page: &Page) -> Self {
        Self {
            postings: page.entries.iter().map(PostingBody::new).collect(),
            next: page.next.as_ref().map(cursor::to_text),
        }
    }
}

impl PostingBody {
    fn new(entry: &Entry) -> Self {
        Self {
            ticker: entry.ticker.to_string(),
            version: entry.cursor.version,
            transaction_id: entry.transaction_id,
            operation: entry.operation.as_str().to_owned(),
            status: entry.status.as_str().to_owned(),
            error: entry.error.map(name),
            amount: JsonDecimal(entry.amount),
            actual_balance: JsonDecimal(entry.actual),
            frozen_balance: JsonDecimal(entry.frozen),
            counterparty_wallet_id: entry.counterparty_wallet_id,
            created_at: JsonTime(entry.cursor.created_at),
        }
    }
}

fn name(code: ErrorCode) -> String {
    code.as_str().to_owned()
}
