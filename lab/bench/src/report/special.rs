//! The sections of the scenarios that are not made of cases.

use std::fmt::Write;

use super::tables::table;
use crate::results::{Allocations, Growth, Overload, Scenario, Soak};
use crate::stats::{millis, whole};

const MIB: f64 = 1024.0 * 1024.0;

/// All that there is, as Markdown.
pub(super) fn section(scenario: &Scenario, folder: &str) -> String {
    let mut text = String::new();
    if !scenario.growth.is_empty() {
        text.push_str(&growth(&scenario.growth));
    }
    if let Some(counted) = &scenario.allocations {
        text.push_str(&allocations(counted));
    }
    if let Some(file) = &scenario.flame_graph {
        let _ = write!(text, "![Flame graph]({folder}/{file})\n\n");
        text.push_str("Open the file itself to see names and shares.\n\n");
        let share = |(name, share): &(String, f64)| vec![format!("`{name}`"), format!("{share:.1} %")];
        text.push_str(&table(&["function", "self time"], scenario.hottest.iter().map(share)));
    }
    if let Some(measured) = &scenario.overload {
        text.push_str(&overload(measured));
    }
    if let Some(measured) = &scenario.soak {
        text.push_str(&soak(measured));
    }
    text
}

fn growth(points: &[Growth]) -> String {
    let header = [
        "transactions",
        "batches, writes/s",
        "p99 ms",
        "single, mix/s",
        "p99 ms",
        "single, balance/s",
        "p99 ms",
        "WAL bytes each",
        "database MiB",
        "service MiB",
    ];
    let p99 = |round: &crate::results::Round| round.latency("p99").map_or_else(|| "–".to_owned(), millis);
    let row = |point: &Growth| {
        vec![
            whole(point.transactions as f64),
            whole(point.writes.per_second),
            p99(&point.writes),
            whole(point.mix.per_second),
            p99(&point.mix),
            whole(point.reads.per_second),
            p99(&point.reads),
            whole(point.wal_bytes),
            whole(point.database_bytes as f64 / MIB),
            whole(point.service_kib as f64 / 1024.0),
        ]
    };
    let table = table(&header, points.iter().map(row));
    let bytes =
        points.last().map_or(0.0, |last| last.database_bytes as f64 / last.transactions.max(1) as f64);
    format!(
        "Each step is written by batches of 1,000; then one request per message, 1,000 in flight. At the \
         end the database has {} bytes for each transaction.\n\n{table}",
        whole(bytes)
    )
}

fn allocations(counted: &Allocations) -> String {
    format!(
        "{:.1} calls of the allocator for each request of the mix ({} requests, 1,000 in flight; {} calls, of which {} \
         without any request).\n",
        counted.per_request(),
        whole(counted.requests as f64),
        whole(counted.at_work as f64),
        whole(counted.at_rest as f64)
    )
}

fn overload(measured: &Overload) -> String {
    let seconds = |time: Option<f64>| time.map_or_else(|| "never".to_owned(), |time| format!("{time:.1} s"));
    let fact = |name: &str, value: String| vec![name.to_owned(), value];
    let (published, answered) = (measured.published as f64, measured.answered as f64);
    let times = measured.most_waiting as f64 / measured.prefetch.max(1) as f64;
    let memory = measured.memory.iter().map(|(_, kib)| *kib).max().unwrap_or_default();
    let rows = [
        fact("published for", format!("{:.0} s", measured.seconds)),
        fact("requests in each message", whole(measured.requests_per_message as f64)),
        fact("messages published and confirmed", whole(published)),
        fact("answered", whole(answered)),
        fact(
            "longest backlog",
            format!("{} ({times:.0} times the prefetch)", whole(measured.most_waiting as f64)),
        ),
        fact("until all were answered", seconds(measured.until_empty)),
        fact("until a call was as fast as before", seconds(measured.until_normal)),
        fact("p50 of a single call before, ms", millis(measured.p50_before_micros as f64)),
        fact("p50 after, ms", millis(measured.p50_after_micros as f64)),
        fact("most memory of the service, MiB", whole(memory as f64 / 1024.0)),
    ];
    table(&["", ""], rows)
}

fn soak(measured: &Soak) -> String {
    let memory = measured.first_and_last().map_or_else(String::new, |(first, last)| {
        format!(
            "Memory of the service: {:.1} MiB in the first minute, {:.1} MiB in the last ({:+.1} %).\n\n",
            first / 1024.0,
            last / 1024.0,
            100.0 * (last / first - 1.0)
        )
    });
    let row = |(minute, round): (usize, &crate::results::Round)| {
        let at = |name| round.latency(name).map_or_else(|| "–".to_owned(), millis);
        let kib = round.service_kib.map_or_else(|| "–".to_owned(), |kib| whole(kib as f64 / 1024.0));
        vec![(minute + 1).to_string(), whole(round.per_second), at("p50"), at("p99"), kib]
    };
    let header = ["minute", "requests/s", "p50 ms", "p99 ms", "service MiB at its end"];
    memory + &table(&header, measured.minutes.iter().enumerate().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overload_that_never_ended_says_so() {
        let text = overload(&Overload { prefetch: 2000, most_waiting: 30_000, ..Overload::default() });
        assert!(text.contains("| 30,000 (15 times the prefetch) |"), "{text}");
        assert!(text.contains("| until all were answered | never |"), "{text}");
    }

    #[test]
    fn memory_of_a_soak_is_compared() {
        let memory = (0..400).map(|second| (f64::from(second), 2048)).collect();
        let text = soak(&Soak { minutes: Vec::new(), memory });
        assert!(text.contains("2.0 MiB in the first minute, 2.0 MiB in the last (+0.0 %)"), "{text}");
    }
}
