//! Medians of rounds, and how numbers are written.

use crate::results::{Case, Round};

/// The middle of several rounds, and the extremes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// None when there is nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { median, min, max })
    }

    /// `median [min–max]`, or the one value that there is.
    pub(crate) fn show(self, number: impl Fn(f64) -> String) -> String {
        let Self { median, min, max } = self;
        if min >= max {
            return number(median);
        }
        format!("{} [{}–{}]", number(median), number(min), number(max))
    }
}

impl Case {
    pub(crate) fn rate(&self) -> Option<Spread> {
        Spread::of(self.rounds.iter().map(|round| round.per_second))
    }

    /// A percentile of the latencies, in microseconds.
    pub(crate) fn latency(&self, percentile: &str) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(|round| round.latency(percentile)))
    }
}

impl Round {
    /// In microseconds.
    pub(crate) fn latency(&self, percentile: &str) -> Option<f64> {
        self.latency_micros.get(percentile).map(|micros| *micros as f64)
    }
}

/// `12,345`: whole, with commas.
pub(crate) fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |rest| ("-", rest));
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    format!("{sign}{shown}")
}

/// Microseconds as milliseconds.
pub(crate) fn millis(micros: f64) -> String {
    format!("{:.2}", micros / 1000.0)
}

/// Seconds as a person would say them: `40 s`, `12 min`, `1 h 20 min`.
pub(crate) fn time(seconds: f64) -> String {
    if seconds < 90.0 {
        return format!("{seconds:.0} s");
    }
    let minutes = (seconds / 60.0).round();
    if minutes < 90.0 {
        return format!("{minutes:.0} min");
    }
    format!("{:.0} h {:.0} min", (minutes / 60.0).floor(), minutes % 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([f64::NAN]), None);
        let one = Spread::of([3.0]).unwrap();
        assert_eq!(one, Spread { median: 3.0, min: 3.0, max: 3.0 });
        assert_eq!(one.show(whole), "3");
        let odd = Spread::of([3000.0, 1000.0, 2000.0]).unwrap();
        assert_eq!(odd.show(whole), "2,000 [1,000–3,000]");
        assert!((Spread::of([1.0, 4.0, 2.0, 3.0]).unwrap().median - 2.5).abs() < 1e-9);
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(whole(0.4), "0");
        assert_eq!(whole(999.0), "999");
        assert_eq!(whole(1_234_567.0), "1,234,567");
        assert_eq!(whole(-1234.0), "-1,234");
        assert_eq!(millis(1234.0), "1.23");
        assert_eq!(time(40.2), "40 s");
        assert_eq!(time(740.0), "12 min");
        assert_eq!(time(7_320.0), "2 h 2 min");
    }
}
