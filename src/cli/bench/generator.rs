//! The load: so many calls in flight, a new one for each that is answered.
//!
//! It shares the machine with all that it measures, so it is lean: one task for all calls.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use florin_client::{CallOptions, Client, Error, MovementBody, Request};
use florin_ledger::{Decimal, Operation, Scale, WalletId};
use florin_wire::{BalanceQueryBody, BatchItem, BatchRequest, HistoryQueryBody};
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, TryStreamExt};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use uuid::Uuid;

use super::TICKER;
use super::http::Http;
use super::mix::{Kind, Mix};

/// The longest latency that is told apart, in microseconds.
const MAX_LATENCY_MICROS: u64 = 600_000_000;
/// What each wallet gets before withdrawals of 1 begin.
const FUNDS: i128 = 1_000_000_000;
const FUNDING_IN_FLIGHT: usize = 500;
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// How the requests travel.
#[derive(Debug)]
pub(super) enum Way {
    Amqp(Client),
    Http(Http),
}

/// What is to be measured.
#[derive(Debug)]
pub(super) struct Load<'a> {
    pub(super) in_flight: u32,
    pub(super) mix: &'a Mix,
    pub(super) wallets: WalletId,
    pub(super) duration: Duration,
    pub(super) warm_up: Duration,
    pub(super) seed: u64,
    /// Requests per message; with one, each is a message of its own kind.
    pub(super) batch: u32,
}

/// What was measured.
#[derive(Debug)]
pub(super) struct Measurement {
    pub(super) in_flight: u32,
    pub(super) duration: Duration,
    /// Of messages, in microseconds.
    pub(super) latencies: Histogram<u64>,
    pub(super) answers: BTreeMap<(Operation, u16), u64>,
}

impl Measurement {
    pub(super) fn requests_per_second(&self) -> f64 {
        self.requests() as f64 / self.duration.as_secs_f64()
    }

    /// How many requests were answered.
    pub(super) fn requests(&self) -> u64 {
        self.answers.values().sum()
    }

    fn record(&mut self, answer: &Answer) {
        let micros = u64::try_from(answer.latency.as_micros()).unwrap_or(MAX_LATENCY_MICROS);
        self.latencies.saturating_record(micros);
        for (operation, code) in &answer.codes {
            *self.answers.entry((*operation, *code)).or_default() += 1;
        }
    }
}

struct Answer {
    codes: Vec<(Operation, u16)>,
    latency: Duration,
}

/// Makes each wallet rich.
pub(super) async fn fund(client: &Client, wallets: WalletId) -> Result<(), Error> {
    let invoices = (1..=wallets).map(|wallet_id| client.invoice(wallet_id, TICKER.0, whole(FUNDS)));
    futures_util::stream::iter(invoices)
        .buffer_unordered(FUNDING_IN_FLIGHT)
        .try_for_each(|_| async { Ok(()) })
        .await
}

/// Runs the load. The first call that gets no answer ends it.
pub(super) async fn measure(way: &Way, load: &Load<'_>, name: &str) -> anyhow::Result<Measurement> {
    let mut random = fastrand::Rng::with_seed(load.seed);
    let mut measurement = Measurement {
        in_flight: load.in_flight,
        duration: load.duration,
        latencies: Histogram::new_with_bounds(1, MAX_LATENCY_MICROS, 3)?,
        answers: BTreeMap::new(),
    };
    let begin = Instant::now() + load.warm_up;
    let end = begin + load.duration;
    let mut progress = Progress::new(name, load);
    let mut calls: FuturesUnordered<_> =
        (0..load.in_flight).map(|_| call(way, requests(load, &mut random))).collect();
    while let Some(answer) = calls.next().await {
        let answer = answer?;
        let now = Instant::now();
        if now < end {
            calls.push(call(way, requests(load, &mut random)));
            if now >= begin {
                measurement.record(&answer);
            }
        }
        progress.tick(now, answer.codes.len() as u64);
    }
    progress.bar.finish_and_clear();
    Ok(measurement)
}

/// One request, or a batch of them.
async fn call(way: &Way, requests: Vec<Request>) -> anyhow::Result<Answer> {
    let started = Instant::now();
    let operations = requests.iter().map(Request::operation).collect::<Vec<_>>().into_iter();
    let codes = if let [request] = requests.as_slice() {
        let code = match way {
            Way::Amqp(client) => client.call(request, CallOptions::default()).await?.reply.code,
            Way::Http(http) => http.call(request).await?,
        };
        operations.zip([code]).collect()
    } else {
        let items =
            requests.into_iter().map(|request| BatchItem { id: Some(Uuid::now_v7().to_string()), request });
        let batch = BatchRequest { operations: items.collect(), atomic: false };
        let codes: Vec<u16> = match way {
            Way::Amqp(client) => {
                let response = client.batch(&batch, CallOptions::default()).await?;
                response.results.iter().map(|result| result.reply.code).collect()
            }
            Way::Http(http) => http.batch(&batch).await?,
        };
        operations.zip(codes).collect()
    };
    Ok(Answer { codes, latency: started.elapsed() })
}

fn requests(load: &Load<'_>, random: &mut fastrand::Rng) -> Vec<Request> {
    (0..load.batch).map(|_| request(load, random)).collect()
}

fn request(load: &Load<'_>, random: &mut fastrand::Rng) -> Request {
    let wallet_id = random.i64(1..=load.wallets);
    let one = || MovementBody::new(wallet_id, TICKER.0, whole(1));
    match load.mix.pick(random) {
        Kind::Invoice => Request::Invoice(one()),
        Kind::Withdraw => Request::Withdraw(one()),
        // With a single wallet this is a transfer to itself, and refused.
        Kind::Transfer => Request::Transfer(one().to_wallet(1 + wallet_id % load.wallets)),
        Kind::Balance => Request::Balance(BalanceQueryBody::new(wallet_id)),
        Kind::History => Request::History(HistoryQueryBody::new(wallet_id).limit(10)),
    }
}

fn whole(amount: i128) -> Decimal {
    Decimal::from_minor(amount, Scale::try_from(0).expect("a scale"))
}

/// A bar with the present rate. Nothing is shown where there is no terminal.
struct Progress {
    bar: ProgressBar,
    started: Instant,
    shown: Instant,
    answers: u64,
}

impl Progress {
    fn new(name: &str, load: &Load<'_>) -> Self {
        let total = (load.warm_up + load.duration).as_millis();
        let bar = ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX));
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(format!("{name}, {} in flight", load.in_flight));
        let now = Instant::now();
        Self { bar, started: now, shown: now, answers: 0 }
    }

    /// So many more answers.
    fn tick(&mut self, now: Instant, answers: u64) {
        self.answers += answers;
        let since_shown = now - self.shown;
        if since_shown >= PROGRESS_INTERVAL {
            let rate = self.answers as f64 / since_shown.as_secs_f64();
            self.bar.set_message(format!("{rate:.0} requests/s"));
            self.bar.set_position(u64::try_from((now - self.started).as_millis()).unwrap_or(u64::MAX));
            (self.shown, self.answers) = (now, 0);
        }
    }
}
