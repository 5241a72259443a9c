//! JSON numbers as their exact values: nothing is rounded, and no number passes through a float.

use std::fmt;

/// The value of a JSON number: its significant digits, times ten to the exponent. Each value has one form: the
/// digits neither begin nor end with a zero, and zero is `0` without a sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Number {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Number {
    /// Reads the text of a JSON number. None if the exponent is beyond 64 bits: nobody computes with those.
    pub(crate) fn read(json: &str) -> Option<Self> {
        let (negative, unsigned) = json.strip_prefix('-').map_or((false, json), |unsigned| (true, unsigned));
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        let significant = all.trim_start_matches('0');
        let digits = significant.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self { negative: false, digits: "0".to_owned(), exponent: 0 });
        }
        let count = |digits: &str| i64::try_from(digits.len()).ok();
        let zeros = count(significant)? - count(digits)?;
        let exponent: i64 = exponent.parse().ok()?;
        let exponent = exponent.checked_sub(count(fraction)?)?.checked_add(zeros)?;
        Some(Self { negative, digits: digits.to_owned(), exponent })
    }

    /// The value, if it is a whole number of 64 bits: `12`, `12.0` and `1.2e1` are the same.
    pub(crate) fn whole(&self) -> Option<i64> {
        const MOST_ZEROS: i64 = 18;
        let zeros = usize::try_from(self.exponent).ok().filter(|_| self.exponent <= MOST_ZEROS)?;
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{}{:0<zeros$}", self.digits, "").parse().ok()
    }
}

impl fmt::Display for Number {
    /// The digits, then `e` and the exponent unless it is 0: `105e-1` for 10.50, `1e2` for 100.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { negative, digits, exponent } = self;
        let sign = if *negative { "-" } else { "" };
        match exponent {
            0 => write!(f, "{sign}{digits}"),
            exponent => write!(f, "{sign}{digits}e{exponent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_one_form() {
        let rows: &[(&str, &[&str])] = &[
            ("0", &["0", "-0", "0.0", "-0.00e7", "0e-99999999999999999999"]),
            ("1", &["1", "1.0", "10e-1", "0.1e1", "1E+0", "1.000"]),
            ("-105e-1", &["-10.5", "-10.50", "-105e-1", "-0.0105e3"]),
            ("1e2", &["100", "1e2", "1.0E+2", "100.0"]),
            ("1e400", &["1e400", "10e399"]),
            ("12345678901234567890123", &["12345678901234567890123", "12345678901234567890123.0"]),
        ];
        for (expected, texts) in rows {
            for text in *texts {
                assert_eq!(Number::read(text).unwrap().to_string(), *expected, "{text}");
            }
        }
        assert_eq!(Number::read("1e99999999999999999999"), None);
        assert_eq!(Number::read("0.1e-9223372036854775808"), None);
    }

    #[test]
    fn whole_numbers_are_exact() {
        let whole = |text| Number::read(text).unwrap().whole();
        for (text, expected) in [
            ("12.0", 12),
            ("-1.20e1", -12),
            ("9223372036854775807.000", i64::MAX),
            ("-922337203685477580.8e1", i64::MIN),
            ("1e18", 1_000_000_000_000_000_000),
        ] {
            assert_eq!(whole(text), Some(expected), "{text}");
        }
        for text in ["1.5", "9223372036854775808", "9223372036854775807.5", "1e19", "1e-1", "1e400"] {
            assert_eq!(whole(text), None, "{text}");
        }
    }
}
