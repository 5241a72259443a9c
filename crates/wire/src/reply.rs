//! Replies: what a client gets back.

use std::borrow::Cow;

use florin_ledger::{Answer, Command, ErrorCode, Outcome};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::batch_reply::{BatchBody, ResultBody};
use crate::bodies::{BalanceBody, HistoryBody, Receipt, TransactionBody};
use crate::reason;
use crate::refusal::Refusal;
use crate::schema;

/// The header of a reply that repeats the answer to an earlier request with the same identity.
pub const IDEMPOTENT_REPLAYED: &str = "idempotent-replayed";

/// An answer. `body` is a string that holds JSON, as the first clients of this protocol expect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// The operation that was asked for.
    pub operation: String,
    /// 200 when it was done, 202 when it waits; 400 and above when it was refused.
    #[schemars(with = "schema::Code")]
    pub code: u16,
    /// What was asked for, as JSON: see [`Reply::receipt`] and its neighbours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", description = "What was asked for: a string that holds JSON.")]
    pub body: Option<String>,
    /// Why the request was refused, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub reason: Option<String>,
    /// Why the request was refused: the name of an `ErrorCode`, which is stable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "schema::RefusalError")]
    pub error: Option<String>,
    /// The transaction in status Error that records the refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "schema::TransactionId")]
    pub transaction_id: Option<Uuid>,
}

/// An answer whose body is not written yet: that becomes a string in a [`Reply`], and stands as it is in a batch.
#[derive(Serialize)]
pub(crate) struct Verdict<'a> {
    operation: &'a str,
    code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Body>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<Uuid>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body {
    Receipt(Receipt),
    Balance(BalanceBody),
    Transaction(Box<TransactionBody>),
    History(HistoryBody),
}

impl<'a> Verdict<'a> {
    /// What became of a command.
    pub(crate) fn on(command: &Command, outcome: &Outcome) -> Self {
        let operation = command.operation().as_str();
        let body = match &outcome.answer {
            Answer::Opened { transaction_id, status } => {
                Body::Receipt(Receipt::opened(*transaction_id, *status))
            }
            Answer::Resolved { transaction_id, settled, error } => {
                Body::Receipt(Receipt::ended(*transaction_id, *settled, *error))
            }
            Answer::Balance(lines) => Body::Balance(BalanceBody::new(lines)),
            Answer::Transaction(transaction) => {
                Body::Transaction(Box::new(TransactionBody::new(transaction)))
            }
            Answer::History(page) => Body::History(HistoryBody::new(page)),
            Answer::Refused { code, transaction_id } => {
                let reason = reason::of_command(*code, command).into();
                let refused = Self::refused(operation, *code, reason);
                return Self { transaction_id: *transaction_id, replayed: outcome.replayed, ..refused };
            }
        };
        Self {
            operation,
            code: outcome.code(),
            body: Some(body),
            reason: None,
            error: None,
            transaction_id: None,
            replayed: outcome.replayed,
        }
    }

    /// A refusal.
    pub(crate) const fn refused(operation: &'a str, code: ErrorCode, reason: Cow<'a, str>) -> Self {
        Self {
            operation,
            code: code.status(),
            body: None,
            reason: Some(reason),
            error: Some(code.as_str()),
            transaction_id: None,
            replayed: false,
        }
    }

    /// Why it was refused.
    pub(crate) fn into_reason(self) -> Cow<'a, str> {
        self.reason.unwrap_or_default()
    }

    /// With another reason.
    pub(crate) fn because(self, reason: &'a str) -> Self {
        Self { reason: Some(Cow::Borrowed(reason)), ..self }
    }
}

impl From<Verdict<'_>> for Reply {
    fn from(verdict: Verdict<'_>) -> Self {
        Self {
            operation: verdict.operation.to_owned(),
            code: verdict.code,
            body: verdict.body.map(|body| to_text(&body)),
            reason: verdict.reason.map(Cow::into_owned),
            error: verdict.error.map(ToOwned::to_owned),
            transaction_id: verdict.transaction_id,
        }
    }
}

/// The JSON of a body.
pub(crate) fn to_text(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("text and numbers are JSON")
}

impl Reply {
    /// The answer to a command.
    #[must_use]
    pub fn to_command(command: &Command, outcome: &Outcome) -> Self {
        Verdict::on(command, outcome).into()
    }

    /// The answer to a request that was refused, under the name of the operation that the client wrote.
    #[must_use]
    pub fn refused(operation: &str, refusal: &Refusal) -> Self {
        Verdict::refused(operation, refusal.code, Cow::Borrowed(&refusal.reason)).into()
    }

    /// The reply as JSON.
    ///
    /// # Panics
    ///
    /// Never: a reply is made of text and numbers only.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and numbers are JSON")
    }

    /// Reads a reply.
    ///
    /// # Errors
    ///
    /// When the bytes are not a reply.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// Whether the request was done.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.code < 300
    }

    /// The receipt of a request that opened or ended a transaction.
    ///
    /// # Errors
    ///
    /// When the reply has no such body.
    pub fn receipt(&self) -> Result<Receipt, serde_json::Error> {
        self.read()
    }

    /// The balances that `balance` asked for.
    ///
    /// # Errors
    ///
    /// When the reply has no such body.
    pub fn balances(&self) -> Result<BalanceBody, serde_json::Error> {
        self.read()
    }

    /// The transaction that `transaction` asked for.
    ///
    /// # Errors
    ///
    /// When the reply has no such body.
    pub fn transaction(&self) -> Result<TransactionBody, serde_json::Error> {
        self.read()
    }

    /// The page that `history` asked for.
    ///
    /// # Errors
    ///
    /// When the reply has no such body.
    pub fn history(&self) -> Result<HistoryBody, serde_json::Error> {
        self.read()
    }

    /// What became of each operation of a batch, in their order.
    ///
    /// # Errors
    ///
    /// When the reply has no such body.
    pub fn results(&self) -> Result<Vec<ResultBody>, serde_json::Error> {
        self.read().map(|body: BatchBody| body.results)
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.body.as_deref().unwrap_or_default())
    }
}
