//! `florin bench`: throughput and latency, as a client sees them.
//!
//! `generator` keeps calls in flight and measures; `echo` is the same path without a database, to compare
//! with; `report` shows the results.

pub mod echo;
mod generator;
mod http;
mod mix;
mod report;
mod wallets;

use std::time::Duration;

use anyhow::Context;
use clap::{ValueEnum, ValueHint};
use florin_client::{Client, ClientOptions, Route, names};
use florin_ledger::{Scale, WalletId};
use florin_service::cli::output::OutputArgs;
use florin_service::cli::values::{duration, number};
use florin_service::cli::{BrokerArgs, CommonArgs, DatabaseArgs, no_broker, open_store};
use florin_service::config::Config;
use florin_store as store;

use super::mark;
use echo::Echo;
use generator::{Load, Measurement, Until, Way};
use http::Http;
use mix::Mix;
use report::Comparison;
use wallets::{Distribution, Wallets};

/// The only ticker that is used.
const TICKER: (&str, u8) = ("USD", 2);

/// The flags of `florin bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin bench                                       a mixed load, 100 calls in flight
  florin bench --mix invoice=1 --in-flight 1,100,1000
  florin bench --echo                                without a database: the ceiling of the broker
  florin bench --compare --in-flight 1,100,1000      both in turn, and the ratio
  florin bench --batch 1000 --in-flight 8            8 messages in flight, of 1000 requests each
  florin bench --coalesce --in-flight 1024           1024 callers whose calls share messages
  florin bench --mix pending=1,settle=1              pending withdrawals, and settles
  florin bench --wallets 1000000 --distribution zipf
  florin bench --http http://127.0.0.1:9000 --api-key florin_...
  florin bench --json > result.json

IN FLIGHT and the latencies are of messages (or calls), REQUESTS/S is of requests.

It needs a running service, and the database to create missing wallets.
The load is a closed loop: a call is made when one is answered. So latencies are those of that many
patient clients, not of requests that come whether or not the service keeps up.

All amounts are in USD, and the transactions are real. On a ledger with transactions that are not
of `florin bench` or `florin demo` it does nothing without --yes. Their transaction ids end in
74657374 (`test` in ASCII).

JSON: a list of {\"in_flight\", \"duration_seconds\", \"requests\", \"requests_per_second\",
\"answered_in_all\", \"latency_micros\", \"latency_histogram\", \"answers\"}; with --compare, a list of
{\"in_flight\", \"florin\", \"echo\"} with such a list for each.")]
pub struct Args {
    /// Number of calls in flight; several values are measured one after the other.
    #[arg(long, value_name = "CALLS", value_delimiter = ',', default_value = "100",
          value_parser = number(1..=100_000_u32))]
    in_flight: Vec<u32>,
    /// Shares of the operations: invoice, withdraw, transfer, pending (a pending withdrawal), settle (of one
    /// of those), balance, history.
    #[arg(long, value_name = "OPERATION=SHARE,...", default_value_t)]
    mix: Mix,
    /// Spreads the requests over wallets 1 to this one.
    #[arg(long, value_name = "WALLETS", default_value_t = 1000, value_parser = number(1..=WalletId::MAX))]
    wallets: WalletId,
    /// How often each wallet is used.
    #[arg(long, value_enum, default_value_t = Distribution::Uniform)]
    distribution: Distribution,
    /// Whether to create the wallets and give them money.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Setup::First)]
    setup: Setup,
    /// Requests per message: with more than one, batches are sent.
    #[arg(long, value_name = "REQUESTS", default_value_t = 1, value_parser = number(1..=1000_u32))]
    batch: u32,
    /// Lets the client put concurrent calls into batches by itself.
    #[arg(long, conflicts_with = "batch")]
    coalesce: bool,
    /// How long to measure: `500ms`, `10s`, `2m`.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Measures until this number of requests is answered, however long that takes.
    #[arg(long, value_name = "NUMBER", conflicts_with = "duration", value_parser = number(1..=u64::MAX))]
    requests: Option<u64>,
    /// How long the load runs before the measurement starts.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    warm_up: Duration,
    /// Where to publish requests.
    #[arg(long, value_enum, default_value_t = RouteKind::Exchange)]
    route: RouteKind,
    /// Sends the requests over HTTP to this address, such as http://127.0.0.1:9000. The rate limit of the key
    /// (`http.key_requests_per_second`) applies.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, requires = "api_key",
          conflicts_with_all = ["coalesce", "route"])]
    http: Option<String>,
    /// API key for `--http`, with the role client.
    #[arg(long, value_name = "KEY", env = "FLORIN_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Seed of the sequence of wallets and operations.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = number(0..=u64::MAX))]
    seed: u64,
    /// Measures a stand-in for the service that answers at once, without a database.
    #[arg(long, conflicts_with_all = ["compare", "http"])]
    echo: bool,
    /// Measures the service and the stand-in in turn.
    #[arg(long)]
    compare: bool,
    /// How often to measure each with `--compare`.
    #[arg(long, value_name = "ROUNDS", default_value_t = 3, requires = "compare",
          value_parser = number(1..=100_u32))]
    rounds: u32,
    #[command(flatten)]
    trial: mark::TrialArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RouteKind {
    /// To the topic exchange, as most clients do.
    Exchange,
    /// To the queue by its name.
    Queue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Setup {
    /// Before measuring.
    First,
    /// Without measuring.
    Only,
    /// Not at all: it was done before, for at least as many wallets.
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

/// Measures, and prints the results.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let flags = args.broker.flags().into_iter().chain(args.database.flags());
    let http = args.http.zip(args.api_key);
    let Args { mix, warm_up, route, seed, batch, coalesce, .. } = args;
    let wallets = Wallets { count: args.wallets, distribution: args.distribution };
    let until = args.requests.map_or(Until::After(args.duration), Until::Answered);
    let config = args.common.start(flags)?;
    let bench = Bench { config, mix, wallets, until, warm_up, route, seed, batch, coalesce, http };
    if !args.echo {
        args.trial.check(&bench.config).await?;
    }
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
    if args.compare {
        let comparisons = bench.compare(&args.in_flight, args.rounds).await?;
        args.output.print(&comparisons, |comparisons| report::comparisons(comparisons))?;
    } else {
        let target = if args.echo { Target::Echo } else { Target::Florin };
        let measurements = bench.measure_all(target, &args.in_flight).await?;
        args.output.print(&measurements, |measurements| report::measurements(measurements))?;
    }
    match echo {
        Some(echo) => echo.stop().await,
        None => Ok(()),
    }
}

impl Bench {
    /// Creates what is missing, and gives the wallets something to withdraw.
    async fn furnish(&self) -> anyhow::Result<()> {
        let store = open_store(&self.config).await.context("cannot create the wallets")?;
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
        let client = Client::connect(&self.config.broker.url(), options).await;
        client.map_err(|error| no_broker(&self.config, &error))
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
