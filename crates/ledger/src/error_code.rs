//! Why a request is refused: one enum with stable codes, in order of precedence.

use std::fmt;
use std::str::FromStr;

/// Why a request is refused. When several reasons hold, the first of this order is given.
///
/// The names ([`ErrorCode::as_str`]) and codes never change their meaning: clients may depend on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// The body is larger than the service takes.
    TooLarge,
    /// The routing key names no operation.
    UnknownOperation,
    /// The body or a property cannot be read, or a field is missing or of a wrong type.
    Malformed,
    /// The amount is zero or below.
    AmountNotPositive,
    /// The payer and the payee of a transfer are the same wallet.
    SameWallet,
    /// No such transaction.
    UnknownTransaction,
    /// No such wallet.
    UnknownWallet,
    /// No such ticker.
    UnknownTicker,
    /// The amount has more decimal places than the ticker.
    AmountTooPrecise,
    /// The amount is 10^36 minor units or more; or, what is looked at last of all, the balance that it would
    /// lead to.
    AmountOutOfRange,
    /// The identity belongs to a different request.
    IdentityReused,
    /// The transaction has ended already, in another way.
    AlreadyFinal,
    /// The transaction still has time.
    NotExpired,
    /// The amount is more than what waits.
    ExceedsPending,
    /// The actual balance is lower than the amount.
    InsufficientFunds,
    /// Another operation of the same atomic batch was refused.
    BatchFailed,
    /// The transaction was cancelled.
    Cancelled,
    /// The transaction was not settled in time.
    Expired,
}

impl ErrorCode {
    /// All codes, in order of precedence. The last two are never given as the answer to a request: they say why
    /// a transaction that waited is in status Error.
    pub const ALL: [Self; 18] = [
        Self::TooLarge,
        Self::UnknownOperation,
        Self::Malformed,
        Self::AmountNotPositive,
        Self::SameWallet,
        Self::UnknownTransaction,
        Self::UnknownWallet,
        Self::UnknownTicker,
        Self::AmountTooPrecise,
        Self::AmountOutOfRange,
        Self::IdentityReused,
        Self::AlreadyFinal,
        Self::NotExpired,
        Self::ExceedsPending,
        Self::InsufficientFunds,
        Self::BatchFailed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// The stable name, as clients see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::UnknownOperation => "unknown_operation",
            Self::Malformed => "malformed",
            Self::AmountNotPositive => "amount_not_positive",
            Self::SameWallet => "same_wallet",
            Self::UnknownTransaction => "unknown_transaction",
            Self::UnknownWallet => "unknown_wallet",
            Self::UnknownTicker => "unknown_ticker",
            Self::AmountTooPrecise => "amount_too_precise",
            Self::AmountOutOfRange => "amount_out_of_range",
            Self::IdentityReused => "identity_reused",
            Self::AlreadyFinal => "already_final",
            Self::NotExpired => "not_expired",
            Self::ExceedsPending => "exceeds_pending",
            Self::InsufficientFunds => "insufficient_funds",
            Self::BatchFailed => "batch_failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// The numeric code of the reply, in the sense of HTTP.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::TooLarge => 413,
            Self::UnknownTransaction => 404,
            Self::IdentityReused
            | Self::AlreadyFinal
            | Self::NotExpired
            | Self::Cancelled
            | Self::Expired => 409,
            _ => 400,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no [`ErrorCode`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no such error code: {0:?}")]
pub struct UnknownErrorCode(String);

impl FromStr for ErrorCode {
    type Err = UnknownErrorCode;

    fn from_str(name: &str) -> Result<Self, UnknownErrorCode> {
        let found = Self::ALL.into_iter().find(|code| code.as_str() == name);
        found.ok_or_else(|| UnknownErrorCode(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_complete_and_in_order_of_precedence() {
        assert!(ErrorCode::ALL.is_sorted());
        assert_eq!(ErrorCode::ALL.len(), ErrorCode::Expired as usize + 1);
        for code in ErrorCode::ALL {
            assert_eq!(code.as_str().parse(), Ok(code));
        }
        assert!("nonsense".parse::<ErrorCode>().is_err());
    }
}
