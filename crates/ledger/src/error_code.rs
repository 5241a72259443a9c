//! Why a request is refused: one enum with stable codes, in order of precedence.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// Why a request is refused. If several reasons apply, the first one in this order is returned.
///
/// The names ([`ErrorCode::as_str`]) and codes never change their meaning: clients may depend on them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
#[strum(parse_err_ty = UnknownErrorCode, parse_err_fn = UnknownErrorCode::of)]
pub enum ErrorCode {
    /// The body exceeds the service's size limit, or the answer would exceed the broker's.
    TooLarge,
    /// The routing key names no operation.
    UnknownOperation,
    /// The body or a property cannot be read, or a field is missing or of a wrong type.
    Malformed,
    /// The amount is zero or below.
    AmountNotPositive,
    /// The payer and the payee of a transfer are the same wallet.
    SameWallet,
    /// No transaction has this id.
    UnknownTransaction,
    /// No wallet has this number.
    UnknownWallet,
    /// No ticker has this name; names are case-sensitive.
    UnknownTicker,
    /// The amount has more decimal places than the ticker.
    AmountTooPrecise,
    /// The amount is 10^36 minor units or more, or would bring a balance there. The balance is checked last
    /// of all.
    AmountOutOfRange,
    /// The identity belongs to a different request.
    IdentityReused,
    /// The transaction has ended in another way, or never was a hold.
    AlreadyFinal,
    /// The hold has not reached its expiry time, or has none.
    NotExpired,
    /// The amount exceeds the hold.
    ExceedsPending,
    /// The actual balance is lower than the amount.
    InsufficientFunds,
    /// Another operation of the same atomic batch was refused.
    BatchFailed,
    /// The hold was cancelled.
    Cancelled,
    /// The hold was not settled before its expiry time.
    Expired,
}

impl ErrorCode {
    /// All codes, in order of precedence. The last two never answer a request: they say why a former hold is
    /// in status Error.
    pub const ALL: [Self; Self::VARIANTS.len()] =
        *Self::VARIANTS.first_chunk().expect("as many as there are");

    /// The stable name in replies, events, tables and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The `code` of the reply: an HTTP status code.
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

/// The text is not the name of an [`ErrorCode`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown error code {0:?}")]
pub struct UnknownErrorCode(String);

impl UnknownErrorCode {
    fn of(name: &str) -> Self {
        Self(name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_complete_and_in_order_of_precedence() {
        assert!(ErrorCode::ALL.is_sorted());
        assert_eq!(ErrorCode::ALL.len(), 18);
        for code in ErrorCode::ALL {
            assert_eq!(code.as_str().parse(), Ok(code));
        }
        assert!("nonsense".parse::<ErrorCode>().is_err());
    }
}
