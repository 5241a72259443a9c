//! One load: `florin bench` as a process of its own, and what it printed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::plan::Load;
use crate::process;
use crate::results::{Cpu, Round, Subject, Way};
use crate::world::{Ground, World};

/// How much longer than the load the process may take: answers that are late, the echo that starts.
const SLACK: Duration = Duration::from_secs(120);
/// How long a given number of requests may take.
const COUNT_LIMIT: Duration = Duration::from_secs(3600);

/// Why a load has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Process(#[from] process::Error),
    #[error("the result of florin bench cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("florin bench measured nothing")]
    Nothing,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Lasts {
    For { warm_up: Duration, duration: Duration },
    Requests(u64),
}

/// A measurement, as `florin bench --json` prints it.
#[derive(Debug, Deserialize)]
struct Measurement {
    duration_seconds: f64,
    requests: u64,
    requests_per_second: f64,
    answered_in_all: u64,
    latency_micros: BTreeMap<String, u64>,
    latency_histogram: Vec<(u64, u64)>,
    answers: BTreeMap<String, BTreeMap<String, u64>>,
}

/// Runs the load on a world. Each `seed` has its own sequence of wallets.
pub(crate) fn run(
    ground: &Ground,
    world: &World,
    load: &Load,
    lasts: Lasts,
    seed: u64,
) -> Result<Round, Error> {
    let arguments = arguments(world, load, lasts, seed);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = ground.command(&arguments, &world.amqp_url, &world.database_url);
    // In the environment: the command line is visible to other users.
    command.env("FLORIN_API_KEY", &world.api_key);
    let limit = match lasts {
        Lasts::For { warm_up, duration } => warm_up + duration + SLACK,
        Lasts::Requests(_) => COUNT_LIMIT,
    };
    let watched = ground.watched(world);
    let before = watched.cpu();
    let printed = ground.children.run(&command, limit)?;
    let cpu = watched.cpu() - before;
    let mut round = parse(&printed)?;
    round.cpu = round.cpu.map(|Cpu { requests, .. }| Cpu { requests, ..cpu });
    round.service_kib = (load.subject == Subject::Florin).then(|| watched.service_kib());
    Ok(round)
}

fn arguments(world: &World, load: &Load, lasts: Lasts, seed: u64) -> Vec<String> {
    // The ledger is this run's own: nobody needs to look whether it is in use, however many transactions it
    // has by now.
    let mut arguments = ["bench", "--json", "--yes"].map(str::to_owned).to_vec();
    let mut flag = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    flag("--setup", "skip".to_owned());
    flag("--mix", load.mix.to_owned());
    flag("--wallets", load.wallets.to_string());
    flag("--distribution", if load.zipf { "zipf" } else { "uniform" }.to_owned());
    flag("--in-flight", load.in_flight.to_string());
    flag("--seed", seed.to_string());
    match lasts {
        Lasts::For { warm_up, duration } => {
            flag("--warm-up", format!("{}ms", warm_up.as_millis()));
            flag("--duration", format!("{}ms", duration.as_millis()));
        }
        Lasts::Requests(requests) => {
            flag("--warm-up", "0s".to_owned());
            flag("--requests", requests.to_string());
        }
    }
    match load.way {
        Way::Coalescing => arguments.push("--coalesce".to_owned()),
        Way::Http => arguments.extend(["--http".to_owned(), world.http_url.clone()]),
        Way::Messages | Way::Sql => {}
    }
    if load.way != Way::Coalescing {
        arguments.extend(["--batch".to_owned(), load.batch.to_string()]);
    }
    if load.subject == Subject::Echo {
        arguments.push("--echo".to_owned());
    }
    arguments
}

fn parse(printed: &str) -> Result<Round, Error> {
    let measurements: Vec<Measurement> = serde_json::from_str(printed)?;
    let measured = measurements.into_iter().next().filter(|measured| measured.requests > 0);
    let measured = measured.ok_or(Error::Nothing)?;
    Ok(Round {
        requests: measured.requests,
        seconds: measured.duration_seconds,
        per_second: measured.requests_per_second,
        latency_micros: measured.latency_micros,
        latency_histogram: measured.latency_histogram,
        answers: measured.answers,
        cpu: Some(Cpu { requests: measured.answered_in_all, ..Cpu::default() }),
        service_kib: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = r#"[{"in_flight":10,"duration_seconds":2.0,"requests":100,"requests_per_second":50.0,
        "answered_in_all":120,"latency_micros":{"p50":7,"p99":9},"latency_histogram":[[50,100]],
        "answers":{"invoice":{"200":99,"400":1}}}]"#;

    #[test]
    fn what_florin_bench_prints_is_read() {
        let round = parse(PRINTED).unwrap();
        assert_eq!((round.requests, round.cpu.unwrap().requests), (100, 120));
        assert_eq!(round.latency("p99"), Some(9.0));
        assert_eq!(round.answers["invoice"]["400"], 1);
        assert!(matches!(parse("[]"), Err(Error::Nothing)));
        assert!(matches!(parse("oops"), Err(Error::Unreadable(_))));
    }
}
