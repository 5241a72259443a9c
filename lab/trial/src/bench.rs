//! `florin bench`: throughput and latency, as a client sees them.
//!
//! `generator` keeps so many calls in flight and measures; `echo` is the same path without a database, to
//! compare with; `report` shows the results.

pub mod echo;
mod generator;
mod http;
mod mix;
mod report;
mod wallets;

use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use florin_client::{Client, ClientOptions, Route, names};
use florin_ledger::{Scale, WalletId};
use florin_service::config::Config;
use florin_store::{self as store, Store};
use jiff::SignedDuration;

use echo::Echo;
use florin_service::cli::{BrokerArgs, CommonArgs, DatabaseArgs};
use generator::{Load, Measurement, Until, Way};
use http::Http;
use mix::Mix;
use report::Comparison;
use wallets::{Distribution, Wallets};

/// The only ticker that is used.
const TICKER: (&str, u8) = ("USD", 2);
/// No load lasts longer.
const LONGEST: SignedDuration = SignedDuration::from_hours(1000);

/// The flags of `florin bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin bench                                       a mixed load, 100 calls in flight
  florin bench --mix invoice=1 --in-flight 1,100,1000
  florin bench --echo                                without a database: the ceiling of the broker
  florin bench --compare --in-flight 1,100,1000      both in turn, and the ratio
  florin bench --batch 1000 --in-flight 8            8 messages in flight, of 1000 requests each
  florin bench --coalesce --in-flight 1024           1024 callers, whose calls the client puts into batches
  florin bench --mix pending=1,settle=1              withdrawals that wait, and are settled
  florin bench --wallets 1000000 --distribution zipf
  florin bench --http http://127.0.0.1:9000 --api-key florin_...
  florin bench --json > result.json

IN FLIGHT and the latencies are of messages (or calls), REQUESTS/S is of requests.

It needs a running service, and the database to create the wallets that are missing.
The load is a closed loop: a call is made when one is answered, so latencies are those of so many
patient clients, not of requests that come whether or not the service keeps up.
All amounts are in USD. The requests are real: use it on a system of its own.")]
pub struct Args {
    /// How many calls wait for an answer at a time; several values are measured one after the other.
    #[arg(long, value_name = "CALLS", value_delimiter = ',', default_value = "100",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    in_flight: Vec<u32>,
    /// The shares of the operations: invoice, withdraw, transfer, pending (a withdrawal that waits), settle (its end),
    /// balance, history.
    #[arg(long, value_name = "OPERATION=SHARE,...", default_value_t)]
    mix: Mix,
    /// The requests are spread over wallets 1 to so many.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(i64).range(1..))]
    wallets: WalletId,
    /// How they are spread.
    #[arg(long, value_enum, default_value_t = Distribution::Uniform)]
    distribution: Distribution,
    /// Whether the wallets are created and given something to withdraw.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Setup::First)]
    setup: Setup,
    /// Requests per message: with more than one, batches are sent.
    #[arg(long, value_name = "REQUESTS", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    batch: u32,
    /// Lets the client put calls that are made at the same time into batches by itself.
    #[arg(long, conflicts_with = "batch")]
    coalesce: bool,
    /// How long to measure: `500ms`, `10s`, `2m`.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Measures until so many requests are answered, however long that takes.
    #[arg(long, value_name = "NUMBER", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// How long the load runs before the measurement starts.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    warm_up: Duration,
    /// Where the requests are published.
    #[arg(long, value_enum, default_value_t = RouteKind::Exchange)]
    route: RouteKind,
    /// Sends the requests over HTTP, to this address, such as http://127.0.0.1:9000. The key may send no more than
    /// `http.key_requests_per_second`.
    #[arg(long, value_name = "URL", requires = "api_key", conflicts_with_all = ["coalesce", "route"])]
    http: Option<String>,
    /// The API key for `--http`, of a client.
    #[arg(long, value_name = "KEY", env = "FLORIN_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// The same number gives the same sequence of wallets and operations.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Measures a stand-in for the service that answers at once, without a database.
    #[arg(long, conflicts_with_all = ["compare", "http"])]
    echo: bool,
    /// Measures the service and the stand-in in turn.
    #[arg(long)]
    compare: bool,
    /// How often each is measured with `--compare`.
    #[arg(long, value_name = "ROUNDS", default_value_t = 3, requires = "compare",
          value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Prints the result as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RouteKind {
    /// To a topic exchange, as most clients do.
    Exchange,
    /// Straight to the queue.
    Queue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Setup {
    /// Before it is measured.
    First,
    /// That and nothing else.
    Only,
    /// It was done before, for as many wallets at least.
    Skip,
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Florin,
    Echo,
}

/// What all measurements of one run have in common.
#[derive(Debug)]
struct Bench {
    config: Config,
    mix: Mix,
    wallets: Wallets,
    until: Until,
    warm_up: Duration,
    route: RouteKind,
    seed: u64,
    batch: u32,
    coalesce: bool,
    /// The address and the key.
    http: Option<(String, String)>,
}

/// Measures and reports.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let flags = args.broker.flags().into_iter().chain(args.database.flags());
    let http = args.http.zip(args.api_key);
    let Args { mix, warm_up, route, seed, batch, coalesce, .. } = args;
    let wallets = Wallets { count: args.wallets, distribution: args.distribution };
    let until = args.requests.map_or(Until::After(args.duration), Until::Answered);
    let config = args.common.start(flags)?;
    let bench = Bench { config, mix, wallets, until, warm_up, route, seed, batch, coalesce, http };
    if !args.echo && args.setup != Setup::Skip {
        bench.furnish().await?;
    }
    if args.setup == Setup::Only {
        return Ok(());
    }
    let echo = (args.echo || args.compare).then(|| Echo::start(&bench.config)).transpose()?;
    if echo.is_some() {
        echo::wait_ready(&bench.config).await?;
    }
    let report = if args.compare {
        let comparisons = bench.compare(&args.in_flight, args.rounds).await?;
        if args.json { report::json(&comparisons)? } else { report::comparisons(&comparisons) }
    } else {
        let target = if args.echo { Target::Echo } else { Target::Florin };
        let measurements = bench.measure_all(target, &args.in_flight).await?;
        if args.json { report::json(&measurements)? } else { report::measurements(&measurements) }
    };
    if let Some(echo) = echo {
        echo.stop().await?;
    }
    florin_service::cli::print(&report)
}

impl Bench {
    /// Creates what is missing, and gives the wallets something to withdraw.
    async fn furnish(&self) -> anyhow::Result<()> {
        let database = &self.config.database;
        let store = Store::new(&database.url(), database.pool_size)?;
        store.create_wallets(1..=self.wallets.count).await.context("cannot create the wallets")?;
        let (ticker, places) = TICKER;
        let scale = Scale::new(places).context("a ticker has at most 18 decimal places")?;
        match store.add_ticker(ticker, scale).await {
            // Whatever scale it has, whole amounts fit.
            Ok(_) | Err(store::Error::TickerExists { .. }) => {}
            Err(error) => return Err(error).context("cannot add the ticker"),
        }
        if self.mix.has_withdrawals() {
            let client = self.connect(Target::Florin, 0).await?;
            generator::fund(&client, self.wallets.count).await?;
            client.close().await;
        }
        Ok(())
    }

    async fn measure_all(&self, target: Target, in_flight: &[u32]) -> anyhow::Result<Vec<Measurement>> {
        let mut measurements = Vec::new();
        for calls in in_flight {
            measurements.push(self.measure(target, *calls).await?);
        }
        Ok(measurements)
    }

    /// The rounds alternate, so that a machine that gets slower or faster meanwhile is unfair to neither.
    async fn compare(&self, in_flight: &[u32], rounds: u32) -> anyhow::Result<Vec<Comparison>> {
        let mut comparisons = Vec::new();
        for calls in in_flight {
            let mut comparison = Comparison::new(*calls);
            for _ in 0..rounds {
                comparison.florin.push(self.measure(Target::Florin, *calls).await?);
                comparison.echo.push(self.measure(Target::Echo, *calls).await?);
            }
            comparisons.push(comparison);
        }
        Ok(comparisons)
    }

    async fn measure(&self, target: Target, in_flight: u32) -> anyhow::Result<Measurement> {
        let way = match &self.http {
            Some((url, key)) if target == Target::Florin => Way::Http(Http::new(url, key)?),
            _ => Way::Amqp(self.connect(target, in_flight).await?),
        };
        let load = Load {
            in_flight,
            mix: &self.mix,
            wallets: self.wallets,
            until: self.until,
            warm_up: self.warm_up,
            seed: self.seed,
            batch: self.batch,
        };
        let measurement = generator::measure(&way, &load, target.name()).await?;
        if let Way::Amqp(client) = way {
            client.close().await;
        }
        Ok(measurement)
    }

    async fn connect(&self, target: Target, in_flight: u32) -> anyhow::Result<Client> {
        let route = match (target, self.route) {
            (Target::Florin, RouteKind::Exchange) => Route::Exchange(names::REQUESTS_EXCHANGE.to_owned()),
            (Target::Florin, RouteKind::Queue) => Route::Queue(self.config.broker.queue.clone()),
            (Target::Echo, RouteKind::Exchange) => Route::Exchange(echo::NAME.to_owned()),
            (Target::Echo, RouteKind::Queue) => Route::Queue(echo::NAME.to_owned()),
        };
        let defaults = ClientOptions::default();
        let options = ClientOptions {
            route,
            max_in_flight: defaults.max_in_flight.max(in_flight as usize),
            connection_name: "florin bench".to_owned(),
            send_user_id: self.config.broker.require_user_id,
            coalescing: defaults.coalescing.clone().filter(|_| self.coalesce),
            ..defaults
        };
        Ok(Client::connect(&self.config.broker.url(), options).await?)
    }
}

impl Target {
    const fn name(self) -> &'static str {
        match self {
            Self::Florin => "florin",
            Self::Echo => "echo",
        }
    }
}

/// Reads `500ms`, `10s` or `2m`.
fn duration(text: &str) -> anyhow::Result<Duration> {
    let time: Option<SignedDuration> = text.parse().ok();
    let time = time.filter(|time| (SignedDuration::ZERO..=LONGEST).contains(time));
    Ok(time.context("a time is a number and a unit, up to 1000h: 500ms, 10s, 2m")?.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        let cases = [("500ms", 500), ("10s", 10_000), ("2m", 120_000), ("0s", 0), ("1.5s", 1500)];
        for (text, millis) in cases {
            assert_eq!(duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in ["", "10", "s", "-1s", "10x", "1001h", "9223372036854775807s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
