//! The client's side of requests: what there is to ask for, and its JSON.

use std::time::{Duration, SystemTime};

use florin_ledger::{Decimal, Operation, Status, WalletId};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::json::{JsonDecimal, RawJson};
use crate::schema;
use crate::time::JsonTime;

/// A request of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Credits a wallet.
    Invoice(MovementBody),
    /// Debits a wallet.
    Withdraw(MovementBody),
    /// Debits one wallet and credits another.
    Transfer(TransferBody),
    /// Ends a transaction that waits: it is done.
    Settle(SettleBody),
    /// Ends a transaction that waits: it is not done.
    Cancel {
        /// Which one.
        transaction_id: Uuid,
    },
    /// Ends a transaction whose time is over.
    Expire {
        /// Which one.
        transaction_id: Uuid,
    },
    /// Reads the balances of a wallet.
    Balance(BalanceQueryBody),
    /// Reads a transaction.
    Transaction {
        /// Which one.
        transaction_id: Uuid,
    },
    /// Reads the postings of a wallet.
    History(HistoryQueryBody),
}

/// The body of `invoice` and `withdraw`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(transform = schema::timeout_needs_pending)]
pub struct MovementBody {
    /// Whose balance changes: the payer's, of a transfer.
    #[schemars(with = "schema::GivenWalletId")]
    pub wallet_id: WalletId,
    /// The ticker's name.
    pub ticker: String,
    /// How much.
    #[schemars(with = "schema::GivenAmount")]
    pub amount: JsonDecimal,
    /// Whether the transaction waits to be settled or cancelled.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(with = "Option<bool>")]
    pub pending: bool,
    /// Seconds after which it expires. Needs `"pending": true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::GivenSeconds>")]
    pub timeout: Option<u64>,
    /// What is to be kept with the transaction: a JSON object of at most 4096 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Metadata>")]
    pub metadata: Option<RawJson>,
}

/// The body of `transfer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TransferBody {
    /// What leaves the payer's wallet.
    #[serde(flatten)]
    pub movement: MovementBody,
    /// The payee.
    #[schemars(with = "schema::GivenWalletId")]
    pub to_wallet_id: WalletId,
}

/// The body of `settle`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SettleBody {
    /// Which transaction.
    #[schemars(with = "schema::GivenTransactionId")]
    pub transaction_id: Uuid,
    /// How much of it; all when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::GivenAmount>")]
    pub amount: Option<JsonDecimal>,
}

/// The body of `cancel`, `expire` and `transaction`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct NamedBody {
    /// Which transaction.
    #[schemars(with = "schema::GivenTransactionId")]
    transaction_id: Uuid,
}

/// The body of `balance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BalanceQueryBody {
    /// Whose balances.
    #[schemars(with = "schema::GivenWalletId")]
    pub wallet_id: WalletId,
    /// Only of this ticker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticker: Option<String>,
    /// As they were then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Time>")]
    pub at: Option<JsonTime>,
}

/// The body of `history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HistoryQueryBody {
    /// Whose postings.
    #[schemars(with = "schema::GivenWalletId")]
    pub wallet_id: WalletId,
    /// Only of this ticker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticker: Option<String>,
    /// Only those that brought their transaction into this status.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "status_name")]
    #[schemars(with = "Option<schema::TransactionStatus>")]
    pub status: Option<Status>,
    /// Only those of this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Time>")]
    pub from: Option<JsonTime>,
    /// Only those before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Time>")]
    pub until: Option<JsonTime>,
    /// What the page before gave as `next`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Cursor>")]
    pub before: Option<String>,
    /// At most so many: 1 to 1000; 100 when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::GivenLimit>")]
    pub limit: Option<u16>,
}

fn status_name<S: Serializer>(status: &Option<Status>, serializer: S) -> Result<S::Ok, S::Error> {
    status.map(Status::as_str).serialize(serializer)
}

impl MovementBody {
    /// A body for this much of a ticker.
    pub fn new(wallet_id: WalletId, ticker: impl Into<String>, amount: Decimal) -> Self {
        let (ticker, amount) = (ticker.into(), JsonDecimal(amount));
        Self { wallet_id, ticker, amount, pending: false, timeout: None, metadata: None }
    }

    /// The transaction waits to be settled or cancelled, and expires after this time, which is rounded up to
    /// seconds.
    #[must_use]
    pub fn pending(mut self, timeout: Option<Duration>) -> Self {
        self.pending = true;
        self.timeout = timeout.map(|timeout| timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0));
        self
    }

    /// Keeps a JSON object with the transaction.
    #[must_use]
    pub fn metadata(mut self, metadata: RawJson) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// As a transfer to this wallet.
    #[must_use]
    pub const fn to_wallet(self, to_wallet_id: WalletId) -> TransferBody {
        TransferBody { movement: self, to_wallet_id }
    }
}

impl SettleBody {
    /// Settles all of a transaction.
    #[must_use]
    pub const fn new(transaction_id: Uuid) -> Self {
        Self { transaction_id, amount: None }
    }

    /// Settles this much of it.
    #[must_use]
    pub const fn amount(mut self, amount: Decimal) -> Self {
        self.amount = Some(JsonDecimal(amount));
        self
    }
}

impl BalanceQueryBody {
    /// All balances of a wallet, as they are.
    #[must_use]
    pub const fn new(wallet_id: WalletId) -> Self {
        Self { wallet_id, ticker: None, at: None }
    }

    /// Only of this ticker.
    #[must_use]
    pub fn ticker(mut self, ticker: impl Into<String>) -> Self {
        self.ticker = Some(ticker.into());
        self
    }

    /// As they were then.
    #[must_use]
    pub const fn at(mut self, time: SystemTime) -> Self {
        self.at = Some(JsonTime(time));
        self
    }
}

impl HistoryQueryBody {
    /// The newest postings of a wallet.
    #[must_use]
    pub const fn new(wallet_id: WalletId) -> Self {
        let (ticker, status, from, until) = (None, None, None, None);
        Self { wallet_id, ticker, status, from, until, before: None, limit: None }
    }

    /// Only of this ticker.
    #[must_use]
    pub fn ticker(mut self, ticker: impl Into<String>) -> Self {
        self.ticker = Some(ticker.into());
        self
    }

    /// Only those that brought their transaction into this status.
    #[must_use]
    pub const fn status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }

    /// Only those of this time or later.
    #[must_use]
    pub const fn from(mut self, time: SystemTime) -> Self {
        self.from = Some(JsonTime(time));
        self
    }

    /// Only those before this time.
    #[must_use]
    pub const fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(JsonTime(time));
        self
    }

    /// Those that come after what the page before gave as `next`.
    #[must_use]
    pub fn before(mut self, next: impl Into<String>) -> Self {
        self.before = Some(next.into());
        self
    }

    /// At most so many: 1 to 1000.
    #[must_use]
    pub const fn limit(mut self, limit: u16) -> Self {
        self.limit = Some(limit);
        self
    }
}

impl Request {
    /// The operation, which is the routing key.
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
