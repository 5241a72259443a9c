//! Rows for the console and the command line: wallets, tickers, postings, pending transactions.

use std::time::SystemTime;

use uuid::Uuid;

use crate::{Decimal, Scale, WalletId};

/// A wallet and its balances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletRow {
    /// The wallet's number.
    pub wallet_id: WalletId,
    /// One per ticker that the wallet ever held, sorted by ticker.
    pub balances: Vec<WalletBalance>,
}

/// One balance of a wallet, as exact decimal text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletBalance {
    /// The ticker's name.
    pub ticker: String,
    /// What can be withdrawn.
    pub actual: String,
    /// What holds have frozen.
    pub frozen: String,
}

/// A ticker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TickerRow {
    /// The ticker's name.
    pub name: String,
    /// The ticker's decimal places.
    pub scale: Scale,
}

/// One change of one balance by a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostingRow {
    /// The wallet whose balance changed.
    pub wallet_id: WalletId,
    /// The ticker's name.
    pub ticker: String,
    /// The ticker's decimal places.
    pub scale: Scale,
    /// The number of the posting in its chain.
    pub version: i64,
    /// 0 opens the transaction, 2 resolves it; 1 and 3 are the payee's side of these.
    pub leg: i16,
    /// The status of the transaction since this posting.
    pub status: String,
    /// The amount requested, settled or released.
    pub amount: Decimal,
    /// The actual balance after it.
    pub actual: Decimal,
    /// The frozen balance after it.
    pub frozen: Decimal,
    /// When it was decided.
    pub created_at: SystemTime,
}

/// A transaction in status Created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRow {
    /// The transaction's id.
    pub transaction_id: Uuid,
    /// The operation that opened it.
    pub operation: String,
    /// The wallet whose balance it moves.
    pub wallet_id: WalletId,
    /// The other wallet of a transfer.
    pub counterparty_wallet_id: Option<WalletId>,
    /// The ticker's name.
    pub ticker: String,
    /// The ticker's decimal places.
    pub scale: Scale,
    /// The amount on hold.
    pub amount: Decimal,
    /// When it was opened.
    pub created_at: SystemTime,
    /// When it expires, if ever.
    pub expires_at: Option<SystemTime>,
}

/// How many transactions are pending, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingSummary {
    /// At most 10,000 are counted; 10,000 means that many or more.
    pub count: i64,
    /// When the oldest of them was opened.
    pub oldest: Option<SystemTime>,
}
