//! Which operation can be refused for what.

use florin_ledger::{ErrorCode, Operation};

/// The codes that the rules can give for an operation by itself.
pub(crate) fn codes_of(operation: Operation) -> Vec<ErrorCode> {
    use ErrorCode::*;
    let credit =
        [AmountNotPositive, UnknownWallet, UnknownTicker, AmountTooPrecise, AmountOutOfRange, IdentityReused];
    match operation {
        Operation::Invoice => credit.to_vec(),
        Operation::Withdraw => [&credit[..], &[InsufficientFunds]].concat(),
        Operation::Transfer => [&credit[..1], &[SameWallet], &credit[1..], &[InsufficientFunds]].concat(),
        Operation::Settle => vec![
            AmountNotPositive,
            UnknownTransaction,
            AmountTooPrecise,
            AmountOutOfRange,
            AlreadyFinal,
            ExceedsPending,
        ],
        Operation::Cancel => vec![UnknownTransaction, AlreadyFinal],
        Operation::Expire => vec![UnknownTransaction, AlreadyFinal, NotExpired],
        Operation::Balance | Operation::History => vec![UnknownWallet, UnknownTicker],
        Operation::Transaction => vec![UnknownTransaction],
    }
}
