//! What each error means to a client: the texts of `docs/errors.md`, kept beside the codes so that none is forgotten.

use std::fmt;

use florin_ledger::{ErrorCode, Operation};

/// What a client should know of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guide {
    /// What was wrong.
    pub meaning: &'static str,
    /// What the client should do.
    pub advice: &'static str,
    /// Whether it helps to send the request again.
    pub retry: Retry,
    /// Which requests are answered with it.
    pub givers: Givers,
}

/// Whether it helps to send a refused request again, and under which identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same request is always refused. Nothing was recorded, so a changed one may keep the identity.
    Changed,
    /// The refusal was not recorded and what it depends on can change.
    SameIdentity,
    /// The refusal was recorded as a transaction in status Error: the same identity repeats it.
    NewIdentity,
    /// By whether the refusal names a transaction that records it.
    ByTransactionId,
    /// It never helps.
    Never,
}

/// Which requests are answered with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Givers {
    /// All.
    All,
    /// Those whose routing key names no operation, and such operations of a batch.
    UnknownOperations,
    /// These.
    These(&'static [Operation]),
    /// A batch that is done whole or not at all, and its operations.
    AtomicBatches,
    /// None: it is the reason of a transaction.
    None,
}

use Operation::{Balance, Cancel, Expire, History, Invoice, Settle, Transaction, Transfer, Withdraw};

const OPENING: &[Operation] = &[Invoice, Withdraw, Transfer];
const AMOUNT: &[Operation] = &[Invoice, Withdraw, Transfer, Settle];
const WALLET: &[Operation] = &[Invoice, Withdraw, Transfer, Balance, History];

impl Guide {
    /// The guide to an error as the documents (AsyncAPI, OpenAPI) have it.
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

    /// What a client should know of this error.
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

    /// Of what the request shows by itself, or together with the ticker's scale.
    const fn of_request(code: ErrorCode) -> Self {
        let (meaning, advice, givers) = match code {
            ErrorCode::TooLarge => (
                "The body has more bytes than `max_body_bytes` (64 KiB unless configured), a batch more than \
                 `max_batch_body_bytes` (1 MiB) or more than 1,000 operations, or its histories ask for more than 1,000 \
                 postings (each counts as at least 100); or the answer would be longer than 16 MiB.",
                "Send less metadata, or several batches; ask for less.",
                Givers::All,
            ),
            ErrorCode::UnknownOperation => (
                "The routing key, or the `type` of a message sent to the queue directly, names no operation; or there \
                 is a batch within a batch.",
                "Mend the client. The reason lists the operations.",
                Givers::UnknownOperations,
            ),
            ErrorCode::Malformed => (
                "The body is no JSON object; or a field is missing, given twice, of a wrong type or out of its range.",
                "Mend the client. The reason names the field; `florin schema show` prints what is taken.",
                Givers::All,
            ),
            ErrorCode::AmountNotPositive => {
                ("The amount is 0 or below.", "Ask for more than 0.", Givers::These(AMOUNT))
            }
            ErrorCode::SameWallet => (
                "The payer and the payee of the transfer are the same wallet.",
                "Name two wallets.",
                Givers::These(&[Transfer]),
            ),
            _ => (
                "The amount has more decimal places than the ticker.",
                "Round it as your business asks for; the service never rounds.",
                Givers::These(AMOUNT),
            ),
        };
        Self { meaning, advice, retry: Retry::Changed, givers }
    }

    /// Of the transaction that a request names, and of its end.
    const fn of_transaction(code: ErrorCode) -> Self {
        let (meaning, advice, retry, givers) = match code {
            ErrorCode::UnknownTransaction => (
                "There is no transaction with this id.",
                "Look at the id. When the request that opens it has no answer yet, send that one again first.",
                Retry::SameIdentity,
                Givers::These(&[Settle, Cancel, Expire, Transaction]),
            ),
            ErrorCode::AlreadyFinal => (
                "The transaction has ended in another way, is over its time, or never waited.",
                "Ask `transaction` what became of it.",
                Retry::Never,
                Givers::These(&[Settle, Cancel, Expire]),
            ),
            ErrorCode::NotExpired => (
                "The transaction still has time, or no time limit.",
                "Leave it to the service, or `cancel` it.",
                Retry::SameIdentity,
                Givers::These(&[Expire]),
            ),
            ErrorCode::ExceedsPending => (
                "The amount is more than what the transaction holds.",
                "Settle at most its amount.",
                Retry::Changed,
                Givers::These(&[Settle]),
            ),
            ErrorCode::Cancelled => (
                "The transaction waited and was cancelled.",
                "Nothing: this is its end.",
                Retry::Never,
                Givers::None,
            ),
            _ => (
                "The transaction waited and was not settled in time.",
                "Nothing: this is its end. To try again, open another one.",
                Retry::Never,
                Givers::None,
            ),
        };
        Self { meaning, advice, retry, givers }
    }

    /// Of what the wallets, the tickers, the balances and the identities decide.
    const fn of_decision(code: ErrorCode) -> Self {
        let (meaning, advice, retry, givers) = match code {
            ErrorCode::UnknownWallet => (
                "There is no such wallet.",
                "Look at the number, or have the wallet created (`florin wallet create`).",
                Retry::SameIdentity,
                Givers::These(WALLET),
            ),
            ErrorCode::UnknownTicker => (
                "There is no such ticker. Names are exact: `usd` is not `USD`.",
                "Look at the name, or have the ticker added (`florin ticker add`).",
                Retry::SameIdentity,
                Givers::These(WALLET),
            ),
            ErrorCode::AmountOutOfRange => (
                "The amount, or the balance that it would lead to, is 10^36 minor units or more.",
                "Ask for less.",
                Retry::ByTransactionId,
                Givers::These(AMOUNT),
            ),
            ErrorCode::IdentityReused => (
                "This `message_id` (or `id` in a batch) belongs to a different request. Nothing was done.",
                "Mend the client: one identity for one request. `transaction` shows what it stands for.",
                Retry::NewIdentity,
                Givers::These(OPENING),
            ),
            ErrorCode::InsufficientFunds => (
                "The payer's actual balance is lower than the amount. Frozen money does not count.",
                "Tell the payer; ask again when there is more.",
                Retry::NewIdentity,
                Givers::These(&[Withdraw, Transfer]),
            ),
            _ => (
                "Another operation of the same atomic batch was refused, so none was done. The reason names it.",
                "Mend or leave out what was refused, and send the batch under new identities.",
                Retry::NewIdentity,
                Givers::AtomicBatches,
            ),
        };
        Self { meaning, advice, retry, givers }
    }
}

impl Retry {
    /// The answer for a person.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "no; once changed, under the same identity or a new one",
            Self::SameIdentity => "yes, when that has changed; under the same identity",
            Self::NewIdentity => "under a new identity; the same one repeats the refusal",
            Self::ByTransactionId => {
                "when it is the balance, and that is lower; under a new identity if the refusal names a `transaction_id`"
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
            // One that was part of such a batch, and is sent again under its identity.
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
            Self::None => f.write_str("none: it is the reason of a transaction"),
        }
    }
}
