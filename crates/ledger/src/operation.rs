//! What clients can request.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// What clients can request. The names are those of routing keys and replies.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
#[strum(parse_err_ty = UnknownOperation, parse_err_fn = UnknownOperation::of)]
pub enum Operation {
    /// Credits a wallet.
    Invoice,
    /// Debits a wallet.
    Withdraw,
    /// Debits one wallet and credits another.
    Transfer,
    /// Captures a hold, in full or in part; the rest is released.
    Settle,
    /// Releases a hold.
    Cancel,
    /// Releases a hold whose expiry time has passed.
    Expire,
    /// Reads the balances of a wallet.
    Balance,
    /// Reads one transaction by its id.
    Transaction,
    /// Reads the postings of a wallet, newest first.
    History,
}

impl Operation {
    /// All operations, those that open transactions first.
    pub const ALL: [Self; Self::VARIANTS.len()] =
        *Self::VARIANTS.first_chunk().expect("as many as there are");

    /// The routing key, and the name in replies, tables and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The text is not the name of an [`Operation`]; names are lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown operation")]
pub struct UnknownOperation;

impl UnknownOperation {
    const fn of(_: &str) -> Self {
        Self
    }
}
