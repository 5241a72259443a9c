//! Requests: what a client may send, and how a delivery becomes a command.

use std::collections::HashSet;
use std::fmt;
use std::time::SystemTime;

use florin_ledger::{Command, Decimal, ErrorCode, Movement, Operation, WalletId};
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::identity::{identity, request_hash};
use crate::json::{JsonDecimal, digits, string};

/// What a delivery says beside its body.
#[derive(Debug, Clone, Copy, Default)]
pub struct Envelope<'a> {
    /// The operation: the routing key, or the `type` of a message sent to the work queue directly.
    pub operation: &'a str,
    /// The client's own identity for the request.
    pub message_id: Option<&'a str>,
    /// The queue that waits for the reply.
    pub reply_to: Option<&'a str>,
    /// The client's number for the request, echoed in the reply.
    pub correlation_id: Option<&'a str>,
    /// When the broker delivered this message for the first time; none when it may have done so before.
    pub first_received_at: Option<SystemTime>,
}

/// A request that is refused before the rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why, for programs.
    pub code: ErrorCode,
    /// Why, for people.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// A request of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Credits a wallet.
    Invoice(MovementBody),
    /// Debits a wallet.
    Withdraw(MovementBody),
    /// Reads the balances of a wallet.
    Balance {
        /// Whose balances.
        wallet_id: WalletId,
    },
}

/// The body of `invoice` and `withdraw`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MovementBody {
    /// Whose balance changes.
    pub wallet_id: WalletId,
    /// The ticker's name.
    pub ticker: String,
    /// How much.
    pub amount: JsonDecimal,
}

impl MovementBody {
    /// A body for this much of a ticker.
    pub fn new(wallet_id: WalletId, ticker: impl Into<String>, amount: Decimal) -> Self {
        Self { wallet_id, ticker: ticker.into(), amount: JsonDecimal(amount) }
    }
}

impl Request {
    /// The operation, which is the routing key.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Invoice(_) => Operation::Invoice,
            Self::Withdraw(_) => Operation::Withdraw,
            Self::Balance { .. } => Operation::Balance,
        }
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// Never: a body is made of text and numbers only.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Balance {
            wallet_id: WalletId,
        }
        let json = match self {
            Self::Invoice(body) | Self::Withdraw(body) => serde_json::to_vec(body),
            Self::Balance { wallet_id } => serde_json::to_vec(&Balance { wallet_id: *wallet_id }),
        };
        json.expect("text and numbers are JSON")
    }
}

/// The fields as they stand in the body. `null` counts as missing, unknown fields are passed over.
#[derive(Default)]
struct Fields<'a> {
    wallet_id: Option<&'a RawValue>,
    ticker: Option<&'a RawValue>,
    amount: Option<&'a RawValue>,
}

/// Not derived: a derived one reads arrays too, and unknown fields twice.
impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "wallet_id" => fields.wallet_id = map.next_value()?,
                "ticker" => fields.ticker = map.next_value()?,
                "amount" => fields.amount = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            if let Some(twice) = seen.replace(name) {
                let shown: String = twice.chars().take(32).collect();
                return Err(A::Error::custom(format!("duplicate field {shown:?}")));
            }
        }
        Ok(fields)
    }
}

/// Turns a delivery into a command.
///
/// # Errors
///
/// A [`Refusal`] when the body is longer than `max_body_bytes`, the operation is unknown or the body cannot
/// be read. All other checks are the rules' business.
pub fn decode(envelope: &Envelope<'_>, body: &[u8], max_body_bytes: usize) -> Result<Command, Refusal> {
    if body.len() > max_body_bytes {
        let reason = format!("the body has {} bytes; at most {max_body_bytes} are taken", body.len());
        return Err(Refusal { code: ErrorCode::TooLarge, reason });
    }
    let operation = envelope.operation.parse().map_err(|_| unknown_operation(envelope.operation))?;
    let fields = read_fields(body)?;
    let wallet_id = read_wallet_id(fields.wallet_id)?;
    match operation {
        Operation::Balance => Ok(Command::Balance { wallet_id }),
        Operation::Invoice => movement(operation, envelope, body, wallet_id, &fields).map(Command::Invoice),
        Operation::Withdraw => movement(operation, envelope, body, wallet_id, &fields).map(Command::Withdraw),
    }
}

fn movement(
    operation: Operation,
    envelope: &Envelope<'_>,
    body: &[u8],
    wallet_id: WalletId,
    fields: &Fields<'_>,
) -> Result<Movement, Refusal> {
    let ticker = string(required(fields.ticker, "ticker")?)
        .ok_or_else(|| malformed("ticker must be a string, such as \"USD\""))?;
    let amount = digits(required(fields.amount, "amount")?)
        .and_then(|digits| digits.parse::<Decimal>().ok())
        .ok_or_else(|| malformed("amount must be a decimal number, or one in a string, such as 10.50"))?;
    let request_hash = request_hash(operation, wallet_id, &ticker, amount);
    let identity = identity(envelope, body, request_hash);
    Ok(Movement { identity, wallet_id, ticker, amount })
}

fn read_fields(body: &[u8]) -> Result<Fields<'_>, Refusal> {
    serde_json::from_slice(body).map_err(|error| malformed(format!("the body cannot be read: {error}")))
}

/// Digits only: no sign but a minus, no leading zeros, no fraction or exponent, so that every number has one
/// text and a card number in a string is taken as it stands or not at all.
fn read_wallet_id(field: Option<&RawValue>) -> Result<WalletId, Refusal> {
    let text = digits(required(field, "wallet_id")?);
    text.and_then(|text| text.parse::<WalletId>().ok().filter(|number| number.to_string() == text))
        .ok_or_else(|| malformed("wallet_id must be a whole number of at most 63 bits"))
}

fn required<'a>(field: Option<&'a RawValue>, name: &str) -> Result<&'a RawValue, Refusal> {
    field.ok_or_else(|| malformed(format!("{name} is missing")))
}

fn malformed(reason: impl Into<String>) -> Refusal {
    Refusal { code: ErrorCode::Malformed, reason: reason.into() }
}

fn unknown_operation(name: &str) -> Refusal {
    let known = Operation::ALL.map(Operation::as_str).join(", ");
    let reason = format!("there is no operation {name:?}; there are {known}");
    Refusal { code: ErrorCode::UnknownOperation, reason }
}
