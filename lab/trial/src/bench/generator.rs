//! The load: a fixed number of calls in flight, a new one for each that is answered.
//!
//! It shares the machine with all that it measures, so it is lean: one task for all calls.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use florin_client::{CallOptions, Client, Error, MovementBody, Request, SettleBody};
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
use super::wallets::Wallets;
use crate::mark;

/// The longest latency that is recorded as it is, in microseconds.
const MAX_LATENCY_MICROS: u64 = 600_000_000;
/// What each wallet gets before withdrawals of 1 begin.
const FUNDS: i128 = 1_000_000_000;
/// Wallets that get it by one message, and messages in flight.
const FUNDED_TOGETHER: usize = 1000;
const FUNDING_IN_FLIGHT: usize = 8;
/// Holds kept for settling; further ones stay open.
const MAX_OPEN: usize = 100_000;
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) enum Way {
    Amqp(Client),
    Http(Http),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    After(Duration),
    Answered(u64),
}

#[derive(Debug)]
pub(super) struct Load<'a> {
    pub(super) in_flight: u32,
    pub(super) mix: &'a Mix,
    pub(super) wallets: Wallets,
    pub(super) until: Until,
    pub(super) warm_up: Duration,
    pub(super) seed: u64,
    /// Requests per message; with one, each is a message of its own kind.
    pub(super) batch: u32,
}

#[derive(Debug)]
pub(super) struct Measurement {
    pub(super) in_flight: u32,
    pub(super) duration: Duration,
    /// Of messages, in microseconds.
    pub(super) latencies: Histogram<u64>,
    pub(super) answers: BTreeMap<(Operation, u16), u64>,
    /// Requests answered altogether, also before and after the time that is measured.
    pub(super) answered_in_all: u64,
}

impl Measurement {
    fn new(load: &Load<'_>) -> anyhow::Result<Self> {
        Ok(Self {
            in_flight: load.in_flight,
            duration: Duration::ZERO,
            latencies: Histogram::new_with_bounds(1, MAX_LATENCY_MICROS, 3)?,
            answers: BTreeMap::new(),
            answered_in_all: 0,
        })
    }

    pub(super) fn requests_per_second(&self) -> f64 {
        self.requests() as f64 / self.duration.as_secs_f64()
    }

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

struct Asked {
    id: Uuid,
    request: Request,
}

impl Asked {
    /// Whether it opens a hold.
    fn is_pending(&self) -> bool {
        matches!(&self.request, Request::Withdraw(body) if body.pending)
    }
}

struct Answer {
    codes: Vec<(Operation, u16)>,
    latency: Duration,
    /// Holds to settle.
    opened: Vec<Uuid>,
}

pub(super) async fn fund(client: &Client, wallets: WalletId) -> Result<(), Error> {
    let invoice = |wallet_id| Request::Invoice(MovementBody::new(wallet_id, TICKER.0, whole(FUNDS)));
    let firsts = (1..=wallets).step_by(FUNDED_TOGETHER);
    let messages = firsts.map(|first| {
        let together = (first..=wallets).take(FUNDED_TOGETHER);
        let item = |wallet_id| BatchItem {
            id: Some(mark::transaction_id().to_string()),
            request: invoice(wallet_id),
        };
        let operations = together.map(item);
        let batch = BatchRequest { operations: operations.collect(), atomic: false };
        async move { client.batch(&batch, CallOptions::default()).await }
    });
    futures_util::stream::iter(messages)
        .buffer_unordered(FUNDING_IN_FLIGHT)
        .try_for_each(|_| async { Ok(()) })
        .await
}

/// Runs the load until its end, or the first call without an answer.
pub(super) async fn measure(way: &Way, load: &Load<'_>, name: &str) -> anyhow::Result<Measurement> {
    let mut source = Source { load, random: fastrand::Rng::with_seed(load.seed), open: VecDeque::new() };
    let mut measurement = Measurement::new(load)?;
    let begin = Instant::now() + load.warm_up;
    // Requests that were sent in the time that is measured.
    let mut sent = 0;
    let mut progress = Progress::new(name, load);
    let mut calls: FuturesUnordered<_> = (0..load.in_flight).map(|_| call(way, source.next())).collect();
    while let Some(answer) = calls.next().await {
        let answer = answer?;
        let now = Instant::now();
        measurement.answered_in_all += answer.codes.len() as u64;
        let goes_on = match load.until {
            Until::After(duration) => now < begin + duration,
            Until::Answered(requests) => sent < requests,
        };
        if now >= begin && (goes_on || matches!(load.until, Until::Answered(_))) {
            measurement.record(&answer);
            measurement.duration = now - begin;
        }
        source.remember(&answer.opened);
        if goes_on {
            calls.push(call(way, source.next()));
            sent += if now >= begin { u64::from(load.batch) } else { 0 };
        }
        progress.tick(now, answer.codes.len() as u64);
    }
    if let Until::After(duration) = load.until {
        measurement.duration = duration;
    }
    progress.bar.finish_and_clear();
    Ok(measurement)
}

/// One request, or a batch of them.
async fn call(way: &Way, asked: Vec<Asked>) -> anyhow::Result<Answer> {
    let started = Instant::now();
    let operations: Vec<Operation> = asked.iter().map(|asked| asked.request.operation()).collect();
    let pending: Vec<Option<Uuid>> =
        asked.iter().map(|asked| asked.is_pending().then_some(asked.id)).collect();
    let codes = match asked.as_slice() {
        [asked] => vec![call_alone(way, asked).await?],
        _ => call_together(way, asked).await?,
    };
    let latency = started.elapsed();
    let opened = pending.into_iter().zip(&codes).filter(|(_, code)| **code < 300).filter_map(|(id, _)| id);
    Ok(Answer { opened: opened.collect(), codes: operations.into_iter().zip(codes).collect(), latency })
}

async fn call_alone(way: &Way, asked: &Asked) -> anyhow::Result<u16> {
    match way {
        Way::Amqp(client) => {
            let options = CallOptions { message_id: Some(asked.id.to_string()), ..CallOptions::default() };
            Ok(client.call(&asked.request, options).await?.reply.code)
        }
        Way::Http(http) => http.call(&asked.request, asked.id).await,
    }
}

async fn call_together(way: &Way, asked: Vec<Asked>) -> anyhow::Result<Vec<u16>> {
    let items =
        asked.into_iter().map(|Asked { id, request }| BatchItem { id: Some(id.to_string()), request });
    let batch = BatchRequest { operations: items.collect(), atomic: false };
    match way {
        Way::Amqp(client) => {
            let response = client.batch(&batch, CallOptions::default()).await?;
            Ok(response.results.iter().map(|result| result.reply.code).collect())
        }
        Way::Http(http) => http.batch(&batch).await,
    }
}

struct Source<'a> {
    load: &'a Load<'a>,
    random: fastrand::Rng,
    /// Holds to settle.
    open: VecDeque<Uuid>,
}

impl Source<'_> {
    fn next(&mut self) -> Vec<Asked> {
        (0..self.load.batch).map(|_| Asked { id: mark::transaction_id(), request: self.request() }).collect()
    }

    fn remember(&mut self, opened: &[Uuid]) {
        self.open.extend(opened.iter().take(MAX_OPEN.saturating_sub(self.open.len())));
    }

    fn request(&mut self) -> Request {
        let wallet_id = self.load.wallets.pick(&mut self.random);
        let one = || MovementBody::new(wallet_id, TICKER.0, whole(1));
        match self.load.mix.pick(&mut self.random) {
            Kind::Invoice => Request::Invoice(one()),
            Kind::Withdraw => Request::Withdraw(one()),
            // With a single wallet this is a transfer to itself, and refused.
            Kind::Transfer => Request::Transfer(one().to_wallet(1 + wallet_id % self.load.wallets.count)),
            Kind::Pending => Request::Withdraw(one().pending(None)),
            Kind::Settle => match self.open.pop_front() {
                Some(transaction_id) => Request::Settle(SettleBody::new(transaction_id)),
                None => Request::Withdraw(one().pending(None)),
            },
            Kind::Balance => Request::Balance(BalanceQueryBody::new(wallet_id)),
            Kind::History => Request::History(HistoryQueryBody::new(wallet_id).limit(10)),
        }
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
        // The duration is unknown.
        let bar = match load.until {
            Until::After(duration) => {
                let millis = (load.warm_up + duration).as_millis();
                ProgressBar::new(u64::try_from(millis).unwrap_or(u64::MAX))
            }
            Until::Answered(_) => ProgressBar::no_length(),
        };
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(format!("{name}, {} in flight", load.in_flight));
        let now = Instant::now();
        Self { bar, started: now, shown: now, answers: 0 }
    }

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
