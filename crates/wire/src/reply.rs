//! Replies: what the service answers.

use std::borrow::Cow;

use florin_ledger::{Answer, Command, ErrorCode, Outcome};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::bodies::{BalanceBody, BatchBody, HistoryBody, Receipt, ResultBody, TransactionBody};
use crate::reason;
use crate::refusal::Refusal;
use crate::values;

/// The header of a reply that repeats the answer to an earlier request with the same identity.
pub const IDEMPOTENT_REPLAYED: &str = "idempotent-replayed";

/// A reply. `body` is a string that holds JSON, as the clients of the earlier system expect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// The operation that was requested, as the client wrote it.
    pub operation: String,
    /// 200 when done, 202 for a new hold; 400 and above when refused.
    #[schemars(with = "values::Code")]
    pub code: u16,
    /// The result, as JSON: see [`Reply::receipt`] and its neighbours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", description = "The result: a string that holds JSON.")]
    pub body: Option<String>,
    /// Why the request was refused, for people; the words may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub reason: Option<String>,
    /// Why the request was refused, for programs: a stable name, see `docs/errors.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::RefusalError")]
    pub error: Option<String>,
    /// The transaction in status Error that records the refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::TransactionId")]
    pub transaction_id: Option<Uuid>,
}

/// A reply whose body is not serialized yet: it becomes a string in a [`Reply`], and an object in a batch.
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
    /// The reply to a command.
    pub(crate) fn on(command: &Command, outcome: &Outcome) -> Self {
        let operation = command.operation().as_str();
        let body = match &outcome.answer {
            Answer::Opened { transaction_id, status } => {
                Body::Receipt(Receipt::opened(*transaction_id, *status))
            }
            Answer::Resolved { transaction_id, settled, error } => {
                Body::Receipt(Receipt::resolved(*transaction_id, *settled, *error))
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

    /// The reply to a request that was refused.
    pub(crate) fn refused(operation: &'a str, code: ErrorCode, reason: Cow<'a, str>) -> Self {
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

    /// The same with another reason.
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
    /// The reply to a command.
    #[must_use]
    pub fn to_command(command: &Command, outcome: &Outcome) -> Self {
        Verdict::on(command, outcome).into()
    }

    /// The reply to a request that was refused, with the operation as the client wrote it.
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

    /// Parses a reply.
    ///
    /// # Errors
    ///
    /// When the bytes are not a reply.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// Whether the request was accepted: done, or a hold was opened.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.code < 300
    }

    /// The body of a reply to a request that opened a transaction or resolved a hold.
    ///
    /// # Errors
    ///
    /// When the reply has no such body.
    pub fn receipt(&self) -> Result<Receipt, serde_json::Error> {
        self.read()
    }

    /// The body of a reply to `balance`.
    ///
    /// # Errors
    ///
    /// When the reply has no such body.
    pub fn balances(&self) -> Result<BalanceBody, serde_json::Error> {
        self.read()
    }

    /// The body of a reply to `transaction`.
    ///
    /// # Errors
    ///
    /// When the reply has no such body.
    pub fn transaction(&self) -> Result<TransactionBody, serde_json::Error> {
        self.read()
    }

    /// The body of a reply to `history`.
    ///
    /// # Errors
    ///
    /// When the reply has no such body.
    pub fn history(&self) -> Result<HistoryBody, serde_json::Error> {
        self.read()
    }

    /// The results of a batch, one per operation, in order.
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
