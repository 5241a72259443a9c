//! How long one commit takes: one small row, one connection, over TCP as the service does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Error, connect, runtime};
use crate::process::Interrupt;
use crate::results::Round;

/// Commits one row after the other. `whole`: the statement and its commit are one round trip and are measured
/// together; else the commit alone is measured, and the statement comes before it.
pub(crate) fn measure(
    url: &str,
    whole: bool,
    duration: Duration,
    interrupt: &Interrupt,
) -> Result<Round, Error> {
    runtime()?.block_on(async {
        let client = connect(url).await?;
        client.batch_execute("CREATE TABLE IF NOT EXISTS bare_commits (number bigint NOT NULL)").await?;
        let insert = client.prepare("INSERT INTO bare_commits VALUES (1)").await?;
        let mut micros = Vec::new();
        let begin = Instant::now();
        while begin.elapsed() < duration {
            interrupt.check()?;
            if !whole {
                client.batch_execute("BEGIN").await?;
                client.execute(&insert, &[]).await?;
            }
            let started = Instant::now();
            if whole {
                client.execute(&insert, &[]).await?;
            } else {
                client.batch_execute("COMMIT").await?;
            }
            micros.push(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
        Ok(round(micros, begin.elapsed()))
    })
}

fn round(mut micros: Vec<u64>, elapsed: Duration) -> Round {
    micros.sort_unstable();
    let at = |permille: usize| micros.get((micros.len().saturating_sub(1)) * permille / 1000).copied();
    let percentiles = [("p50", 500), ("p90", 900), ("p99", 990), ("p99.9", 999), ("max", 1000)];
    let latency_micros: BTreeMap<String, u64> = percentiles
        .into_iter()
        .filter_map(|(name, permille)| Some((name.to_owned(), at(permille)?)))
        .collect();
    let (requests, seconds) = (micros.len() as u64, elapsed.as_secs_f64());
    Round { requests, seconds, per_second: requests as f64 / seconds, latency_micros, ..Round::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let round = round((1..=1001).rev().collect(), Duration::from_secs(2));
        assert_eq!(round.latency("p50"), Some(501.0));
        assert_eq!(round.latency("p99"), Some(991.0));
        assert_eq!(round.latency("max"), Some(1001.0));
        assert_eq!(round.requests, 1001);
    }

    #[test]
    fn nothing_measured_has_no_percentiles() {
        assert!(round_of_nothing().latency_micros.is_empty());
    }

    fn round_of_nothing() -> Round {
        round(Vec::new(), Duration::from_secs(1))
    }
}
