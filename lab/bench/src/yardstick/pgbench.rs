//! pgbench, as it comes with PostgreSQL.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use devstack::Postgres;

use super::Error;
use crate::process::Children;
use crate::results::Round;

const SETUP_LIMIT: Duration = Duration::from_secs(600);
const SLACK: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct PgBench {
    program: PathBuf,
    url: String,
    children: Children,
}

impl PgBench {
    /// Fills its tables: 100,000 accounts for each unit of `scale`.
    pub(crate) fn prepare(
        postgres: &Postgres,
        url: &str,
        children: &Children,
        scale: u32,
    ) -> Result<Self, Error> {
        let program = postgres.program("pgbench");
        let pgbench = Self { program, url: url.to_owned(), children: children.clone() };
        let scale = scale.to_string();
        pgbench.run(&["--initialize", "--quiet", "--scale", &scale], SETUP_LIMIT)?;
        Ok(pgbench)
    }

    /// The TPC-B-like script, or the simple one (`-N`).
    pub(crate) fn measure(&self, simple: bool, connections: u32, duration: Duration) -> Result<Round, Error> {
        let (clients, seconds) = (connections.to_string(), duration.as_secs().max(1).to_string());
        let threads = connections.min(2).to_string();
        let mut arguments = vec!["--no-vacuum", "--client", &clients, "--jobs", &threads, "--time", &seconds];
        if simple {
            arguments.push("--skip-some-updates");
        }
        parse(&self.run(&arguments, duration + SLACK)?)
    }

    fn run(&self, arguments: &[&str], limit: Duration) -> Result<String, Error> {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg(&self.url);
        Ok(self.children.run(&command, limit)?)
    }
}

fn parse(printed: &str) -> Result<Round, Error> {
    let number = |begin: &str| {
        let line = printed.lines().find_map(|line| line.strip_prefix(begin));
        let word = line.and_then(|rest| rest.split_whitespace().next());
        let word = word.and_then(|word| word.split('/').next());
        word.and_then(|word| word.parse::<f64>().ok())
            .ok_or_else(|| Error::Unreadable(format!("pgbench did not print {begin:?}: {printed}")))
    };
    let per_second = number("tps =")?;
    let millis = number("latency average =")?;
    let requests = number("number of transactions actually processed:")?;
    Ok(Round {
        requests: rounded(requests),
        seconds: requests / per_second,
        per_second,
        latency_micros: BTreeMap::from([("mean".to_owned(), rounded(millis * 1000.0))]),
        ..Round::default()
    })
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts and times of a short run")]
fn rounded(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pgbench_prints_is_read() {
        let printed = "transaction type: <builtin: TPC-B (sort of)>\n\
                       number of transactions actually processed: 5000\n\
                       latency average = 2.345 ms\n\
                       initial connection time = 9.9 ms\n\
                       tps = 1000.5 (without initial connection time)\n";
        let round = parse(printed).unwrap();
        assert_eq!((round.requests, round.latency("mean")), (5000, Some(2345.0)));
        assert!((round.per_second - 1000.5).abs() < 1e-9);
        // Older versions print how many were meant to be.
        let older = printed.replace("5000", "5000/6000");
        assert_eq!(parse(&older).unwrap().requests, 5000);
        assert!(parse("nothing").is_err());
    }
}
