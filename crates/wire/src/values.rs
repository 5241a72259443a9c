//! The kinds of values as JSON Schema: those of requests (`Given...`) say what is accepted, the others what
//! is sent.
//!
//! The types of requests and replies name them by `schemars(with = ...)`. They carry no data.

use std::borrow::Cow;

use florin_ledger::{ErrorCode, Status};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

use crate::guide::{Givers, Guide};

/// A whole number in a string: a sign only if negative, no leading zeros.
const WHOLE: &str = "^(0|-?[1-9][0-9]{0,18})$";
/// A decimal number above zero, in JSON's grammar.
const POSITIVE: &str = r"^([1-9][0-9]*(\.[0-9]+)?|0\.0*[1-9][0-9]*)([eE][+-]?[0-9]+)?$";
const UUID: &str = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$";
const TIME: &str = concat!(
    "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])",
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?Z$"
);
/// The same, with any offset from UTC.
const GIVEN_TIME: &str = concat!(
    "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])",
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
);
/// A string without NUL.
const NO_NUL: &str = r"^[^\u0000]*$";
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
    /// A wallet: a whole number of 64 bits, or one in a string. As a number it may have a fraction of zero
    /// (`12.0` is 12); in a string it has digits only.
    GivenWalletId = json_schema!({"anyOf": [
        {"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX},
        {"type": "string", "pattern": WHOLE},
    ]});
    /// An amount above 0, as a JSON number or in a string. Its digits, and an exponent, are read exactly; it
    /// may have as many decimal places as the ticker.
    GivenAmount = json_schema!({"anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": POSITIVE},
    ]});
    /// Whole seconds, at most ten years, as a number or as a string of digits.
    GivenSeconds = json_schema!({"anyOf": [
        {"type": "integer", "minimum": 1, "maximum": crate::command::MAX_TIMEOUT_SECONDS},
        {"type": "string", "pattern": "^[1-9][0-9]{0,8}$"},
    ]});
    /// A whole number from 1 to 1000, as a number or as a string of digits.
    GivenLimit = json_schema!({"anyOf": [
        {"type": "integer", "minimum": 1, "maximum": crate::command::MAX_PAGE},
        {"type": "string", "pattern": "^([1-9][0-9]{0,2}|1000)$"},
    ]});
    /// The id of a transaction: a UUID with hyphens.
    GivenTransactionId = json_schema!({"type": "string", "format": "uuid", "pattern": UUID});
    /// A time in RFC 3339, with any offset from UTC and up to nine decimals of a second.
    GivenTime = json_schema!({"type": "string", "format": "date-time", "pattern": GIVEN_TIME});
    /// A time in RFC 3339, in UTC with `Z`, with up to nine decimals of a second.
    Time = json_schema!({"type": "string", "format": "date-time", "pattern": TIME});
    /// A place in a history: the `next` of a page. Opaque to clients.
    Cursor = json_schema!({"type": "string", "pattern": CURSOR});
    /// An HTTP status code.
    Code = json_schema!({"type": "integer"});
    /// A JSON object.
    Object = json_schema!({"type": "object"});
    /// The client's identity for an operation of a batch: 1 to 255 bytes. A UUID becomes the transaction's id;
    /// the all-zero one is no identity.
    GivenIdentity = json_schema!({"type": "string", "minLength": 1, "maxLength": 255});

    /// On whose behalf the operation is requested. Only read if the message has a `user_id` that the service
    /// trusts.
    GivenRequester = json_schema!({"type": "string", "pattern": REQUESTER});

    /// A wallet.
    WalletId = json_schema!({"type": "integer", "format": "int64"});
    /// The name of a ticker (a currency).
    Ticker = json_schema!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,32}$"});
    /// An amount above 0, in exact digits, without exponent and trailing zeros. Do not parse it into a binary
    /// floating-point number: that loses digits.
    Amount = json_schema!({"type": "number", "exclusiveMinimum": 0});
    /// A balance, never below 0, in exact digits, without exponent and trailing zeros. Do not parse it into a
    /// binary floating-point number: that loses digits.
    Balance = json_schema!({"type": "number", "minimum": 0});
    /// The id of a transaction: a UUID with hyphens, in lower case.
    TransactionId = json_schema!({
        "type": "string",
        "format": "uuid",
        "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
    });
    /// The operation that opened a transaction.
    OpenedBy = json_schema!({"type": "string", "enum": ["invoice", "withdraw", "transfer"]});
    /// The number of a posting in its chain: 1, 2, 3, without gaps.
    Version = json_schema!({"type": "integer", "format": "int64", "minimum": 1});
    /// The status of a transaction. `Created` is a hold, to be settled, cancelled or to expire; the others
    /// are final.
    TransactionStatus = json_schema!({"type": "string", "enum": Status::ALL.map(Status::as_str)});
    /// Who requested it: `amqp:<user>` is a broker user; anything else was named by one that the service
    /// trusts.
    Requester = json_schema!({"type": "string", "minLength": 1, "maxLength": 255});
    /// Why a transaction is in status `Error`.
    TransactionError = json_schema!({"type": "string", "enum": RECORDED.map(ErrorCode::as_str)});
    /// Why a request was refused, for programs: a stable name; new versions may add names. `docs/errors.md`
    /// says what each means.
    RefusalError = json_schema!({"type": "string", "enum": answered().map(ErrorCode::as_str).collect::<Vec<_>>()});
}

/// Metadata, in requests and in replies.
pub(crate) struct Metadata;

impl JsonSchema for Metadata {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Metadata")
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Any JSON object, kept and returned to the byte: at most 4096 bytes as written, at most 32 \
                            levels deep, no NUL character in any string.",
            "type": "object",
            "propertyNames": {"pattern": NO_NUL},
            "additionalProperties": generator.subschema_for::<MetadataValue>(),
        })
    }
}

/// What metadata consist of.
struct MetadataValue;

impl JsonSchema for MetadataValue {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("MetadataValue")
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<Self>();
        json_schema!({
            "description": "Any JSON value without a NUL character.",
            "anyOf": [
                {"type": ["null", "boolean", "number"]},
                {"type": "string", "pattern": NO_NUL},
                {"type": "array", "items": value},
                {"type": "object", "propertyNames": {"pattern": NO_NUL}, "additionalProperties": value},
            ],
        })
    }
}

/// The refusals that are recorded as a transaction, and the reasons why a hold was released.
const RECORDED: [ErrorCode; 5] = [
    ErrorCode::AmountOutOfRange,
    ErrorCode::InsufficientFunds,
    ErrorCode::BatchFailed,
    ErrorCode::Cancelled,
    ErrorCode::Expired,
];

/// The errors that a request can be answered with.
pub(crate) fn answered() -> impl Iterator<Item = ErrorCode> {
    ErrorCode::ALL.into_iter().filter(|code| Guide::of(*code).givers != Givers::None)
}

/// A timeout is refused without `"pending": true`. `null` counts as absent.
pub(crate) fn timeout_needs_pending(schema: &mut Schema) {
    let given = json!({"properties": {"timeout": {"not": {"type": "null"}}}, "required": ["timeout"]});
    schema.insert("if".to_owned(), given);
    schema.insert(
        "then".to_owned(),
        json!({"properties": {"pending": {"const": true}}, "required": ["pending"]}),
    );
}

/// There is an error when the status says so, and only then.
pub(crate) fn error_when_failed(schema: &mut Schema) {
    schema.insert("if".to_owned(), json!({"properties": {"status": {"const": "Error"}}}));
    schema.insert("then".to_owned(), json!({"required": ["error"]}));
    schema.insert("else".to_owned(), json!({"properties": {"error": false}}));
}
