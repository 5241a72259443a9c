//! What each error means to a client: the source of `docs/errors.md`. A new code does not compile without its
//! text.

use std::fmt;

use florin_ledger::{ErrorCode, Operation};

/// What a client should know about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guide {
    /// What was wrong, in a sentence.
    pub meaning: &'static str,
    /// What the client should do about it.
    pub advice: &'static str,
    /// Whether sending the request again helps.
    pub retry: Retry,
    /// The requests that can be answered with it.
    pub givers: Givers,
}

/// Whether sending a refused request again helps, and under which identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same request is always refused. Nothing was recorded, so a corrected one may keep the identity.
    Changed,
    /// The refusal was not recorded, and its cause can go away.
    SameIdentity,
    /// The refusal was recorded as a transaction in status Error, and the same identity replays it; or the
    /// identity belongs to another request.
    NewIdentity,
    /// As `NewIdentity` if the refusal names a transaction that records it, else as `SameIdentity`.
    ByTransactionId,
    /// No: the outcome is final.
    Never,
}

/// The requests that can be answered with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Givers {
    /// Every request.
    All,
    /// Requests whose routing key is not an operation, and such operations of a batch.
    UnknownOperations,
    /// Requests for one of these operations.
    These(&'static [Operation]),
    /// Atomic batches and their operations.
    AtomicBatches,
    /// None: the error of a transaction, not of a request.
    None,
}

use Operation::{Balance, Cancel, Expire, History, Invoice, Settle, Transaction, Transfer, Withdraw};

const OPENING: &[Operation] = &[Invoice, Withdraw, Transfer];
const AMOUNT: &[Operation] = &[Invoice, Withdraw, Transfer, Settle];
const WALLET: &[Operation] = &[Invoice, Withdraw, Transfer, Balance, History];

impl Guide {
    /// The guide to an error as the AsyncAPI and OpenAPI documents have it.
    #[must_use]
    pub fn document(code: ErrorCode) -> serde_json::Value {
        let Self { meaning, advice, retry, givers } = Self::of(code);
        serde_json::json!({
            "error": code.as_str(),
            "code": code.status(),
            "meaning": meaning,
            "advice": advice,
            "retry": retry.as_str(),
            "operations": givers.to_string(),
        })
    }

    /// The guide to this error.
    #[must_use]
    pub const fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::TooLarge
            | ErrorCode::UnknownOperation
            | ErrorCode::Malformed
            | ErrorCode::AmountNotPositive
            | ErrorCode::SameWallet
            | ErrorCode::AmountTooPrecise => Self::of_request(code),
            ErrorCode::UnknownTransaction
            | ErrorCode::AlreadyFinal
            | ErrorCode::NotExpired
            | ErrorCode::ExceedsPending
            | ErrorCode::Cancelled
            | ErrorCode::Expired => Self::of_transaction(code),
            _ => Self::of_decision(code),
        }
    }

    /// Errors that are visible in the request itself, or together with the ticker's scale.
    const fn of_request(code: ErrorCode) -> Self {
        let (meaning, advice, givers) = match code {
            ErrorCode::TooLarge => (
                "The body is larger than `max_body_bytes` (64 KiB unless configured). Or a batch is larger than \
                 `max_batch_body_bytes` (1 MiB), has more than 1,000 operations, or its history queries ask for more than \
                 1,000 postings (each counts as at least 100). Or the reply would be larger than 16 MiB.",
                "Send less metadata, or several batches; ask for fewer postings.",
                Givers::All,
            ),
            ErrorCode::UnknownOperation => (
                "The routing key (or the `type` of a message sent to the queue by its name) is not an operation; or a \
                 batch contains a batch.",
                "Fix the client. The reason lists the operations.",
                Givers::UnknownOperations,
            ),
            ErrorCode::Malformed => (
                "The body is not a JSON object; or a field is missing, unknown, given twice, of the wrong type or out of \
                 range. Unknown fields are ignored on the exchange `queries` only.",
                "Fix the client. The reason names the field; `florin schema show` prints the schema.",
                Givers::All,
            ),
            ErrorCode::AmountNotPositive => {
                ("The amount is 0 or negative.", "Send an amount above 0.", Givers::These(AMOUNT))
            }
            ErrorCode::SameWallet => (
                "The payer and the payee of the transfer are the same wallet.",
                "Name two different wallets.",
                Givers::These(&[Transfer]),
            ),
            _ => (
                "The amount has more decimal places than the ticker.",
                "Round it by your own business rules; the service never rounds.",
                Givers::These(AMOUNT),
            ),
        };
        Self { meaning, advice, retry: Retry::Changed, givers }
    }

    /// Errors of the transaction that a request names.
    const fn of_transaction(code: ErrorCode) -> Self {
        let (meaning, advice, retry, givers) = match code {
            ErrorCode::UnknownTransaction => (
                "No transaction has this id.",
                "Check the id. If the request that opens the transaction has no answer yet, send that one again first.",
                Retry::SameIdentity,
                Givers::These(&[Settle, Cancel, Expire, Transaction]),
            ),
            ErrorCode::AlreadyFinal => (
                "The hold has ended in another way or has expired; or the transaction never was a hold.",
                "Read its outcome with `transaction`.",
                Retry::Never,
                Givers::These(&[Settle, Cancel, Expire]),
            ),
            ErrorCode::NotExpired => (
                "The hold has not reached its expiry time, or has none.",
                "Let the service expire it, or `cancel` it.",
                Retry::SameIdentity,
                Givers::These(&[Expire]),
            ),
            ErrorCode::ExceedsPending => (
                "The amount exceeds the hold.",
                "Settle at most the amount of the hold.",
                Retry::Changed,
                Givers::These(&[Settle]),
            ),
            ErrorCode::Cancelled => {
                ("The hold was cancelled.", "Nothing: this is final.", Retry::Never, Givers::None)
            }
            _ => (
                "The hold was not settled before its expiry time.",
                "Nothing: this is final. To try again, open a new hold.",
                Retry::Never,
                Givers::None,
            ),
        };
        Self { meaning, advice, retry, givers }
    }

    /// Errors of wallets, tickers, balances and identities.
    const fn of_decision(code: ErrorCode) -> Self {
        let (meaning, advice, retry, givers) = match code {
            ErrorCode::UnknownWallet => (
                "The wallet does not exist.",
                "Check the number, or have the wallet created (`florin wallet create`).",
                Retry::SameIdentity,
                Givers::These(WALLET),
            ),
            ErrorCode::UnknownTicker => (
                "The ticker does not exist. Names are case-sensitive: `usd` is not `USD`.",
                "Check the name, or have the ticker added (`florin ticker add`).",
                Retry::SameIdentity,
                Givers::These(WALLET),
            ),
            ErrorCode::AmountOutOfRange => (
                "The amount, or the balance it would lead to, is 10^36 minor units or more.",
                "Send a smaller amount.",
                Retry::ByTransactionId,
                Givers::These(AMOUNT),
            ),
            ErrorCode::IdentityReused => (
                "This `message_id` (or `id` in a batch) belongs to a different request. Nothing was done.",
                "Fix the client: one identity per request. `transaction` shows the request it belongs to.",
                Retry::NewIdentity,
                Givers::These(OPENING),
            ),
            ErrorCode::InsufficientFunds => (
                "The payer's actual balance is less than the amount. Frozen funds do not count.",
                "Tell the payer; try again when the balance allows.",
                Retry::NewIdentity,
                Givers::These(&[Withdraw, Transfer]),
            ),
            _ => (
                "Another operation of the same atomic batch was refused, so none was applied. The reason names it.",
                "Correct or remove that operation, and send the batch under new identities.",
                Retry::NewIdentity,
                Givers::AtomicBatches,
            ),
        };
        Self { meaning, advice, retry, givers }
    }
}

impl Retry {
    /// The answer, for the documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "no; a corrected request may use the same identity or a new one",
            Self::SameIdentity => "yes, under the same identity, once the cause is gone",
            Self::NewIdentity => "under a new identity; the same one is refused again",
            Self::ByTransactionId => {
                "if it was the balance, once that is lower; under a new identity if the refusal names a `transaction_id`"
            }
            Self::Never => "no",
        }
    }
}

impl Givers {
    /// Whether a request for this operation, sent alone, can be answered with the error.
    #[must_use]
    pub fn include(self, operation: Operation) -> bool {
        match self {
            Self::All => true,
            Self::These(operations) => operations.contains(&operation),
            // An operation of such a batch that is sent again, alone, under its identity.
            Self::AtomicBatches => OPENING.contains(&operation),
            Self::UnknownOperations | Self::None => false,
        }
    }
}

impl fmt::Display for Givers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::UnknownOperations => f.write_str("any other routing key"),
            Self::These(operations) => {
                let names: Vec<&str> = operations.iter().map(|operation| operation.as_str()).collect();
                f.write_str(&names.join(", "))
            }
            Self::AtomicBatches => f.write_str("batch, and each operation of an atomic one"),
            Self::None => f.write_str("none: it is the error of a transaction"),
        }
    }
}
