//! Amounts, times and durations for people.

use std::time::{Duration, SystemTime};

use florin_ledger::{Decimal, Scale};
use florin_wire::JsonTime;
use maud::{Markup, html};

/// All digits, grouped by thousands, with as many decimal places as the ticker has: columns line up.
pub(super) fn amount(decimal: Decimal, scale: Scale) -> String {
    padded(&decimal.to_string(), scale)
}

/// As [`amount`], of exact decimal text.
pub(super) fn padded(digits: &str, scale: Scale) -> String {
    let places = usize::from(scale.places());
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    // More decimal places than the ticker has are never hidden, whatever brought them here.
    let whole = grouped(whole);
    match fraction.trim_end_matches('0') {
        "" if places == 0 => whole,
        fraction => format!("{whole}.{fraction:0<places$}"),
    }
}

/// 1234567 as 1,234,567.
fn grouped(whole: &str) -> String {
    let mut grouped = String::with_capacity(whole.len() * 4 / 3);
    for (index, digit) in whole.char_indices() {
        let before = whole[..index].bytes().filter(u8::is_ascii_digit).count();
        if before > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// An amount with the direction of the money: `+` credits the wallet, `−` debits it. A transaction in status
/// Error moved nothing.
pub(super) fn signed(decimal: Decimal, scale: Scale, status: &str, is_debit: bool) -> String {
    let sign = match (status, is_debit) {
        ("Error", _) => "",
        (_, true) => "−",
        (_, false) => "+",
    };
    format!("{sign}{}", amount(decimal, scale))
}

/// A time in UTC, to the second; in full as a tooltip.
pub(super) fn time(time: SystemTime) -> Markup {
    let exact = JsonTime(time).to_string();
    let day = exact.get(..10).unwrap_or(&exact);
    let clock = exact.get(11..19).unwrap_or_default();
    html! { time datetime=(exact) title=(exact) { (day) " " (clock) } }
}

/// In its two largest units.
pub(super) fn duration(duration: Duration) -> String {
    let total_secs = duration.as_secs();
    let (days, hours) = (total_secs / 86_400, total_secs / 3600 % 24);
    let (minutes, secs) = (total_secs / 60 % 60, total_secs % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{secs} s"),
        (0, 0, _) => format!("{minutes} min {secs} s"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// How long ago that was; zero for a time to come.
pub(super) fn age(since: SystemTime) -> String {
    duration(since.elapsed().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_all_digits_and_line_up() {
        let shown = |text: &str, places| amount(text.parse().unwrap(), Scale::new(places).unwrap());
        assert_eq!(shown("10.5", 2), "10.50");
        assert_eq!(shown("7", 0), "7");
        assert_eq!(shown("99999999999999999999.000001", 6), "99,999,999,999,999,999,999.000001");
        assert_eq!(shown("0.125", 2), "0.125");
        let grouped =
            [("999", "999"), ("1000", "1,000"), ("-123456", "-123,456"), ("-1234567", "-1,234,567")];
        for (digits, expected) in grouped {
            assert_eq!(padded(digits, Scale::new(0).unwrap()), expected);
        }
        assert_eq!(padded("0", Scale::new(2).unwrap()), "0.00");
    }

    #[test]
    fn a_sign_tells_the_direction_of_what_moved() {
        let shown = |status, is_debit| signed("4".parse().unwrap(), Scale::new(2).unwrap(), status, is_debit);
        assert_eq!(shown("Success", true), "−4.00");
        assert_eq!(shown("Created", false), "+4.00");
        assert_eq!(shown("Error", true), "4.00");
    }

    #[test]
    fn durations_have_two_units() {
        let shown = |secs| duration(Duration::from_secs(secs));
        assert_eq!(
            [shown(0), shown(61), shown(3720), shown(90_000)],
            ["0 s", "1 min 1 s", "1 h 2 min", "1 d 1 h"]
        );
    }
}
