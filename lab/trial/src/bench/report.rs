//! The results, as tables for people and as JSON for programs.

use std::collections::BTreeMap;

use comfy_table::Table;
use florin_service::cli::output::table;
use serde::{Serialize, Serializer};

use super::generator::Measurement;

/// The measurements of the service and of its stand-in, at the same number of calls in flight.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    in_flight: u32,
    pub(super) florin: Vec<Measurement>,
    pub(super) echo: Vec<Measurement>,
}

impl Comparison {
    pub(super) const fn new(in_flight: u32) -> Self {
        Self { in_flight, florin: Vec::new(), echo: Vec::new() }
    }
}

/// Requests per second of several rounds.
#[derive(Debug)]
struct Rates {
    median: f64,
    min: f64,
    max: f64,
}

impl Rates {
    fn new(measurements: &[Measurement]) -> Self {
        let mut sorted: Vec<f64> = measurements.iter().map(Measurement::requests_per_second).collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.as_slice() {
            [] => 0.0,
            rates if rates.len() % 2 == 1 => rates[middle],
            rates => f64::midpoint(rates[middle - 1], rates[middle]),
        };
        let min = sorted.first().copied().unwrap_or_default();
        let max = sorted.last().copied().unwrap_or_default();
        Self { median, min, max }
    }
}

/// A measurement, as programs get it.
#[derive(Serialize)]
struct Summary {
    in_flight: u32,
    duration_seconds: f64,
    requests: u64,
    requests_per_second: f64,
    /// Also those before and after the time that is measured.
    answered_in_all: u64,
    latency_micros: BTreeMap<&'static str, u64>,
    /// Counts of messages by upper bound, in microseconds.
    latency_histogram: Vec<(u64, u64)>,
    /// By operation and code.
    answers: BTreeMap<&'static str, BTreeMap<u16, u64>>,
}

impl Serialize for Measurement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut answers: BTreeMap<_, BTreeMap<u16, u64>> = BTreeMap::new();
        for ((operation, code), count) in &self.answers {
            answers.entry(operation.as_str()).or_default().insert(*code, *count);
        }
        let summary = Summary {
            in_flight: self.in_flight,
            duration_seconds: self.duration.as_secs_f64(),
            requests: self.requests(),
            requests_per_second: self.requests_per_second(),
            answered_in_all: self.answered_in_all,
            latency_micros: percentiles(self).into_iter().collect(),
            latency_histogram: histogram(self),
            answers,
        };
        summary.serialize(serializer)
    }
}

/// In steps of a quarter: fine enough to draw, and to add up several measurements.
fn histogram(measurement: &Measurement) -> Vec<(u64, u64)> {
    const FIRST_MICROS: u64 = 50;
    const STEP: f64 = 1.25;
    let steps = measurement.latencies.iter_log(FIRST_MICROS, STEP);
    steps
        .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn percentiles(measurement: &Measurement) -> [(&'static str, u64); 5] {
    let at = |quantile| measurement.latencies.value_at_quantile(quantile);
    [
        ("p50", at(0.5)),
        ("p90", at(0.9)),
        ("p99", at(0.99)),
        ("p99.9", at(0.999)),
        ("max", measurement.latencies.max()),
    ]
}

/// One line per number of calls in flight, and all answers by code.
pub(super) fn measurements(measurements: &[Measurement]) -> String {
    let mut table = table(
        &["IN FLIGHT", "REQUESTS/S", "P50 ms", "P90 ms", "P99 ms", "P99.9 ms", "MAX ms"],
        &[0, 1, 2, 3, 4, 5, 6],
    );
    for measurement in measurements {
        let rate = format!("{:.0}", measurement.requests_per_second());
        let millis = percentiles(measurement).map(|(_, micros)| format!("{:.2}", micros as f64 / 1000.0));
        table.add_row([measurement.in_flight.to_string(), rate].into_iter().chain(millis));
    }
    format!("{table}\n\n{}\n", by_code(measurements))
}

fn by_code<'a>(measurements: impl IntoIterator<Item = &'a Measurement>) -> Table {
    let mut answers = BTreeMap::new();
    for (answer, count) in measurements.into_iter().flat_map(|measurement| &measurement.answers) {
        *answers.entry(answer).or_insert(0) += count;
    }
    let mut table = table(&["OPERATION", "CODE", "ANSWERS"], &[1, 2]);
    for ((operation, code), count) in answers {
        table.add_row([operation.to_string(), code.to_string(), count.to_string()]);
    }
    table
}

/// One line per number of calls in flight: the medians, in brackets the lowest and the highest round; and
/// the answers of the service, for a refusal is cheaper than a transaction.
pub(super) fn comparisons(comparisons: &[Comparison]) -> String {
    let mut table = table(&["IN FLIGHT", "FLORIN requests/s", "ECHO requests/s", "RATIO"], &[0, 1, 2, 3]);
    let shown = |rates: &Rates| format!("{:.0} ({:.0} to {:.0})", rates.median, rates.min, rates.max);
    for comparison in comparisons {
        let (florin, echo) = (Rates::new(&comparison.florin), Rates::new(&comparison.echo));
        let ratio = format!("{:.2}", florin.median / echo.median);
        table.add_row([comparison.in_flight.to_string(), shown(&florin), shown(&echo), ratio]);
    }
    let answers = by_code(comparisons.iter().flat_map(|comparison| &comparison.florin));
    format!("{table}\n\n{answers}\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use florin_ledger::Operation;
    use hdrhistogram::Histogram;

    use super::*;

    fn measurement(requests: u64) -> Measurement {
        let mut latencies = Histogram::new_with_bounds(1, 1_000_000, 3).unwrap();
        latencies.record_n(1500, requests).unwrap();
        let answers = BTreeMap::from([((Operation::Invoice, 200), requests)]);
        let duration = Duration::from_secs(2);
        Measurement { in_flight: 10, duration, latencies, answers, answered_in_all: requests + 1 }
    }

    #[test]
    fn measurements_are_shown_and_written() {
        let text = measurements(&[measurement(2000)]);
        let words: Vec<&str> = text.split_whitespace().collect();
        assert!(words.windows(3).any(|row| row == ["10", "1000", "1.50"]), "{text}");
        assert!(words.windows(3).any(|row| row == ["invoice", "200", "2000"]), "{text}");
        let json: serde_json::Value = serde_json::to_value([measurement(2000)]).unwrap();
        assert_eq!(json[0]["requests_per_second"], 1000.0);
        assert_eq!(json[0]["answers"]["invoice"]["200"], 2000);
        assert_eq!(json[0]["answered_in_all"], 2001);
        let histogram = json[0]["latency_histogram"].as_array().unwrap();
        assert_eq!(histogram.len(), 1);
        assert!((1500..=1875).contains(&histogram[0][0].as_u64().unwrap()), "{histogram:?}");
        assert_eq!(histogram[0][1], 2000);
    }

    #[test]
    fn comparisons_use_medians() {
        let mut comparison = Comparison::new(10);
        comparison.florin = vec![measurement(900), measurement(2), measurement(1000)];
        comparison.echo = vec![measurement(2000), measurement(1600)];
        let text = comparisons(&[comparison]);
        assert!(text.contains("450 (1 to 500)") && text.contains("900 (800 to 1000)"), "{text}");
        assert!(text.contains("0.50"), "{text}");
    }
}
