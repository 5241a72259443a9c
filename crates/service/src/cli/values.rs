//! Parsers for the values of flags. Those of clap fail with the messages of Rust, such as "invalid digit
//! found in string".

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// No time is longer: a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// Reads a whole number of this range.
pub fn number<T>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text: &str| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
    }
}

/// Reads a time with its unit: `500ms`, `10s`, `12h`, `30d`, `1y`.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    let time = humantime::parse_duration(text).ok().filter(|time| *time <= LONGEST);
    time.ok_or("must be a number and its unit (ms, s, m, h, d or y), at most 100y, such as 500ms, 90m or 30d")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_of_their_range() {
        let read = number(1..=16_u16);
        assert_eq!((read("1"), read("16")), (Ok(1), Ok(16)));
        for text in ["0", "17", "-1", "two", "", "1.0", "99999999999999999999"] {
            assert_eq!(read(text).unwrap_err(), "must be a whole number from 1 to 16", "{text}");
        }
    }

    #[test]
    fn times_have_a_unit() {
        let cases = [("500ms", 500), ("10s", 10_000), ("2m", 120_000), ("0s", 0), ("1.5s", 1500)];
        for (text, millis) in cases {
            assert_eq!(duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        let cases =
            [("90m", 5400), ("12h", 43_200), ("30d", 2_592_000), ("1d 12h", 129_600), ("1y", 31_557_600)];
        for (text, secs) in cases {
            assert_eq!(duration(text).unwrap(), Duration::from_secs(secs), "{text}");
        }
        for text in ["", "10", "s", "-1s", "10x", "soon", "101y", "9223372036854775807s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
