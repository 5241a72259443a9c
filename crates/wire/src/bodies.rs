//! The bodies of replies.

use std::collections::BTreeMap;

use florin_ledger::{BalanceLine, Decimal, Entry, ErrorCode, Page, Status, Transaction, WalletId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::json::{JsonDecimal, RawJson};
use crate::time::JsonTime;
use crate::{cursor, reason, values};

/// The body of the reply to a request that opened a transaction or resolved a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// The transaction that was opened or resolved.
    #[schemars(with = "values::TransactionId")]
    pub transaction_id: Uuid,
    /// The transaction's status: `Created` (a hold), `Success` or `Error`.
    #[schemars(with = "values::TransactionStatus")]
    pub status: String,
    /// The amount captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::Amount")]
    pub settled_amount: Option<JsonDecimal>,
    /// Why the hold was released: `cancelled` or `expired`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::TransactionError")]
    pub error: Option<String>,
}

/// The body of the reply to `balance`. A map without entries is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BalanceBody {
    /// Available to withdraw, by ticker.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, values::Balance>")]
    pub actual_balance: BTreeMap<String, JsonDecimal>,
    /// Frozen by holds, by ticker.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, values::Balance>")]
    pub frozen_balance: BTreeMap<String, JsonDecimal>,
}

/// The body of the reply to `transaction`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "transaction.body", transform = values::error_when_failed)]
pub struct TransactionBody {
    /// The id, by which it can be read.
    #[schemars(with = "values::TransactionId")]
    pub transaction_id: Uuid,
    /// The operation that opened it: `invoice`, `withdraw` or `transfer`.
    #[schemars(with = "values::OpenedBy")]
    pub operation: String,
    /// The transaction's status: `Created` (a hold), `Success` or `Error`.
    #[schemars(with = "values::TransactionStatus")]
    pub status: String,
    /// The wallet whose balance it changes; the payer of a transfer.
    #[schemars(with = "values::WalletId")]
    pub wallet_id: WalletId,
    /// The payee; only of a transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::WalletId")]
    pub to_wallet_id: Option<WalletId>,
    /// The currency of all amounts.
    #[schemars(with = "values::Ticker")]
    pub ticker: String,
    /// The requested amount.
    #[schemars(with = "values::Amount")]
    pub amount: JsonDecimal,
    /// The amount captured, of a hold that was settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::Amount")]
    pub settled_amount: Option<JsonDecimal>,
    /// Why the status is `Error`: a stable name, see `docs/errors.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::TransactionError")]
    pub error: Option<String>,
    /// The same, for people; the words may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub reason: Option<String>,
    /// When it was opened.
    #[schemars(with = "values::Time")]
    pub created_at: JsonTime,
    /// When the final status was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::Time")]
    pub ended_at: Option<JsonTime>,
    /// When the hold expires, or would have expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::Time")]
    pub expires_at: Option<JsonTime>,
    /// Who requested it: `amqp:<user>`, or whom a trusted user named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::Requester")]
    pub requested_by: Option<String>,
    /// Who requested the resolution of the hold; absent if it expired before the request was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::Requester")]
    pub ended_by: Option<String>,
    /// The metadata that the client sent with it, to the byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::Metadata")]
    pub metadata: Option<RawJson>,
}

/// The body of the reply to `history`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryBody {
    /// Newest first. A page may have fewer than `limit`, or none, although there are more on the next page.
    pub postings: Vec<PostingBody>,
    /// Where the next page begins, for `before`; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::Cursor")]
    pub next: Option<String>,
}

/// One posting: a change of a balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = values::error_when_failed)]
pub struct PostingBody {
    /// The currency of the balance.
    #[schemars(with = "values::Ticker")]
    pub ticker: String,
    /// The number of the posting in its chain: 1, 2, 3...
    #[schemars(with = "values::Version")]
    pub version: i64,
    /// The transaction that wrote the posting.
    #[schemars(with = "values::TransactionId")]
    pub transaction_id: Uuid,
    /// The operation that opened the transaction.
    #[schemars(with = "values::OpenedBy")]
    pub operation: String,
    /// The status that this posting brought the transaction into.
    #[schemars(with = "values::TransactionStatus")]
    pub status: String,
    /// Why the status is `Error`: a stable name, see `docs/errors.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::TransactionError")]
    pub error: Option<String>,
    /// The amount requested, captured or released.
    #[schemars(with = "values::Amount")]
    pub amount: JsonDecimal,
    /// The actual balance after the posting.
    #[schemars(with = "values::Balance")]
    pub actual_balance: JsonDecimal,
    /// The frozen balance after the posting.
    #[schemars(with = "values::Balance")]
    pub frozen_balance: JsonDecimal,
    /// The other wallet; only of a transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::WalletId")]
    pub counterparty_wallet_id: Option<WalletId>,
    /// When the posting was decided.
    #[schemars(with = "values::Time")]
    pub created_at: JsonTime,
}

/// The body of the reply to a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BatchBody {
    /// One result per operation, in order.
    pub results: Vec<ResultBody>,
}

/// The result of one operation of a batch: a [`Reply`] whose body is an object, not a string that holds one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResultBody {
    /// The operation that was requested, as the client wrote it.
    pub operation: String,
    /// The code that a single request would have been answered with.
    #[schemars(with = "values::Code")]
    pub code: u16,
    /// The result, as an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::Object")]
    pub body: Option<RawJson>,
    /// Why the operation was refused, for people; the words may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub reason: Option<String>,
    /// Why the operation was refused, for programs: a stable name, see `docs/errors.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::RefusalError")]
    pub error: Option<String>,
    /// The transaction in status Error that records the refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::TransactionId")]
    pub transaction_id: Option<Uuid>,
    /// Whether this repeats an earlier result.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

impl Receipt {
    pub(crate) fn opened(transaction_id: Uuid, status: Status) -> Self {
        Self { transaction_id, status: status.as_str().to_owned(), settled_amount: None, error: None }
    }

    pub(crate) fn resolved(transaction_id: Uuid, settled: Option<Decimal>, error: Option<ErrorCode>) -> Self {
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
        let amount = |minor| JsonDecimal(Decimal::from_minor(minor, transaction.ticker.scale));
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
            metadata: metadata.map(|text| text.parse().expect("metadata is recorded as JSON")),
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
