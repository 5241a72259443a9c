//! Encodes amounts for `numeric` columns, in the format of `numeric_recv` (PostgreSQL's
//! src/backend/utils/adt/numeric.c): the number of base-10,000 digits, the weight of the first one, the sign,
//! the number of decimal places to show, the digits. PostgreSQL drops zeros at either end.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use florin_ledger::Scale;
use tokio_postgres::types::{IsNull, ToSql, Type, accepts, to_sql_checked};

const BASE: u128 = 10_000;
/// Decimal places in one digit.
const PLACES: u32 = 4;
const POSITIVE: u16 = 0;
const NEGATIVE: u16 = 0x4000;

/// Minor units of a ticker with this scale. Trailing zeros are not shown, as in replies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numeric {
    pub(crate) units: i128,
    pub(crate) scale: Scale,
}

impl ToSql for Numeric {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let mut places = u32::from(self.scale.places());
        let point = 10_u128.pow(places);
        let (integer, mut fraction) = (self.units.unsigned_abs() / point, self.units.unsigned_abs() % point);
        while places > 0 && fraction.is_multiple_of(10) {
            fraction /= 10;
            places -= 1;
        }
        let before_point = integer.checked_ilog(BASE).map_or(0, |log| log + 1);
        let behind_point = places.div_ceil(PLACES);
        fraction *= 10_u128.pow(behind_point * PLACES - places);

        out.put_u16(u16::try_from(before_point + behind_point)?);
        out.put_i16(i16::try_from(before_point)? - 1);
        out.put_u16(if self.units < 0 { NEGATIVE } else { POSITIVE });
        out.put_u16(u16::try_from(places)?);
        for (number, digits) in [(integer, before_point), (fraction, behind_point)] {
            for place in (0..digits).rev() {
                out.put_u16(u16::try_from(number / BASE.pow(place) % BASE)?);
            }
        }
        Ok(IsNull::No)
    }

    accepts!(NUMERIC);
    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use florin_ledger::Decimal;
    use proptest::prelude::*;

    use super::*;

    fn encoded(units: i128, places: u8) -> Vec<u8> {
        let mut out = BytesMut::new();
        let scale = Scale::new(places).unwrap();
        Numeric { units, scale }.to_sql_checked(&Type::NUMERIC, &mut out).unwrap();
        out.to_vec()
    }

    /// Decodes the format with arithmetic on text.
    fn decoded(bytes: &[u8]) -> String {
        let words: Vec<u16> = bytes.chunks(2).map(|word| u16::from_be_bytes([word[0], word[1]])).collect();
        let [count, weight, sign, places] = words[..4] else { panic!("a header") };
        let digits = &words[4..];
        assert_eq!(digits.len(), usize::from(count));
        let before_point = usize::from(weight.wrapping_add(1));
        let text = |digits: &[u16]| digits.iter().map(|digit| format!("{digit:04}")).collect::<String>();
        let (integer, fraction) = (text(&digits[..before_point]), text(&digits[before_point..]));
        let integer = integer.trim_start_matches('0');
        let (shown, hidden) = fraction.split_at(usize::from(places));
        assert!(hidden.bytes().all(|digit| digit == b'0'), "{fraction}");
        let sign = if sign == NEGATIVE { "-" } else { "" };
        let point = if places > 0 { "." } else { "" };
        format!("{sign}{}{point}{shown}", if integer.is_empty() { "0" } else { integer })
    }

    /// As `SELECT numeric_send(...)` gives them.
    #[test]
    fn the_bytes_are_those_of_postgresql() {
        let cases: [(i128, u8, &[u16]); 6] = [
            (1050, 2, &[2, 0, 0, 1, 10, 5000]),
            (123_456_789, 4, &[3, 1, 0, 4, 1, 2345, 6789]),
            (100, 2, &[1, 0, 0, 0, 1]),
            (-1, 18, &[5, 0xffff, NEGATIVE, 18, 0, 0, 0, 0, 100]),
            (0, 2, &[0, 0xffff, 0, 0]),
            (99_999_999, 0, &[2, 1, 0, 0, 9999, 9999]),
        ];
        for (units, places, words) in cases {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            assert_eq!(encoded(units, places), bytes, "{units} {places}");
        }
    }

    proptest! {
        #[test]
        fn every_amount_is_the_text_of_its_decimal(
            units in -(10_i128.pow(36) - 1)..10_i128.pow(36), fewer in 0_u32..36, places in 0_u8..=18,
        ) {
            let units = units / 10_i128.pow(fewer);
            let text = Decimal::from_minor(units, Scale::new(places).unwrap()).to_string();
            prop_assert_eq!(decoded(&encoded(units, places)), text);
        }
    }
}
