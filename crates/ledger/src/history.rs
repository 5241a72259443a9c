//! The postings of a wallet, newest first, in pages.

use std::sync::Arc;
use std::time::SystemTime;

use uuid::Uuid;

use crate::{Change, Decimal, ErrorCode, Operation, Posting, Status, TickerId, WalletId};

/// Selects postings of one wallet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HistoryQuery {
    /// The wallet whose postings are read.
    pub wallet_id: WalletId,
    /// Only postings in this ticker.
    pub ticker: Option<String>,
    /// Only postings that brought their transaction into this status.
    pub status: Option<Status>,
    /// Only postings at or after this time.
    pub from: Option<SystemTime>,
    /// Only postings before this time.
    pub until: Option<SystemTime>,
    /// Only postings older than this place: the `next` of the previous page.
    pub before: Option<Cursor>,
    /// Page size.
    pub limit: u16,
}

/// A place in the history of a wallet. Ordered by time; within one time by ticker and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// When the posting was decided.
    pub created_at: SystemTime,
    /// Primary key of the posting's ticker.
    pub ticker_id: TickerId,
    /// The posting's number in its chain.
    pub version: i64,
}

/// One page of a wallet's history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The postings, newest first.
    pub entries: Vec<Entry>,
    /// Where the next page begins; none on the last page.
    pub next: Option<Cursor>,
}

/// One posting, with the fields of its transaction that a reader needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The posting's place in the history.
    pub cursor: Cursor,
    /// The ticker's name.
    pub ticker: Arc<str>,
    /// The transaction that wrote the posting.
    pub transaction_id: Uuid,
    /// The operation that opened the transaction.
    pub operation: Operation,
    /// The status that this posting brought the transaction into.
    pub status: Status,
    /// Why the status is `Error`.
    pub error: Option<ErrorCode>,
    /// The amount requested, captured or released.
    pub amount: Decimal,
    /// The actual balance after the posting.
    pub actual: Decimal,
    /// The frozen balance after the posting.
    pub frozen: Decimal,
    /// The other wallet of a transfer.
    pub counterparty_wallet_id: Option<WalletId>,
}

impl Entry {
    /// The entry for one posting of a change.
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
    /// Whether the query selects this entry of the wallet.
    fn matches(&self, entry: &Entry) -> bool {
        let time = entry.cursor.created_at;
        self.ticker.as_deref().is_none_or(|ticker| ticker == &*entry.ticker)
            && self.status.is_none_or(|status| status == entry.status)
            && self.from.is_none_or(|from| time >= from)
            && self.until.is_none_or(|until| time < until)
            && self.before.is_none_or(|before| entry.cursor < before)
    }

    /// Adds changes that are newer than what the page was read from.
    #[must_use]
    pub fn extend(&self, mut page: Page, changes: &[Change]) -> Page {
        let of_wallet = changes.iter().flat_map(|change| {
            let own = change.postings().filter(|posting| posting.wallet_id == self.wallet_id);
            own.map(|posting| Entry::new(change, posting))
        });
        let known = page.entries.len();
        // An older entry (after a clock went back) belongs on the next page.
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
