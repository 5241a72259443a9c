//! The client's side of requests, and their JSON.

use std::time::{Duration, SystemTime};

use florin_ledger::{Decimal, Operation, Status, WalletId};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::json::{JsonDecimal, RawJson};
use crate::time::JsonTime;
use crate::values;

/// A request: one operation with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Credits a wallet.
    Invoice(MovementBody),
    /// Debits a wallet.
    Withdraw(MovementBody),
    /// Debits one wallet and credits another.
    Transfer(TransferBody),
    /// Captures a hold, in full or in part; the rest is released.
    Settle(SettleBody),
    /// Releases a hold.
    Cancel {
        /// The transaction that is the hold.
        transaction_id: Uuid,
    },
    /// Releases a hold whose expiry time has passed. The service does so by itself.
    Expire {
        /// The identity of the request that opened it.
        transaction_id: Uuid,
    },
    /// Reads the balances of a wallet.
    Balance(BalanceQueryBody),
    /// Reads one transaction.
    Transaction {
        /// The identity of the request that opened it.
        transaction_id: Uuid,
    },
    /// Reads a page of a wallet's postings, newest first.
    History(HistoryQueryBody),
}

/// The body of `invoice` and `withdraw`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(transform = values::timeout_needs_pending)]
pub struct MovementBody {
    /// The wallet whose balance changes; the payer of a transfer.
    #[schemars(with = "values::GivenWalletId")]
    pub wallet_id: WalletId,
    /// The ticker's name; case-sensitive.
    pub ticker: String,
    /// The amount to credit or debit.
    #[schemars(with = "values::GivenAmount")]
    pub amount: JsonDecimal,
    /// Whether to open a hold, which is settled or cancelled later.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(with = "Option<bool>")]
    pub pending: bool,
    /// Seconds until the hold expires. Needs `"pending": true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<values::GivenSeconds>")]
    pub timeout: Option<u64>,
    /// Kept with the transaction: a JSON object of at most 4096 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<values::Metadata>")]
    pub metadata: Option<RawJson>,
}

/// The body of `transfer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TransferBody {
    /// The payer's side.
    #[serde(flatten)]
    pub movement: MovementBody,
    /// The wallet that is credited.
    #[schemars(with = "values::GivenWalletId")]
    pub to_wallet_id: WalletId,
}

/// The body of `settle`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SettleBody {
    /// The transaction: the UUID that its receipt names.
    #[schemars(with = "values::GivenTransactionId")]
    pub transaction_id: Uuid,
    /// The amount to capture; the whole hold if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<values::GivenAmount>")]
    pub amount: Option<JsonDecimal>,
}

/// The body of `cancel`, `expire` and `transaction`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct NamedBody {
    /// The transaction: the UUID that its receipt names.
    #[schemars(with = "values::GivenTransactionId")]
    transaction_id: Uuid,
}

/// The body of `balance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BalanceQueryBody {
    /// The wallet whose balances are read.
    #[schemars(with = "values::GivenWalletId")]
    pub wallet_id: WalletId,
    /// Only this ticker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticker: Option<String>,
    /// The balances at this time; now if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<values::GivenTime>")]
    pub at: Option<JsonTime>,
}

/// The body of `history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HistoryQueryBody {
    /// The wallet whose postings are read.
    #[schemars(with = "values::GivenWalletId")]
    pub wallet_id: WalletId,
    /// Only this ticker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticker: Option<String>,
    /// Only postings that brought their transaction into this status.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "status_name")]
    #[schemars(with = "Option<values::TransactionStatus>")]
    pub status: Option<Status>,
    /// Only postings at or after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<values::GivenTime>")]
    pub from: Option<JsonTime>,
    /// Only postings before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<values::GivenTime>")]
    pub until: Option<JsonTime>,
    /// The `next` of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<values::Cursor>")]
    pub before: Option<String>,
    /// Page size: 1 to 1000; 100 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<values::GivenLimit>")]
    pub limit: Option<u16>,
}

fn status_name<S: Serializer>(status: &Option<Status>, serializer: S) -> Result<S::Ok, S::Error> {
    status.map(Status::as_str).serialize(serializer)
}

impl MovementBody {
    /// A movement that completes at once, without metadata.
    pub fn new(wallet_id: WalletId, ticker: impl Into<String>, amount: Decimal) -> Self {
        let (ticker, amount) = (ticker.into(), JsonDecimal(amount));
        Self { wallet_id, ticker, amount, pending: false, timeout: None, metadata: None }
    }

    /// Opens a hold instead, which expires after this time, rounded up to seconds.
    #[must_use]
    pub fn pending(mut self, timeout: Option<Duration>) -> Self {
        self.pending = true;
        self.timeout = timeout.map(|timeout| timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0));
        self
    }

    /// Keeps a JSON object of at most 4096 bytes with the transaction.
    #[must_use]
    pub fn metadata(mut self, metadata: RawJson) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// Makes it a transfer to this wallet.
    #[must_use]
    pub const fn to_wallet(self, to_wallet_id: WalletId) -> TransferBody {
        TransferBody { movement: self, to_wallet_id }
    }
}

impl SettleBody {
    /// Captures the whole hold.
    #[must_use]
    pub const fn new(transaction_id: Uuid) -> Self {
        Self { transaction_id, amount: None }
    }

    /// Captures only this much; the rest is released.
    #[must_use]
    pub const fn amount(mut self, amount: Decimal) -> Self {
        self.amount = Some(JsonDecimal(amount));
        self
    }
}

impl BalanceQueryBody {
    /// All balances of a wallet, now.
    #[must_use]
    pub const fn new(wallet_id: WalletId) -> Self {
        Self { wallet_id, ticker: None, at: None }
    }

    /// Restricts it to this ticker.
    #[must_use]
    pub fn ticker(mut self, ticker: impl Into<String>) -> Self {
        self.ticker = Some(ticker.into());
        self
    }

    /// Reads the balances at this time.
    #[must_use]
    pub const fn at(mut self, time: SystemTime) -> Self {
        self.at = Some(JsonTime(time));
        self
    }
}

impl HistoryQueryBody {
    /// The first page of a wallet's postings.
    #[must_use]
    pub const fn new(wallet_id: WalletId) -> Self {
        let (ticker, status, from, until) = (None, None, None, None);
        Self { wallet_id, ticker, status, from, until, before: None, limit: None }
    }

    /// Restricts it to this ticker.
    #[must_use]
    pub fn ticker(mut self, ticker: impl Into<String>) -> Self {
        self.ticker = Some(ticker.into());
        self
    }

    /// Restricts it to postings that brought their transaction into this status.
    #[must_use]
    pub const fn status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }

    /// Restricts it to postings at or after this time.
    #[must_use]
    pub const fn from(mut self, time: SystemTime) -> Self {
        self.from = Some(JsonTime(time));
        self
    }

    /// Restricts it to postings before this time.
    #[must_use]
    pub const fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(JsonTime(time));
        self
    }

    /// Continues after the `next` of the previous page.
    #[must_use]
    pub fn before(mut self, next: impl Into<String>) -> Self {
        self.before = Some(next.into());
        self
    }

    /// Sets the page size: 1 to 1000.
    #[must_use]
    pub const fn limit(mut self, limit: u16) -> Self {
        self.limit = Some(limit);
        self
    }
}

impl Request {
    /// The operation; also the routing key.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Invoice(_) => Operation::Invoice,
            Self::Withdraw(_) => Operation::Withdraw,
            Self::Transfer(_) => Operation::Transfer,
            Self::Settle(_) => Operation::Settle,
            Self::Cancel { .. } => Operation::Cancel,
            Self::Expire { .. } => Operation::Expire,
            Self::Balance(_) => Operation::Balance,
            Self::Transaction { .. } => Operation::Transaction,
            Self::History(_) => Operation::History,
        }
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// Never: a body is made of text and numbers only.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let json = match self {
            Self::Invoice(body) | Self::Withdraw(body) => serde_json::to_vec(body),
            Self::Transfer(body) => serde_json::to_vec(body),
            Self::Settle(body) => serde_json::to_vec(body),
            Self::Cancel { transaction_id }
            | Self::Expire { transaction_id }
            | Self::Transaction { transaction_id } => {
                serde_json::to_vec(&NamedBody { transaction_id: *transaction_id })
            }
            Self::Balance(body) => serde_json::to_vec(body),
            Self::History(body) => serde_json::to_vec(body),
        };
        json.expect("text and numbers are JSON")
    }
}
