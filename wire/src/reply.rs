//! Replies: what a client gets back.

use std::collections::BTreeMap;

use florin_ledger::{Answer, BalanceLine, Command, ErrorCode, Outcome, Status};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::json::JsonDecimal;
use crate::request::Refusal;

/// The header of a reply that repeats the answer to an earlier request with the same identity.
pub const IDEMPOTENT_REPLAYED: &str = "idempotent-replayed";

/// An answer. `body` is a string that holds JSON, as the first clients of this protocol expect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The operation that was asked for.
    pub operation: String,
    /// 200 when it was done; 400 and above when it was refused.
    pub code: u16,
    /// What was asked for, as JSON: a [`Receipt`] or a [`BalanceBody`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Why the request was refused, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why the request was refused: a stable [`ErrorCode`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The transaction in status Error that records the refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<Uuid>,
}

/// The body of the answer to a request that moved money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The transaction.
    pub transaction_id: Uuid,
    /// Its status: `Created`, `Success` or `Error`.
    pub status: String,
}

/// The body of the answer to `balance`. A map without entries is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceBody {
    /// What can be withdrawn, by ticker.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub actual_balance: BTreeMap<String, JsonDecimal>,
    /// What waits on transactions in status Created, by ticker.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub frozen_balance: BTreeMap<String, JsonDecimal>,
}

impl Reply {
    /// The answer to a command.
    #[must_use]
    pub fn to_command(command: &Command, outcome: &Outcome) -> Self {
        let operation = command.operation().as_str();
        match &outcome.answer {
            Answer::Transaction { transaction_id, status } => {
                Self::done(operation, *status, &Receipt::new(*transaction_id, *status))
            }
            Answer::Balance(lines) => Self::done(operation, Status::Success, &BalanceBody::new(lines)),
            Answer::Refused { code, transaction_id } => Self {
                transaction_id: *transaction_id,
                ..Self::refused(operation, &Refusal { code: *code, reason: reason(*code, command) })
            },
        }
    }

    /// The answer to a request that was refused, under the name of the operation that the client wrote.
    #[must_use]
    pub fn refused(operation: &str, refusal: &Refusal) -> Self {
        Self {
            operation: operation.to_owned(),
            code: refusal.code.status(),
            body: None,
            reason: Some(refusal.reason.clone()),
            error: Some(refusal.code.as_str().to_owned()),
            transaction_id: None,
        }
    }

    fn done(operation: &str, status: Status, body: &impl Serialize) -> Self {
        Self {
            operation: operation.to_owned(),
            code: if status == Status::Created { 202 } else { 200 },
            body: Some(serde_json::to_string(body).expect("text and numbers are JSON")),
            reason: None,
            error: None,
            transaction_id: None,
        }
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

    /// The receipt of a request that moved money.
    ///
    /// # Errors
    ///
    /// When the reply has no such body.
    pub fn receipt(&self) -> Result<Receipt, serde_json::Error> {
        serde_json::from_str(self.body.as_deref().unwrap_or_default())
    }

    /// The balances that `balance` asked for.
    ///
    /// # Errors
    ///
    /// When the reply has no such body.
    pub fn balances(&self) -> Result<BalanceBody, serde_json::Error> {
        serde_json::from_str(self.body.as_deref().unwrap_or_default())
    }
}

impl Receipt {
    fn new(transaction_id: Uuid, status: Status) -> Self {
        Self { transaction_id, status: status.as_str().to_owned() }
    }
}

impl BalanceBody {
    fn new(lines: &[BalanceLine]) -> Self {
        let actual = lines.iter().map(|line| (line.ticker.clone(), JsonDecimal(line.actual)));
        let frozen = lines.iter().filter(|line| line.frozen.is_positive());
        let frozen = frozen.map(|line| (line.ticker.clone(), JsonDecimal(line.frozen)));
        Self { actual_balance: actual.collect(), frozen_balance: frozen.collect() }
    }
}

/// Why a command was refused, for people. It depends on the request alone, so that a replayed answer is the
/// same to the byte.
fn reason(code: ErrorCode, command: &Command) -> String {
    let wallet_id = command.wallet_id();
    let (ticker, amount) = match command.movement() {
        Some(movement) => (movement.ticker.as_str(), movement.amount.to_string()),
        None => ("", String::new()),
    };
    match code {
        ErrorCode::AmountNotPositive => "the amount must be greater than 0".to_owned(),
        ErrorCode::UnknownWallet => format!("there is no wallet {wallet_id}"),
        ErrorCode::UnknownTicker => {
            let shown: String = ticker.chars().take(32).collect();
            format!("there is no ticker {shown:?}; names are exact, such as \"USD\"")
        }
        ErrorCode::AmountTooPrecise => format!("{amount} has more decimal places than {ticker} has"),
        ErrorCode::AmountOutOfRange => {
            format!("{amount} {ticker} would exceed what a balance can hold (10^36 minor units)")
        }
        ErrorCode::IdentityReused => "this message_id belongs to a different request".to_owned(),
        ErrorCode::InsufficientFunds => {
            format!("wallet {wallet_id} has less than {amount} {ticker} to withdraw")
        }
        ErrorCode::TooLarge | ErrorCode::UnknownOperation | ErrorCode::Malformed => code.to_string(),
    }
}
