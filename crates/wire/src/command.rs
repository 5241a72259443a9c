//! One request: its fields become a command of the ledger.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use florin_ledger::{
    BalanceQuery, Command, HistoryQuery, Identity, Movement, Operation, Pending, RequestHash, Resolve,
    WalletId,
};
use jiff::RoundMode;
use serde_json::value::RawValue;

use crate::fields::{Field, Fields, decimal, flag, transaction_id, whole};
use crate::identity::Meaning;
use crate::json::string;
use crate::refusal::Refusal;
use crate::{cursor, metadata, time};

/// Ten years.
pub(crate) const MAX_TIMEOUT_SECONDS: u64 = 315_360_000;
const DEFAULT_PAGE: u16 = 100;
pub(crate) const MAX_PAGE: u16 = 1000;

/// The operation with this name.
pub(crate) fn operation(name: &str) -> Result<Operation, Refusal> {
    name.parse().map_err(|_| Refusal::unknown_operation(name))
}

/// The fields of a request for this operation.
pub(crate) const fn fields_of(operation: Operation) -> &'static [Field] {
    use Field::{
        Amount, At, Before, From, Limit, Metadata, Pending, Status, Ticker, Timeout, ToWalletId,
        TransactionId, Until, WalletId,
    };
    match operation {
        Operation::Invoice | Operation::Withdraw => &[WalletId, Ticker, Amount, Pending, Timeout, Metadata],
        Operation::Transfer => &[WalletId, ToWalletId, Ticker, Amount, Pending, Timeout, Metadata],
        Operation::Settle => &[TransactionId, Amount],
        Operation::Cancel | Operation::Expire | Operation::Transaction => &[TransactionId],
        Operation::Balance => &[WalletId, Ticker, At],
        Operation::History => &[WalletId, Ticker, Status, From, Until, Before, Limit],
    }
}

/// Builds the command from fields that were checked.
pub(crate) fn command(
    operation: Operation,
    fields: &Fields<'_>,
    requested_by: Option<Arc<str>>,
    identify: impl FnOnce(WalletId, RequestHash) -> Identity,
) -> Result<Command, Refusal> {
    let resolve = |how, requested_by| {
        Ok(Command::Resolve { transaction_id: named_transaction(fields)?, how, requested_by })
    };
    match operation {
        Operation::Invoice => movement(operation, fields, None, requested_by, identify).map(Command::Invoice),
        Operation::Withdraw => {
            movement(operation, fields, None, requested_by, identify).map(Command::Withdraw)
        }
        Operation::Transfer => {
            let to_wallet_id = wallet_id(fields, Field::ToWalletId)?;
            let movement = movement(operation, fields, Some(to_wallet_id), requested_by, identify)?;
            Ok(Command::Transfer { movement, to_wallet_id })
        }
        Operation::Settle => {
            let amount = fields.optional(Field::Amount, AMOUNT, decimal)?;
            resolve(Resolve::Settle { amount }, requested_by)
        }
        Operation::Cancel => resolve(Resolve::Cancel, requested_by),
        Operation::Expire => resolve(Resolve::Expire, requested_by),
        Operation::Balance => balance(fields).map(Command::Balance),
        Operation::Transaction => Ok(Command::Transaction { transaction_id: named_transaction(fields)? }),
        Operation::History => history(fields).map(Command::History),
    }
}

const AMOUNT: &str = "a decimal number, or one in a string, such as 10.50";
const TICKER: &str = "a string, such as \"USD\"";
const TIME: &str = "a time in RFC 3339, such as \"2026-01-31T08:15:30Z\"";

fn movement(
    operation: Operation,
    fields: &Fields<'_>,
    to_wallet_id: Option<WalletId>,
    requested_by: Option<Arc<str>>,
    identify: impl FnOnce(WalletId, RequestHash) -> Identity,
) -> Result<Movement, Refusal> {
    let wallet_id = wallet_id(fields, Field::WalletId)?;
    let ticker = fields.required(Field::Ticker, TICKER, string)?;
    let amount = fields.required(Field::Amount, AMOUNT, decimal)?;
    let pending = fields.optional(Field::Pending, "true or false", flag)?.unwrap_or_default();
    let timeout_seconds = timeout_seconds(fields, pending)?;
    let metadata = metadata(fields)?;
    let meaning = Meaning {
        operation,
        wallet_id,
        ticker: &ticker,
        amount,
        to_wallet_id,
        pending,
        timeout_seconds,
        metadata,
    };
    let identity = identify(wallet_id, meaning.hash());
    let pending = pending.then(|| Pending { timeout: timeout_seconds.map(Duration::from_secs) });
    let metadata = metadata.map(Into::into);
    let ticker = ticker.into_owned();
    Ok(Movement { identity, wallet_id, ticker, amount, pending, metadata, requested_by })
}

fn wallet_id(fields: &Fields<'_>, field: Field) -> Result<WalletId, Refusal> {
    fields.required(field, "a whole number of at most 63 bits", whole)
}

fn timeout_seconds(fields: &Fields<'_>, pending: bool) -> Result<Option<u64>, Refusal> {
    let seconds = |raw: &RawValue| {
        let seconds = u64::try_from(whole(raw)?).ok()?;
        (1..=MAX_TIMEOUT_SECONDS).contains(&seconds).then_some(seconds)
    };
    let timeout =
        fields.optional(Field::Timeout, "whole seconds from 1 to 315360000 (ten years)", seconds)?;
    if timeout.is_some() && !pending {
        return Err(Refusal::malformed("timeout needs \"pending\":true"));
    }
    Ok(timeout)
}

fn metadata<'a>(fields: &Fields<'a>) -> Result<Option<&'a str>, Refusal> {
    fields.raw(Field::Metadata).map(metadata::check).transpose()
}

fn named_transaction(fields: &Fields<'_>) -> Result<uuid::Uuid, Refusal> {
    const WHAT: &str = "a UUID in a string, such as \"0190a5b0-7c1e-7d3c-8c3e-0123456789ab\"";
    fields.required(Field::TransactionId, WHAT, transaction_id)
}

fn balance(fields: &Fields<'_>) -> Result<BalanceQuery, Refusal> {
    Ok(BalanceQuery {
        wallet_id: wallet_id(fields, Field::WalletId)?,
        ticker: ticker_filter(fields)?,
        at: moment(fields, Field::At, RoundMode::Floor)?,
    })
}

fn history(fields: &Fields<'_>) -> Result<HistoryQuery, Refusal> {
    let limit =
        |raw: &RawValue| u16::try_from(whole(raw)?).ok().filter(|limit| (1..=MAX_PAGE).contains(limit));
    let status = "\"Created\", \"Success\" or \"Error\"";
    let cursor = "the text of \"next\" of the page before";
    Ok(HistoryQuery {
        wallet_id: wallet_id(fields, Field::WalletId)?,
        ticker: ticker_filter(fields)?,
        status: fields.optional(Field::Status, status, parsed)?,
        from: moment(fields, Field::From, RoundMode::Ceil)?,
        until: moment(fields, Field::Until, RoundMode::Ceil)?,
        before: fields.optional(Field::Before, cursor, |raw| cursor::parse(&string(raw)?))?,
        limit: fields.optional(Field::Limit, "a whole number from 1 to 1000", limit)?.unwrap_or(DEFAULT_PAGE),
    })
}

fn ticker_filter(fields: &Fields<'_>) -> Result<Option<String>, Refusal> {
    Ok(fields.optional(Field::Ticker, TICKER, string)?.map(Cow::into_owned))
}

/// Postings are timed to the microsecond: rounding by `mode` keeps a comparison with them exact.
fn moment(fields: &Fields<'_>, field: Field, mode: RoundMode) -> Result<Option<SystemTime>, Refusal> {
    fields.optional(field, TIME, |raw| time::parse_bound(&string(raw)?, mode))
}

fn parsed<T: FromStr>(raw: &RawValue) -> Option<T> {
    string(raw)?.parse().ok()
}
