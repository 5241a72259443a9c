//! The kinds of values that travel, as JSON Schema: those of requests say what is taken, the others what is sent.
//!
//! The types of requests and replies name them by `schemars(with = ...)`. They hold nothing.

use std::borrow::Cow;

use florin_ledger::{ErrorCode, Status};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::guide::{Givers, Guide};

/// What every number in a text looks like: a sign only when it is negative, no zeros in front.
const WHOLE: &str = "^(0|-?[1-9][0-9]{0,18})$";
/// A decimal number above zero, in the grammar of JSON.
const POSITIVE: &str = r"^([1-9][0-9]*(\.[0-9]+)?|0\.0*[1-9][0-9]*)([eE][+-]?[0-9]+)?$";
const UUID: &str = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$";
const TIME: &str = concat!(
    "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])",
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?Z$"
);
const REQUESTER: &str = "^[ -~]{1,255}$";
const CURSOR: &str = "^[0-9a-f]{40}$";

macro_rules! values {
    ($($(#[doc = $about:literal])+ $name:ident = $schema:expr;)*) => {
        $(
            $(#[doc = $about])+
            pub(crate) struct $name;

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    Cow::Borrowed(stringify!($name))
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    let mut schema: Schema = $schema;
                    let about = concat!($($about),+).trim_start();
                    schema.insert("description".to_owned(), about.into());
                    schema
                }
            }
        )*
    };
}

values! {
    /// A wallet, as a whole number of 64 bits or in a string: digits only, no zeros in front, no `1.0` and no `1e0`.
    GivenWalletId = json_schema!({"anyOf": [
        {"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX},
        {"type": "string", "pattern": WHOLE},
    ]});
    /// An amount above 0, as a JSON number or in a string. Its digits are read exactly, an exponent as well; it may
    /// have as many decimal places as the ticker.
    GivenAmount = json_schema!({"anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": POSITIVE},
    ]});
    /// Whole seconds, at most ten years, as a number or in a string of digits.
    GivenSeconds = json_schema!({"anyOf": [
        {"type": "integer", "minimum": 1, "maximum": crate::decode::MAX_TIMEOUT_SECONDS},
        {"type": "string", "pattern": "^[1-9][0-9]{0,8}$"},
    ]});
    /// A whole number from 1 to 1000, or one in a string of digits.
    GivenLimit = json_schema!({"anyOf": [
        {"type": "integer", "minimum": 1, "maximum": crate::decode::MAX_PAGE},
        {"type": "string", "pattern": "^([1-9][0-9]{0,2}|1000)$"},
    ]});
    /// The id of a transaction: a UUID with hyphens.
    GivenTransactionId = json_schema!({"type": "string", "format": "uuid", "pattern": UUID});
    /// A time in RFC 3339, in UTC with `Z`, with up to nine decimals of a second.
    Time = json_schema!({"type": "string", "format": "date-time", "pattern": TIME});
    /// A place in a history: the `next` of a page. What is in it is the service's own business.
    Cursor = json_schema!({"type": "string", "pattern": CURSOR});
    /// A code in the sense of HTTP.
    Code = json_schema!({"type": "integer"});
    /// A JSON object.
    Object = json_schema!({"type": "object"});
    /// Any JSON object, kept and given back to the byte: at most 4096 bytes as written, nested at most 32 deep, no
    /// NUL character in any string.
    Metadata = json_schema!({"type": "object"});
    /// The client's own identity of an operation of a batch: 1 to 255 bytes. A UUID is the transaction's id itself.
    GivenIdentity = json_schema!({"type": "string", "minLength": 1, "maxLength": 255});

    /// For whom the operation is asked. Only looked at when the message has a `user_id` that the service trusts.
    GivenRequester = json_schema!({"type": "string", "pattern": REQUESTER});

    /// A wallet.
    WalletId = json_schema!({"type": "integer", "format": "int64"});
    /// The name of a ticker (a currency).
    Ticker = json_schema!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,32}$"});
    /// An amount above 0, in exact digits, without exponent and trailing zeros. To keep it exact, read it without a
    /// binary floating-point number in between.
    Amount = json_schema!({"type": "number", "exclusiveMinimum": 0});
    /// A balance, never below 0, in exact digits, without exponent and trailing zeros. To keep it exact, read it
    /// without a binary floating-point number in between.
    Balance = json_schema!({"type": "number", "minimum": 0});
    /// The id of a transaction: a UUID with hyphens, in lower case.
    TransactionId = json_schema!({
        "type": "string",
        "format": "uuid",
        "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
    });
    /// What opened a transaction.
    OpenedBy = json_schema!({"type": "string", "enum": ["invoice", "withdraw", "transfer"]});
    /// The number of a posting in the chain of its balance: 1, 2, 3, without gaps.
    Version = json_schema!({"type": "integer", "format": "int64", "minimum": 1});
    /// The status of a transaction. `Created` waits to be settled, cancelled or to expire; the others are final.
    TransactionStatus = json_schema!({"type": "string", "enum": Status::ALL.map(Status::as_str)});
    /// Who asked: `amqp:<user>` is a user of the broker; anything else was said by one that the service trusts.
    Requester = json_schema!({"type": "string", "minLength": 1, "maxLength": 255});
    /// Why a transaction is in status `Error`.
    TransactionError = json_schema!({"type": "string", "enum": RECORDED.map(ErrorCode::as_str)});
    /// Why a request was refused, for programs: a stable name, of which new versions may have more. `docs/errors.md` says
    /// what each means.
    RefusalError = json_schema!({"type": "string", "enum": answered().map(ErrorCode::as_str).collect::<Vec<_>>()});
}

/// The refusals that leave a transaction behind, and the ends that one can have without being settled.
const RECORDED: [ErrorCode; 5] = [
    ErrorCode::AmountOutOfRange,
    ErrorCode::InsufficientFunds,
    ErrorCode::BatchFailed,
    ErrorCode::Cancelled,
    ErrorCode::Expired,
];

/// The codes that a request is answered with.
pub(super) fn answered() -> impl Iterator<Item = ErrorCode> {
    ErrorCode::ALL.into_iter().filter(|code| Guide::of(*code).givers != Givers::None)
}
