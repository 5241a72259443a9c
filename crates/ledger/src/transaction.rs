//! A transaction: how it was opened, how its hold was resolved, and the postings of both steps.

use std::sync::Arc;
use std::time::SystemTime;

use strum::{Display, EnumString, IntoStaticStr, VariantArray};
use uuid::Uuid;

use crate::{Balance, ErrorCode, Operation, RequestHash, Ticker, WalletId};

/// The status of a transaction. `Success` and `Error` are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(parse_err_ty = UnknownStatus, parse_err_fn = UnknownStatus::of)]
pub enum Status {
    /// A hold: waits to be settled, cancelled or to expire.
    Created,
    /// The money has moved.
    Success,
    /// Refused, cancelled or expired: no money has moved.
    Error,
}

impl Status {
    /// All statuses, the initial one first.
    pub const ALL: [Self; Self::VARIANTS.len()] =
        *Self::VARIANTS.first_chunk().expect("as many as there are");

    /// The name in replies, events and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The text is not the name of a [`Status`]; names begin with a capital.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown status {0:?}")]
pub struct UnknownStatus(String);

impl UnknownStatus {
    fn of(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// A transaction as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The identity of the request that opened it.
    pub id: Uuid,
    /// `Invoice`, `Withdraw` or `Transfer`.
    pub operation: Operation,
    /// The wallet whose balance it changes; the payer of a transfer.
    pub wallet_id: WalletId,
    /// The payee of a transfer; none for the other operations.
    pub to_wallet_id: Option<WalletId>,
    /// The currency of the amount.
    pub ticker: Ticker,
    /// The requested amount, in minor units.
    pub amount: i128,
    /// The status it was opened with; `Created` for a hold.
    pub opened: Status,
    /// Why the request that opened it was refused, if it was.
    pub refusal: Option<ErrorCode>,
    /// When it was opened: the time of its first posting.
    pub created_at: SystemTime,
    /// When the hold expires unless it is resolved before.
    pub expires_at: Option<SystemTime>,
    /// The client's metadata: the text of a JSON object.
    pub metadata: Option<Arc<str>>,
    /// Who requested it, if known.
    pub requested_by: Option<Arc<str>>,
    /// Hash over the meaning of the request that opened it.
    pub request_hash: RequestHash,
    /// Whether the broker may have delivered that request before.
    pub redelivered: bool,
    /// How the hold was resolved, if it was one and is no more.
    pub resolution: Option<Resolution>,
}

/// How a hold was resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// `Cancelled` or `Expired`; none if it was settled.
    pub error: Option<ErrorCode>,
    /// The amount captured, or released, in minor units.
    pub amount: i128,
    /// When it was resolved: the time of the posting.
    pub at: SystemTime,
    /// Who requested the resolution, if known; none if the hold expired before the request was decided.
    pub requested_by: Option<Arc<str>>,
}

impl Transaction {
    /// The status after all steps so far.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self.resolution {
            Some(Resolution { error: None, .. }) => Status::Success,
            Some(Resolution { error: Some(_), .. }) => Status::Error,
            None => self.opened,
        }
    }

    /// Why the status is `Error`.
    #[must_use]
    pub const fn error(&self) -> Option<ErrorCode> {
        match &self.resolution {
            Some(resolution) => resolution.error,
            None => self.refusal,
        }
    }

    /// When the final status was reached; none for a hold.
    #[must_use]
    pub fn ended_at(&self) -> Option<SystemTime> {
        match (&self.resolution, self.opened) {
            (Some(resolution), _) => Some(resolution.at),
            (None, Status::Created) => None,
            (None, Status::Success | Status::Error) => Some(self.created_at),
        }
    }

    /// What the last step moved, in minor units: the amount requested, captured or released.
    #[must_use]
    pub fn moved(&self) -> i128 {
        self.resolution.as_ref().map_or(self.amount, |resolution| resolution.amount)
    }

    /// The other wallet of a transfer, seen from this one.
    #[must_use]
    pub fn counterparty_of(&self, wallet_id: WalletId) -> Option<WalletId> {
        self.to_wallet_id.map(|to| if to == wallet_id { self.wallet_id } else { to })
    }

    /// The transaction as it was opened, without its resolution.
    #[must_use]
    pub fn as_opened(&self) -> Self {
        Self { resolution: None, ..self.clone() }
    }
}

/// One change of one balance: a link of its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting {
    /// The wallet whose balance changed.
    pub wallet_id: WalletId,
    /// The leg of the transaction: 0 opens it, 2 resolves it; 1 and 3 are the payee's side of these.
    pub leg: i16,
    /// The balance after the posting, with its number in the chain and its time.
    pub after: Balance,
}

/// One step of a transaction: it was opened, or its hold was resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The transaction after the step.
    pub transaction: Transaction,
    /// The posting of the payer; or of the only wallet.
    pub first: Posting,
    /// The posting of the payee of a transfer.
    pub second: Option<Posting>,
}

impl Change {
    /// The postings of the step, in the order of their legs.
    pub fn postings(&self) -> impl Iterator<Item = &Posting> {
        std::iter::once(&self.first).chain(&self.second)
    }
}
