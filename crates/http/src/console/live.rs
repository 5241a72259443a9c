//! The updates of the overview, as server-sent events: one task takes a sample every second for all streams.
//!
//! Counters are in memory, so they are sampled always, and the overview opens with the last two minutes.
//! The broker and the database are queried only while an overview is open.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use futures_util::stream;
use prometheus::core::Collector;
use prometheus::proto::{Metric, MetricFamily};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::layout::Failure;
use crate::App;
use crate::auth::Caller;
use crate::database::DatabaseRequest;
use crate::problem::{Fault, Problem};
use florin_broker::Queues;
use florin_metrics::{AMQP, HTTP, Metrics};

const PERIOD: Duration = Duration::from_secs(1);
/// Time limit for the answers of the broker and the database.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// Samples kept, with which a new stream begins.
const KEPT: usize = 120;
const STREAMS: usize = 64;
/// How long a stream lasts. Then the browser opens another one, so that its key is checked again.
const EVENTS: usize = 300;

#[derive(Debug)]
pub(crate) struct Live {
    stop: CancellationToken,
    places: Arc<Semaphore>,
    recent: Mutex<VecDeque<Point>>,
    latest: watch::Sender<Arc<str>>,
}

/// Rates over about a second.
#[derive(Debug, Clone, Serialize)]
struct Point {
    /// Answers through the broker, per second.
    rate: f64,
    /// Answers over HTTP, per second.
    http_rate: f64,
    /// None when there were no requests.
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    /// Answers through the broker per second, by code.
    codes: BTreeMap<String, f64>,
}

#[derive(Debug, Serialize)]
struct Sample {
    #[serde(flatten)]
    point: Point,
    broker: bool,
    database: bool,
    /// Whether this instance can execute requests.
    ready: bool,
    /// Whether this instance had requests in the last second.
    active: bool,
    in_flight: i64,
    waiting: Option<u32>,
    consumers: Option<u32>,
    dead: Option<u32>,
    pending: Option<i64>,
    oldest_secs: Option<u64>,
}

struct Counters {
    at: Instant,
    http: u64,
    codes: BTreeMap<String, u64>,
    /// Upper bounds in seconds, with cumulative counts.
    buckets: Vec<(f64, u64)>,
}

impl Live {
    pub(crate) fn new(stop: CancellationToken) -> Self {
        let places = Arc::new(Semaphore::new(STREAMS));
        let latest = watch::Sender::new(Arc::from("{}"));
        Self { stop, places, recent: Mutex::default(), latest }
    }

    fn keep(&self, point: Point) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == KEPT {
            recent.pop_front();
        }
        recent.push_back(point);
    }

    fn history(&self) -> String {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::to_string(&*recent).expect("numbers are JSON")
    }
}

pub(crate) async fn sample(app: App) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = Counters::of(&app.metrics);
    let mut queues = None;
    loop {
        ticks.tick().await;
        let now = Counters::of(&app.metrics);
        let point = now.since(&before);
        before = now;
        app.live.keep(point.clone());
        if app.live.latest.receiver_count() == 0 {
            queues = None;
            continue;
        }
        let sample = look(&app, point, &mut queues).await;
        let text = serde_json::to_string(&sample).expect("numbers are JSON");
        app.live.latest.send_replace(text.into());
    }
}

async fn look(app: &App, point: Point, queues: &mut Option<Queues>) -> Sample {
    let asking = async {
        if queues.is_none() {
            *queues = Queues::open(&app.amqp_url, &app.work_queue).await.ok();
        }
        queues.as_ref()?.depths().await.ok()
    };
    let (depths, pending) = tokio::join!(
        timeout(LOOK_TIMEOUT, asking),
        timeout(LOOK_TIMEOUT, app.database.call(DatabaseRequest::PendingSummary, ()))
    );
    let (depths, pending) = (depths.ok().flatten(), pending.ok().and_then(Result::ok));
    if depths.is_none() {
        *queues = None;
    }
    let broker = app.link.is_connected();
    let in_flight = app.metrics.in_flight_requests.get();
    Sample {
        broker,
        database: pending.is_some(),
        ready: broker && pending.is_some() && !app.link.is_blocked() && !app.health.is_failing(),
        active: point.rate > 0.0 || in_flight > 0,
        in_flight,
        waiting: depths.map(|depths| depths.waiting),
        consumers: depths.map(|depths| depths.consumers),
        dead: depths.map(|depths| depths.dead),
        pending: pending.map(|pending| pending.count),
        oldest_secs: pending
            .and_then(|pending| pending.oldest)
            .map(|oldest| oldest.elapsed().unwrap_or_default().as_secs()),
        point,
    }
}

/// `GET /console/live`: first the samples kept, then one every second.
pub(super) async fn live(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Failure> {
    // The numbers are of all wallets.
    caller.needs_all_wallets()?;
    let place = Arc::clone(&app.live.places).try_acquire_owned();
    let place = place.map_err(|_| Problem::new(Fault::Overloaded, "too many live views are open"))?;
    let watching = Watching { receiver: app.live.latest.subscribe(), app, sent: 0, _place: place };
    Ok(Sse::new(stream::unfold(watching, Watching::next)).into_response())
}

struct Watching {
    app: App,
    receiver: watch::Receiver<Arc<str>>,
    sent: usize,
    _place: OwnedSemaphorePermit,
}

impl Watching {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.sent == EVENTS {
            return None;
        }
        self.sent += 1;
        if self.sent == 1 {
            return Some((Ok(Event::default().event("history").data(self.app.live.history())), self));
        }
        tokio::select! {
            changed = self.receiver.changed() => changed.ok()?,
            () = self.app.live.stop.cancelled() => return None,
        }
        let text = Arc::clone(&self.receiver.borrow_and_update());
        Some((Ok(Event::default().event("sample").data(&*text)), self))
    }
}

impl Counters {
    fn of(metrics: &Metrics) -> Self {
        let mut counters = Self { at: Instant::now(), http: 0, codes: BTreeMap::new(), buckets: Vec::new() };
        for metric in families(metrics.answers.collect()) {
            let count = whole(metric.get_counter().get_value());
            match label(&metric, "transport") {
                HTTP => counters.http += count,
                _ => *counters.codes.entry(label(&metric, "status").to_owned()).or_default() += count,
            }
        }
        for metric in families(metrics.request_seconds.collect()) {
            if label(&metric, "transport") != AMQP {
                continue;
            }
            for (index, bucket) in metric.get_histogram().get_bucket().iter().enumerate() {
                match counters.buckets.get_mut(index) {
                    Some((_, count)) => *count += bucket.cumulative_count(),
                    None => counters.buckets.push((bucket.upper_bound(), bucket.cumulative_count())),
                }
            }
        }
        counters
    }

    fn since(&self, before: &Self) -> Point {
        let secs = self.at.duration_since(before.at).as_secs_f64().max(0.001);
        let per_sec = |now: u64, before: u64| number(now.saturating_sub(before)) / secs;
        let codes: BTreeMap<String, f64> = self
            .codes
            .iter()
            .map(|(code, count)| {
                (code.clone(), per_sec(*count, before.codes.get(code).copied().unwrap_or_default()))
            })
            .collect();
        let bucket = |(index, (bound, count)): (usize, &(f64, u64))| {
            let earlier = before.buckets.get(index).map_or(0, |(_, count)| *count);
            (*bound, count.saturating_sub(earlier))
        };
        let buckets: Vec<(f64, u64)> = self.buckets.iter().enumerate().map(bucket).collect();
        Point {
            rate: codes.values().sum(),
            http_rate: per_sec(self.http, before.http),
            p50_ms: quantile(&buckets, 0.5).map(|secs| secs * 1000.0),
            p99_ms: quantile(&buckets, 0.99).map(|secs| secs * 1000.0),
            codes,
        }
    }
}

fn families(families: Vec<MetricFamily>) -> impl Iterator<Item = Metric> {
    families.into_iter().flat_map(|mut family| family.take_metric())
}

fn label<'a>(metric: &'a Metric, name: &str) -> &'a str {
    metric.get_label().iter().find(|label| label.name() == name).map_or("", |label| label.value())
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a counter counts whole numbers up"
)]
fn whole(counter: f64) -> u64 {
    counter as u64
}

#[allow(clippy::cast_precision_loss, reason = "for a picture")]
fn number(count: u64) -> f64 {
    count as f64
}

/// Linear within a bucket, as Prometheus does it.
fn quantile(buckets: &[(f64, u64)], part: f64) -> Option<f64> {
    let total = buckets.last().map(|(_, count)| *count).filter(|total| *total > 0)?;
    let rank = part * number(total);
    let (mut lower, mut below) = (0.0, 0);
    for (upper, count) in buckets.iter().copied() {
        if number(count) >= rank {
            let inside = number(count - below).max(1.0);
            let upper = if upper.is_finite() { upper } else { lower };
            return Some(lower + (upper - lower) * (rank - number(below)) / inside);
        }
        (lower, below) = (upper, count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_quantiles_come_from_differences() {
        let metrics = Metrics::new();
        let answered = |status, count, secs| {
            metrics.answers.with_label_values(&["invoice", status, AMQP]).inc_by(count);
            for _ in 0..count {
                metrics.request_seconds.with_label_values(&["invoice", AMQP]).observe(secs);
            }
        };
        answered("200", 1000, 9.0);
        let before = Counters::of(&metrics);
        answered("200", 30, 0.0015);
        answered("400", 10, 0.3);
        let now = Counters { at: before.at + Duration::from_secs(2), ..Counters::of(&metrics) };
        let point = now.since(&before);
        assert!((point.rate - 20.0).abs() < 1e-9, "{point:?}");
        assert!((point.codes["400"] - 5.0).abs() < 1e-9, "{point:?}");
        assert!(point.p50_ms.is_some_and(|ms| (1.0..2.5).contains(&ms)), "{point:?}");
        assert!(point.p99_ms.is_some_and(|ms| (250.0..500.0).contains(&ms)), "{point:?}");
        assert_eq!(before.since(&before).p50_ms, None);
    }
}
