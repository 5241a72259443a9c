//! Reading one JSON object: the fields of a request as they stand in its text.
//!
//! `null` counts as missing, and a name that appears twice is refused. Unknown fields are refused too, except
//! on the exchange of the first clients: see [`Fields::check`]. Values are read by the callers, who know
//! their types.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use florin_ledger::Decimal;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::envelope::UnknownFields;
use crate::identity::hyphenated;
use crate::json::{digits, string};
use crate::number::Number;
use crate::refusal::{Refusal, shown};

macro_rules! fields {
    ($($variant:ident = $name:literal,)*) => {
        /// All fields of all requests.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Field { $($variant,)* }

        impl Field {
            const ALL: &[Self] = &[$(Self::$variant),*];
            const COUNT: usize = Self::ALL.len();

            fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

fields! {
    WalletId = "wallet_id",
    Ticker = "ticker",
    Amount = "amount",
    Operation = "operation",
    Id = "id",
    ToWalletId = "to_wallet_id",
    Pending = "pending",
    Timeout = "timeout",
    Metadata = "metadata",
    TransactionId = "transaction_id",
    At = "at",
    Status = "status",
    From = "from",
    Until = "until",
    Before = "before",
    Limit = "limit",
    Operations = "operations",
    Atomic = "atomic",
    OnBehalfOf = "on_behalf_of",
}

/// The fields of one object.
#[derive(Default)]
pub(crate) struct Fields<'a> {
    values: [Option<&'a RawValue>; Field::COUNT],
    /// Whether the field is present, even with the value null.
    named: [bool; Field::COUNT],
    /// The first name that appears a second time.
    twice: Option<Cow<'a, str>>,
    /// The first name that no request has.
    unknown: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> {
    /// Parses one object. Duplicate names are found by [`Fields::unambiguous`].
    pub(crate) fn read(json: &'a str) -> Result<Self, Refusal> {
        serde_json::from_str(json).map_err(|error| Refusal::unreadable(&error))
    }

    /// These fields, if no name appears twice.
    pub(crate) fn unambiguous(&self) -> Result<&Self, Refusal> {
        match &self.twice {
            None => Ok(self),
            Some(name) => Err(Refusal::malformed(format!("duplicate field {:?}", shown(name)))),
        }
    }

    /// These fields, if no name appears twice and, unless `unknown` fields are ignored, each is in one of the
    /// lists. The first list has the fields of the request, further ones those that a batch adds.
    pub(crate) fn check(&self, known: &[&[Field]], unknown: UnknownFields) -> Result<&Self, Refusal> {
        let fields = self.unambiguous()?;
        if unknown == UnknownFields::Ignored {
            return Ok(fields);
        }
        let Some(name) = fields.other_than(known) else { return Ok(fields) };
        let (request, batch) = known.split_first().map_or((&[][..], &[][..]), |(first, rest)| (*first, rest));
        let names = |fields: &[Field]| fields.iter().map(|field| field.name()).collect::<Vec<_>>();
        Err(Refusal::unknown_name_near("field", name, &names(request), &names(&batch.concat())))
    }

    /// A field that is in none of these lists.
    fn other_than(&self, known: &[&[Field]]) -> Option<&str> {
        let is_known = |field: &Field| known.iter().any(|list| list.contains(field));
        let of_others = || Field::ALL.iter().find(|field| self.is_named(**field) && !is_known(field));
        self.unknown.as_deref().or_else(|| of_others().map(|field| field.name()))
    }

    /// Whether the field is present, even with the value null.
    pub(crate) const fn is_named(&self, field: Field) -> bool {
        self.named[field as usize]
    }

    /// The text of a field, if it is given and not null.
    pub(crate) const fn raw(&self, field: Field) -> Option<&'a RawValue> {
        self.values[field as usize]
    }

    /// The value of a field, or none; an error if `parse` rejects it.
    pub(crate) fn optional<T>(
        &self,
        field: Field,
        what: &str,
        parse: impl FnOnce(&'a RawValue) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(raw) = self.raw(field) else { return Ok(None) };
        let wrong = || Refusal::malformed(format!("{} must be {what}", field.name()));
        parse(raw).ok_or_else(wrong).map(Some)
    }

    /// The value of a mandatory field.
    pub(crate) fn required<T>(
        &self,
        field: Field,
        what: &str,
        parse: impl FnOnce(&'a RawValue) -> Option<T>,
    ) -> Result<T, Refusal> {
        let missing = || Refusal::malformed(format!("{} is missing", field.name()));
        self.optional(field, what, parse)?.ok_or_else(missing)
    }
}

/// Not derived: a derived implementation accepts arrays too, and buffers unknown fields.
impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        // Allocates nothing until there is an unknown name.
        let mut unknown = HashSet::new();
        while let Some(Name(name)) = map.next_key()? {
            let first = match Field::named(&name) {
                Some(field) => {
                    fields.values[field as usize] = map.next_value()?;
                    !std::mem::replace(&mut fields.named[field as usize], true)
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                    fields.unknown.get_or_insert_with(|| name.clone());
                    unknown.insert(name.clone())
                }
            };
            if !first {
                fields.twice.get_or_insert(name);
            }
        }
        Ok(fields)
    }
}

/// A name, borrowed unless it has escapes in it.
pub(crate) struct Name<'a>(pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(name.to_owned())))
    }
}

/// A body as text.
pub(crate) fn text(body: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(body).map_err(|_| Refusal::malformed("the body cannot be read: it is not UTF-8"))
}

/// A whole number, or one in a string. Some libraries write every number with a fraction, so `12.0` is 12, as
/// in JSON Schema. In a string it has digits only: no sign but a minus, no leading zeros, no fraction or
/// exponent, so that a card number is read as written or not at all.
pub(crate) fn whole(raw: &RawValue) -> Option<i64> {
    let Some(text) = string(raw) else { return whole_number(raw.get()) };
    let (sign, digits) = text.strip_prefix('-').map_or(("", &*text), |digits| ("-", digits));
    let plain = match digits.as_bytes() {
        [b'0'] => sign.is_empty(),
        [first, ..] => matches!(first, b'1'..=b'9'),
        [] => false,
    };
    plain.then(|| text.parse().ok()).flatten()
}

/// The text of any JSON value but a string.
fn whole_number(json: &str) -> Option<i64> {
    if !json.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
        return None;
    }
    match json.parse() {
        Ok(number) => Some(number),
        Err(_) => Number::read(json)?.whole(),
    }
}

/// A decimal number, or one in a string.
pub(crate) fn decimal(raw: &RawValue) -> Option<Decimal> {
    digits(raw)?.parse().ok()
}

/// `true` or `false`.
pub(crate) fn flag(raw: &RawValue) -> Option<bool> {
    raw.get().parse().ok()
}

/// The id of a transaction.
pub(crate) fn transaction_id(raw: &RawValue) -> Option<Uuid> {
    hyphenated(&string(raw)?)
}
