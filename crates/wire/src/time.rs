//! Times on the wire: RFC 3339, such as `2026-01-31T08:15:30.25Z`. Any offset is read, UTC is written.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use jiff::civil::DateTime;
use jiff::{RoundMode, SignedDuration, SignedDurationRound, Unit};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time, in RFC 3339, with up to nine decimals of a second. Written in UTC, with `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JsonTime(pub SystemTime);

/// The text is not a time in this notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time in RFC 3339, such as 2026-01-31T08:15:30Z")]
pub struct ParseTimeError;

/// The calculations are made with civil times, because jiff's `Timestamp` ends a day before the year 9999
/// does.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
/// The range of RFC 3339.
const FIRST: DateTime = DateTime::constant(0, 1, 1, 0, 0, 0, 0);
const LAST: DateTime = DateTime::constant(9999, 12, 31, 23, 59, 59, 999_999_999);

impl fmt::Display for JsonTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Times come from a clock or were parsed; one that another offset moved out of the range is shown as
        // the nearest that can be written.
        let since_epoch = since_epoch(self.0);
        let nearest = if since_epoch.is_negative() { FIRST } else { LAST };
        let civil = EPOCH.checked_add(since_epoch).unwrap_or(nearest).clamp(FIRST, LAST);
        write!(f, "{civil}Z")
    }
}

impl FromStr for JsonTime {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Self, ParseTimeError> {
        parse(text).and_then(at).map(Self).ok_or(ParseTimeError)
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
    let to_microseconds = SignedDurationRound::new().smallest(Unit::Microsecond).mode(mode);
    at(parse(text)?.round(to_microseconds).ok()?)
}

/// The time this many microseconds after 1970, if RFC 3339 can express it.
pub(crate) fn from_micros(micros: i64) -> Option<SystemTime> {
    let since_epoch = SignedDuration::from_micros(micros);
    let civil = EPOCH.checked_add(since_epoch).ok()?;
    (FIRST..=LAST).contains(&civil).then(|| at(since_epoch)).flatten()
}

pub(crate) fn to_micros(time: SystemTime) -> i64 {
    i64::try_from(since_epoch(time).as_micros()).unwrap_or(i64::MAX)
}

/// The time since 1970. Accepts only the documented notation: the library's parser accepts more, and takes a
/// leap second, anywhere, for the second before.
fn parse(text: &str) -> Option<SignedDuration> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let (whole, rest) = text.split_at_checked(SHAPE.len())?;
    let (fraction, zone) = rest.split_at(rest.find(['Z', '+', '-'])?);
    let has_fraction =
        fraction.strip_prefix('.').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let plain = has_shape(whole, SHAPE)
        && !whole.ends_with(":60")
        && (fraction.is_empty() || has_fraction && fraction.len() > 1);
    let civil: DateTime = plain.then(|| text[..text.len() - zone.len()].parse().ok()).flatten()?;
    civil.duration_since(EPOCH).checked_sub(offset(zone)?)
}

/// How far a zone is ahead of UTC: `Z`, or hours and minutes such as `+05:30`.
fn offset(zone: &str) -> Option<SignedDuration> {
    let ahead = match zone.strip_prefix(['+', '-']) {
        None => return (zone == "Z").then_some(SignedDuration::ZERO),
        Some(ahead) => ahead,
    };
    let (hours, minutes) = has_shape(ahead, b"00:00").then(|| ahead.split_once(':')).flatten()?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let ahead = SignedDuration::from_mins(60 * hours + minutes);
    (hours < 24 && minutes < 60).then_some(if zone.starts_with('-') { -ahead } else { ahead })
}

/// Whether a text has this shape, in which 0 stands for any digit.
fn has_shape(text: &str, shape: &[u8]) -> bool {
    let fits = |(byte, shape): (u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == *shape,
    };
    text.len() == shape.len() && text.bytes().zip(shape).all(fits)
}

fn at(since_epoch: SignedDuration) -> Option<SystemTime> {
    let distance = since_epoch.unsigned_abs();
    if since_epoch.is_negative() {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

/// Saturating: no clock gets there.
fn since_epoch(time: SystemTime) -> SignedDuration {
    SignedDuration::system_until(SystemTime::UNIX_EPOCH, time).unwrap_or(SignedDuration::MAX)
}
