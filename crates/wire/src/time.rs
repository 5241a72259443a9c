//! Times on the wire: RFC 3339 in UTC, such as `2026-01-31T08:15:30.25Z`.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time, in RFC 3339 and UTC, with `Z` and up to nine decimals of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JsonTime(pub SystemTime);

/// The text is not a time in this notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time in RFC 3339 and UTC, such as 2026-01-31T08:15:30Z")]
pub struct ParseTimeError;

impl fmt::Display for JsonTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        timestamp(self.0).fmt(f)
    }
}

impl FromStr for JsonTime {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Self, ParseTimeError> {
        parse(text).map(|timestamp| Self(timestamp.into())).ok_or(ParseTimeError)
    }
}

impl Serialize for JsonTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JsonTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Parses a time that is compared with the times of postings. Those are kept to the microsecond, so it is
/// rounded in the direction that keeps the comparison exact.
pub(crate) fn parse_bound(text: &str, mode: RoundMode) -> Option<SystemTime> {
    let exact = parse(text)?;
    let rounded = exact.round(TimestampRound::new().smallest(Unit::Microsecond).mode(mode));
    // Only the very last microsecond cannot be rounded up.
    Some(rounded.unwrap_or(exact).into())
}

/// The time this many microseconds after 1970, if RFC 3339 can express it.
pub(crate) fn from_micros(micros: i64) -> Option<SystemTime> {
    /// The first moment of the year 0.
    const FIRST: Timestamp = Timestamp::constant(-62_167_219_200, 0);
    let timestamp = Timestamp::from_microsecond(micros).ok()?;
    (timestamp >= FIRST).then(|| timestamp.into())
}

pub(crate) fn to_micros(time: SystemTime) -> i64 {
    timestamp(time).as_microsecond()
}

/// Accepts only the documented notation: the library's parser accepts more, and takes a leap second,
/// anywhere, for the second before.
fn parse(text: &str) -> Option<Timestamp> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let (whole, rest) = text.split_at_checked(SHAPE.len())?;
    let fits = |(byte, shape): (u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == *shape,
    };
    let fraction = rest.strip_suffix('Z')?;
    let has_fraction =
        fraction.strip_prefix('.').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let plain = whole.bytes().zip(SHAPE).all(fits)
        && !whole.ends_with(":60")
        && (fraction.is_empty() || has_fraction);
    plain.then(|| text.parse().ok()).flatten()
}

/// Times come from a clock or from [`parse`]; any other is shown as the last representable one.
fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::MAX)
}
