//! JSON values whose digits are kept: no number passes through a float.

use std::borrow::Cow;

use florin_ledger::Decimal;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A [`Decimal`] that is written as a JSON number with its exact digits, and read from a number or a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JsonDecimal(pub Decimal);

impl Serialize for JsonDecimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = RawValue::from_string(self.0.to_string()).map_err(serde::ser::Error::custom)?;
        digits.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonDecimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let digits = digits(&raw).ok_or_else(|| D::Error::custom("expected a number or a string"))?;
        digits.parse().map(Self).map_err(D::Error::custom)
    }
}

/// The text of a JSON number, or the content of a JSON string; none for any other value.
pub(crate) fn digits(raw: &RawValue) -> Option<Cow<'_, str>> {
    match raw.get().as_bytes().first()? {
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(raw.get())),
        b'"' => string(raw).map(Cow::Owned),
        _ => None,
    }
}

/// The content of a JSON string; none for any other value.
pub(crate) fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}
