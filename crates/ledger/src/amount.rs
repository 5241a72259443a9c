//! Exact decimals: parsed from the digits of a text, turned into minor units of a ticker, printed back.
//!
//! A [`Decimal`] is what a person or a JSON text wrote (`10.50`, `1e2`); it belongs to no ticker yet. A
//! ticker's [`Scale`] turns it into minor units (`i128`), the only form the rules calculate with. A huge
//! exponent is kept as an exponent, never expanded, so that `1e999999999` costs nothing to refuse.

use std::fmt;
use std::str::FromStr;

use crate::ErrorCode;

/// Amounts and balances are less than this many minor units (10^36).
pub const LIMIT: i128 = 10_i128.pow(MAX_DIGITS);

/// Significant digits a value below [`LIMIT`] can have.
const MAX_DIGITS: u32 = 36;

/// How many decimal places a ticker has: 0 to 18.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scale(u8);

/// A scale outside 0 to 18.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a ticker has 0 to 18 decimal places, not {0}")]
pub struct ScaleError(pub i64);

impl Scale {
    /// The most decimal places a ticker can have.
    pub const MAX: u8 = 18;

    /// A scale of this many places, or none if there are more than [`Scale::MAX`].
    #[must_use]
    pub const fn new(places: u8) -> Option<Self> {
        if places <= Self::MAX { Some(Self(places)) } else { None }
    }

    /// Decimal places, 0 to 18.
    #[must_use]
    pub const fn places(self) -> u8 {
        self.0
    }
}

impl TryFrom<i64> for Scale {
    type Error = ScaleError;

    fn try_from(places: i64) -> Result<Self, ScaleError> {
        u8::try_from(places).ok().and_then(Self::new).ok_or(ScaleError(places))
    }
}

/// An exact decimal number: `digits * 10^exponent`, without trailing zeros in `digits`.
///
/// Different texts of the same value are equal: `10.50`, `10.5` and `1.05e1`. Of a text with more significant
/// digits than an amount can have, only that fact is kept, and [`Decimal::to_minor`] refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    digits: u128,
    exponent: i64,
    too_long: bool,
}

/// The text is not a number in JSON's grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal number")]
pub struct ParseDecimalError;

impl Decimal {
    const ZERO: Self = Self { negative: false, digits: 0, exponent: 0, too_long: false };

    /// Whether the value is above zero.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        !self.negative && (self.digits > 0 || self.too_long)
    }

    /// The value in minor units of a ticker with this scale.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::AmountTooPrecise`] if the value has more decimal places than the ticker,
    /// [`ErrorCode::AmountOutOfRange`] if it is [`LIMIT`] or more.
    pub fn to_minor(self, scale: Scale) -> Result<i128, ErrorCode> {
        let scale = i64::from(scale.0);
        if self.exponent < -scale {
            return Err(ErrorCode::AmountTooPrecise);
        }
        // Not negative because of the check above.
        let power = u32::try_from(self.exponent.saturating_add(scale)).unwrap_or(u32::MAX);
        let minor = (power <= MAX_DIGITS && !self.too_long)
            .then(|| self.digits.checked_mul(10_u128.pow(power)))
            .flatten()
            .and_then(|minor| i128::try_from(minor).ok())
            .filter(|minor| *minor < LIMIT)
            .ok_or(ErrorCode::AmountOutOfRange)?;
        Ok(if self.negative { -minor } else { minor })
    }

    /// The value of this many minor units of a ticker with this scale.
    #[must_use]
    pub fn from_minor(minor: i128, scale: Scale) -> Self {
        Self::normalized(minor < 0, minor.unsigned_abs(), -i64::from(scale.0), false)
    }

    fn normalized(negative: bool, mut digits: u128, mut exponent: i64, too_long: bool) -> Self {
        if digits == 0 && !too_long {
            return Self::ZERO;
        }
        while digits != 0 && digits.is_multiple_of(10) {
            digits /= 10;
            exponent = exponent.saturating_add(1);
        }
        Self { negative, digits, exponent, too_long }
    }
}

/// Reads the grammar of a JSON number: `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`.
impl FromStr for Decimal {
    type Err = ParseDecimalError;

    fn from_str(text: &str) -> Result<Self, ParseDecimalError> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (rest, 0),
        };
        let (integer, fraction) = match mantissa.split_once('.') {
            Some((integer, fraction)) => (integer, digits_only(fraction)?),
            None => (mantissa, ""),
        };
        let integer = digits_only(integer)?;
        if integer.len() > 1 && integer.starts_with('0') {
            return Err(ParseDecimalError);
        }
        Ok(collect_digits(negative, integer, fraction, exponent))
    }
}

fn digits_only(text: &str) -> Result<&str, ParseDecimalError> {
    let valid = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    valid.then_some(text).ok_or(ParseDecimalError)
}

/// Saturates: every exponent beyond an `i64` is refused alike.
fn parse_exponent(text: &str) -> Result<i64, ParseDecimalError> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = digits_only(digits)?
        .bytes()
        .fold(0_i64, |sum, byte| sum.saturating_mul(10).saturating_add(i64::from(byte - b'0')));
    Ok(if negative { -magnitude } else { magnitude })
}

/// Collects the significant digits; leading and trailing zeros only move the exponent.
fn collect_digits(negative: bool, integer: &str, fraction: &str, exponent: i64) -> Decimal {
    let places = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    let all = || integer.bytes().chain(fraction.bytes());
    let trailing_zeros = all().rev().take_while(|byte| *byte == b'0').count();
    let significant = integer.len() + fraction.len() - trailing_zeros;
    let leading_zeros = all().take(significant).take_while(|byte| *byte == b'0').count();
    let exponent =
        exponent.saturating_sub(places).saturating_add(i64::try_from(trailing_zeros).unwrap_or(i64::MAX));
    if significant - leading_zeros > MAX_DIGITS as usize {
        return Decimal { negative, digits: 0, exponent, too_long: true };
    }
    let digits = all().take(significant).fold(0_u128, |sum, byte| sum * 10 + u128::from(byte - b'0'));
    Decimal::normalized(negative, digits, exponent, false)
}

/// Prints plain digits: no exponent, no trailing zeros, so that every reader gets the exact value.
///
/// Replies only print values that came from [`Decimal::from_minor`]. A value as a client wrote it is printed
/// with its exponent if it has one, because it may be of any length.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        if self.too_long {
            return write!(f, "{sign}(more than {MAX_DIGITS} digits)");
        }
        let Self { digits, exponent, .. } = *self;
        match usize::try_from(exponent) {
            Ok(zeros) if zeros <= MAX_DIGITS as usize => write!(f, "{sign}{digits}{:0<zeros$}", ""),
            Err(_) if exponent >= -i64::from(Scale::MAX) => {
                let places = u8::try_from(-exponent).expect("checked to be 1 to 18");
                let point = 10_u128.pow(places.into());
                let (integer, fraction) = (digits / point, digits % point);
                write!(f, "{sign}{integer}.{fraction:0>width$}", width = places.into())
            }
            _ => write!(f, "{sign}{digits}e{exponent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scale(places: i64) -> Scale {
        Scale::try_from(places).unwrap()
    }

    #[test]
    fn texts_become_minor_units() {
        use ErrorCode::{AmountOutOfRange, AmountTooPrecise};
        let below_limit = "9".repeat(36);
        let cases: &[(&str, i64, Result<i128, ErrorCode>)] = &[
            ("10.5", 2, Ok(1050)),
            ("10.50", 2, Ok(1050)),
            ("10.500", 2, Ok(1050)),
            ("1.0e0", 2, Ok(100)),
            ("1e2", 0, Ok(100)),
            ("1E+2", 2, Ok(10_000)),
            ("100e-2", 0, Ok(1)),
            ("16777217", 2, Ok(1_677_721_700)),
            ("-3.2", 1, Ok(-32)),
            ("0", 0, Ok(0)),
            ("-0.00", 0, Ok(0)),
            ("0e999999999999999999999999", 2, Ok(0)),
            ("0.01", 2, Ok(1)),
            ("0.001", 2, Err(AmountTooPrecise)),
            ("1e-19", 18, Err(AmountTooPrecise)),
            ("1e-18", 18, Ok(1)),
            ("1e-999999999999999999999999", 18, Err(AmountTooPrecise)),
            ("1e999999999999999999999999", 2, Err(AmountOutOfRange)),
            ("1e36", 0, Err(AmountOutOfRange)),
            ("1e35", 0, Ok(LIMIT / 10)),
            ("1e35", 1, Err(AmountOutOfRange)),
            (&below_limit, 0, Ok(LIMIT - 1)),
            (&below_limit, 1, Err(AmountOutOfRange)),
            ("1234567890123456789012345678901234567", 0, Err(AmountOutOfRange)),
        ];
        for (text, places, expected) in cases {
            let decimal: Decimal = text.parse().unwrap();
            assert_eq!(decimal.to_minor(scale(*places)), *expected, "{text} at scale {places}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let texts = [
            "", "-", "+1", ".5", "5.", "01", "-01", "1e", "1e+", "e1", "1.2.3", "1,5", " 1", "1 ", "NaN",
            "Infinity", "0x10", "1_000", "١", "--1", "1e1.5", "1e-+2",
        ];
        for text in texts {
            assert_eq!(text.parse::<Decimal>(), Err(ParseDecimalError), "{text:?}");
        }
    }

    #[test]
    fn any_text_of_one_value_is_equal() {
        let values: Vec<Decimal> =
            ["1050", "1050.00", "1.05e3", "105000e-2"].iter().map(|text| text.parse().unwrap()).collect();
        assert!(values.windows(2).all(|pair| pair[0] == pair[1]), "{values:?}");
    }

    #[test]
    fn scales_end_at_18() {
        assert_eq!(Scale::try_from(18).map(Scale::places), Ok(18));
        assert_eq!(Scale::try_from(19), Err(ScaleError(19)));
        assert_eq!(Scale::try_from(-1), Err(ScaleError(-1)));
    }

    proptest! {
        /// Printed and parsed again, the same amount comes back, and the text is canonical.
        #[test]
        fn minor_units_survive_text(minor in -(LIMIT - 1)..LIMIT, places in 0_i64..=18) {
            let text = Decimal::from_minor(minor, scale(places)).to_string();
            let again: Decimal = text.parse().unwrap();
            prop_assert_eq!(again.to_minor(scale(places)), Ok(minor));
            prop_assert!(!text.contains(['e', 'E']), "{}", text);
            prop_assert!(!text.contains('.') || !text.ends_with(['0', '.']), "{}", text);
        }

        /// Whatever digits somebody writes, the value read is the value written, or it is refused.
        #[test]
        fn values_are_exact(integer in 0_u64.., fraction in "[0-9]{0,25}", places in 0_i64..=18) {
            let text = if fraction.is_empty() { integer.to_string() } else { format!("{integer}.{fraction}") };
            let decimal: Decimal = text.parse().unwrap();
            let significant = fraction.trim_end_matches('0');
            let result = decimal.to_minor(scale(places));
            let places = usize::try_from(places).unwrap();
            if significant.len() > places {
                prop_assert_eq!(result, Err(ErrorCode::AmountTooPrecise));
            } else {
                // The naive model: write the minor units out as a text.
                let naive = format!("{integer}{significant:0<places$}");
                match naive.parse::<i128>().ok().filter(|minor| *minor < LIMIT) {
                    Some(minor) => prop_assert_eq!(result, Ok(minor)),
                    None => prop_assert_eq!(result, Err(ErrorCode::AmountOutOfRange)),
                }
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}", exponent in "[-+]?[0-9]{0,40}") {
            for text in [text.clone(), format!("{text}e{exponent}"), format!("1e{exponent}")] {
                if let Ok(decimal) = text.parse::<Decimal>() {
                    let _ = decimal.to_minor(scale(18));
                    prop_assert!(decimal.to_string().len() < 100);
                }
            }
        }
    }
}
