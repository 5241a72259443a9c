//! The postings of a wallet, newest first, in pages.

use std::sync::Arc;
use std::time::SystemTime;

use uuid::Uuid;

use crate::{Change, Decimal, ErrorCode, Operation, Posting, Status, TickerId, WalletId};

/// Which postings are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HistoryQuery {
    /// Whose.
    pub wallet_id: WalletId,
    /// Only of this ticker.
    pub ticker: Option<String>,
    /// Only those that brought their transaction into this status.
    pub status: Option<Status>,
    /// Only those of this time or later.
    pub from: Option<SystemTime>,
    /// Only those before this time.
    pub until: Option<SystemTime>,
    /// Only those that come after this one in the list, which means that they are older.
    pub before: Option<Cursor>,
    /// At most so many.
    pub limit: u16,
}

/// A place in the history of a wallet. Ordered by time; within one time by ticker and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The time of the posting.
    pub created_at: SystemTime,
    /// Its ticker.
    pub ticker_id: TickerId,
    /// Its number in its chain.
    pub version: i64,
}

/// A part of the history of a wallet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Newest first.
    pub entries: Vec<Entry>,
    /// Where the next page begins; none when there is nothing more.
    pub next: Option<Cursor>,
}

/// One posting, for a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the history.
    pub cursor: Cursor,
    /// The ticker's name.
    pub ticker: Arc<str>,
    /// The transaction that it belongs to.
    pub transaction_id: Uuid,
    /// What opened that.
    pub operation: Operation,
    /// The status that this posting brought it into.
    pub status: Status,
    /// Why that is `Error`.
    pub error: Option<ErrorCode>,
    /// What was asked for, settled or released.
    pub amount: Decimal,
    /// What could be withdrawn after it.
    pub actual: Decimal,
    /// What waited on transactions in status `Created` after it.
    pub frozen: Decimal,
    /// The other wallet of a transfer.
    pub counterparty_wallet_id: Option<WalletId>,
}

impl Entry {
    /// The entry of a posting of this change.
    #[must_use]
    pub fn new(change: &Change, posting: &Posting) -> Self {
        let transaction = &change.transaction;
        let ticker = &transaction.ticker;
        Self {
            cursor: Cursor {
                created_at: posting.after.created_at,
                ticker_id: ticker.id,
                version: posting.after.version,
            },
            ticker: Arc::clone(&ticker.name),
            transaction_id: transaction.id,
            operation: transaction.operation,
            status: transaction.status(),
            error: transaction.error(),
            amount: Decimal::from_minor(transaction.moved(), ticker.scale),
            actual: Decimal::from_minor(posting.after.actual, ticker.scale),
            frozen: Decimal::from_minor(posting.after.frozen, ticker.scale),
            counterparty_wallet_id: transaction.counterparty_of(posting.wallet_id),
        }
    }
}

impl HistoryQuery {
    /// Whether this entry of the wallet is among those asked for.
    fn matches(&self, entry: &Entry) -> bool {
        let time = entry.cursor.created_at;
        self.ticker.as_deref().is_none_or(|ticker| ticker == &*entry.ticker)
            && self.status.is_none_or(|status| status == entry.status)
            && self.from.is_none_or(|from| time >= from)
            && self.until.is_none_or(|until| time < until)
            && self.before.is_none_or(|before| entry.cursor < before)
    }

    /// The page with these changes, which are newer than what it was read from, worked in.
    #[must_use]
    pub fn extend(&self, mut page: Page, changes: &[Change]) -> Page {
        let of_wallet = changes.iter().flat_map(|change| {
            let own = change.postings().filter(|posting| posting.wallet_id == self.wallet_id);
            own.map(|posting| Entry::new(change, posting))
        });
        let known = page.entries.len();
        // What is older, because a clock went back, is on the next page.
        let end = page.next;
        page.entries.extend(
            of_wallet.filter(|entry| self.matches(entry) && end.is_none_or(|end| entry.cursor > end)),
        );
        if page.entries.len() > known {
            page.entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.cursor));
        }
        let limit = usize::from(self.limit);
        if page.entries.len() > limit {
            page.entries.truncate(limit);
            page.next = page.entries.last().map(|last| last.cursor);
        }
        page
    }
}
