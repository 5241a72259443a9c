//! Every metric of the service, in one place: its name, its labels, its unit.
//!
//! Names begin with `florin_` and end in their unit. `app_queries_status_counter` comes from the earlier
//! system, so that its dashboards keep working.

mod health;
mod reference;

use std::sync::Arc;

use florin_ledger::Operation;
use florin_wire::BATCH;
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

pub use health::{Condition, Health};
pub use reference::metrics_reference;

/// The label of unknown operations: clients must not be able to create series.
pub const UNKNOWN_OPERATION: &str = "unknown";
/// The label of requests through RabbitMQ.
pub const AMQP: &str = "amqp";
/// The label of requests over HTTP.
pub const HTTP: &str = "http";

/// 0.1 ms to 30 s.
const SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0,
];

/// Commands in a batch, up to many times the default limit.
const COMMANDS: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0];

/// The metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    /// `app_queries_status_counter{operation,status,transport}`: answers by operation and code. `amqp`
    /// counts all that come through RabbitMQ, including those that `http` sends there.
    pub answers: IntCounterVec,
    /// `florin_request_duration_seconds{operation,transport}`: from the receipt of a request to its
    /// confirmed reply.
    pub request_seconds: HistogramVec,
    /// `florin_batch_commands`: commands committed together.
    pub batch_commands: Histogram,
    /// `florin_commit_duration_seconds`: from the start of a batch to its commit, with planning and
    /// retries.
    pub commit_seconds: Histogram,
    /// `florin_batches_planned_ahead_total`: batches planned while the one before them was committed.
    pub batches_planned_ahead: IntCounter,
    /// `florin_in_flight_requests`: received and not yet acknowledged.
    pub in_flight_requests: IntGauge,
    /// `florin_broker_reconnects_total{connection}`: `consumer`, `publisher` or `events`.
    pub broker_reconnects: IntCounterVec,
    /// `florin_batch_retries_total{cause}`: `conflict`, `database` or `in_doubt`.
    pub batch_retries: IntCounterVec,
    /// `florin_replies_unroutable_total`: replies whose queue was gone.
    pub replies_unroutable: IntCounter,
    /// `florin_replays_total`: answers repeated for a request that was applied before.
    pub replays: IntCounter,
    /// `florin_events_total`: changes of transactions published and confirmed.
    pub events: IntCounter,
    /// `florin_events_parked_total`: changes of transactions that a listener's queue refused, parked.
    pub events_parked: IntCounter,
    /// `florin_events_parked_messages`: messages in the queue of parked events.
    pub events_parked_messages: IntGauge,
    /// `florin_dead_lettered_total`: requests dead-lettered by the service.
    pub dead_lettered: IntCounter,
    /// `florin_cached_wallets`: wallets whose balances are cached.
    pub cached_wallets: IntGauge,
    /// `florin_database_pool_connections{state}`: `idle`, `in_use` or `max`.
    pub database_pool_connections: IntGaugeVec,
    registry: Registry,
}

impl Metrics {
    /// All metrics, at zero. Every label that is known beforehand shows from the start, so that a rate over
    /// its first event is right.
    ///
    /// # Panics
    ///
    /// Never: the names are constants, and a test makes them.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let registry = Registry::new();
        build_info(&registry);
        let metrics = Self {
            answers: registered(&registry, answers()),
            request_seconds: registered(&registry, request_seconds()),
            batch_commands: registered(
                &registry,
                histogram("florin_batch_commands", "Commands committed together.", COMMANDS),
            ),
            commit_seconds: registered(
                &registry,
                histogram(
                    "florin_commit_duration_seconds",
                    "Seconds from the start of a batch to its commit, with planning and retries.",
                    SECONDS,
                ),
            ),
            batches_planned_ahead: registered(
                &registry,
                counter(
                    "florin_batches_planned_ahead_total",
                    "Batches planned while the one before them was committed.",
                ),
            ),
            in_flight_requests: registered(
                &registry,
                gauge("florin_in_flight_requests", "Requests received and not yet acknowledged."),
            ),
            broker_reconnects: registered(&registry, broker_reconnects()),
            batch_retries: registered(&registry, batch_retries()),
            replies_unroutable: registered(
                &registry,
                counter("florin_replies_unroutable_total", "Replies dropped because their queue was gone."),
            ),
            replays: registered(
                &registry,
                counter("florin_replays_total", "Answers repeated for requests applied before."),
            ),
            events: registered(
                &registry,
                counter("florin_events_total", "Changes of transactions published and confirmed."),
            ),
            events_parked: registered(
                &registry,
                counter(
                    "florin_events_parked_total",
                    "Changes of transactions refused by a queue and parked.",
                ),
            ),
            events_parked_messages: registered(
                &registry,
                gauge("florin_events_parked_messages", "Messages in the queue of parked events."),
            ),
            dead_lettered: registered(
                &registry,
                counter("florin_dead_lettered_total", "Requests dead-lettered by the service."),
            ),
            cached_wallets: registered(
                &registry,
                gauge("florin_cached_wallets", "Wallets whose balances are cached."),
            ),
            database_pool_connections: registered(&registry, database_pool_connections()),
            registry,
        };
        metrics.preset_answers();
        Arc::new(metrics)
    }

    /// The present values in the text format of Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        // Fails only on a metric without a name.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    fn preset_answers(&self) {
        for operation in Operation::ALL.map(Operation::as_str).into_iter().chain([BATCH]) {
            for status in ["200", "400"] {
                let _ = self.answers.with_label_values(&[operation, status, AMQP]);
            }
            let _ = self.request_seconds.with_label_values(&[operation, AMQP]);
        }
        let _ = self.answers.with_label_values(&[UNKNOWN_OPERATION, "400", AMQP]);
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let metric = made.expect("the names and labels are constants that a test makes");
    registry.register(Box::new(metric.clone())).expect("the names differ");
    metric
}

fn answers() -> prometheus::Result<IntCounterVec> {
    let help = "Answers by operation and status code.";
    IntCounterVec::new(Opts::new("app_queries_status_counter", help), &["operation", "status", "transport"])
}

fn request_seconds() -> prometheus::Result<HistogramVec> {
    let help = "Seconds from the receipt of a request to its confirmed reply.";
    let options = HistogramOpts::new("florin_request_duration_seconds", help).buckets(SECONDS.to_vec());
    HistogramVec::new(options, &["operation", "transport"])
}

fn broker_reconnects() -> prometheus::Result<IntCounterVec> {
    let help = "Reconnects to RabbitMQ after a lost connection.";
    let options = Opts::new("florin_broker_reconnects_total", help);
    preset(IntCounterVec::new(options, &["connection"])?, &["consumer", "publisher", "events"])
}

fn batch_retries() -> prometheus::Result<IntCounterVec> {
    let help = "Batches tried again, by cause: a conflict, a database error, a commit in doubt.";
    let options = Opts::new("florin_batch_retries_total", help);
    preset(IntCounterVec::new(options, &["cause"])?, &["conflict", "database", "in_doubt"])
}

fn preset(vector: IntCounterVec, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    for label in labels {
        vector.get_metric_with_label_values(&[label])?;
    }
    Ok(vector)
}

fn database_pool_connections() -> prometheus::Result<IntGaugeVec> {
    let help = "Connections of the database pool: idle, in use, and the maximum.";
    let vector = IntGaugeVec::new(Opts::new("florin_database_pool_connections", help), &["state"])?;
    for state in ["idle", "in_use", "max"] {
        vector.get_metric_with_label_values(&[state])?;
    }
    Ok(vector)
}

fn build_info(registry: &Registry) {
    let options = Opts::new("florin_build_info", "Always 1; the labels identify the build.")
        .const_label("version", env!("CARGO_PKG_VERSION"));
    registered(registry, IntGauge::with_opts(options)).set(1);
}

fn histogram(name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Histogram> {
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
}

fn gauge(name: &str, help: &str) -> prometheus::Result<IntGauge> {
    IntGauge::new(name, help)
}

fn counter(name: &str, help: &str) -> prometheus::Result<IntCounter> {
    IntCounter::new(name, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dashboards and alarms name these: a change here breaks them.
    #[test]
    fn names_and_types_are_fixed() {
        let text = Metrics::new().render();
        let types: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert_eq!(
            types,
            [
                "app_queries_status_counter counter",
                "florin_batch_commands histogram",
                "florin_batch_retries_total counter",
                "florin_batches_planned_ahead_total counter",
                "florin_broker_reconnects_total counter",
                "florin_build_info gauge",
                "florin_cached_wallets gauge",
                "florin_commit_duration_seconds histogram",
                "florin_database_pool_connections gauge",
                "florin_dead_lettered_total counter",
                "florin_events_parked_messages gauge",
                "florin_events_parked_total counter",
                "florin_events_total counter",
                "florin_in_flight_requests gauge",
                "florin_replays_total counter",
                "florin_replies_unroutable_total counter",
                "florin_request_duration_seconds histogram",
            ]
        );
    }

    #[test]
    fn known_labels_show_from_the_start() {
        let text = Metrics::new().render();
        for line in [
            r#"app_queries_status_counter{operation="invoice",status="200",transport="amqp"} 0"#,
            r#"app_queries_status_counter{operation="withdraw",status="400",transport="amqp"} 0"#,
            r#"app_queries_status_counter{operation="balance",status="200",transport="amqp"} 0"#,
            r#"app_queries_status_counter{operation="unknown",status="400",transport="amqp"} 0"#,
            r#"florin_broker_reconnects_total{connection="publisher"} 0"#,
            r#"florin_batch_retries_total{cause="in_doubt"} 0"#,
            r#"florin_database_pool_connections{state="in_use"} 0"#,
            r#"florin_request_duration_seconds_bucket{operation="invoice",transport="amqp",le="0.0001"} 0"#,
            r#"florin_request_duration_seconds_bucket{operation="balance",transport="amqp",le="30"} 0"#,
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
        }
        assert!(text.contains(r#"florin_build_info{version=""#));
    }

    #[test]
    fn what_is_counted_is_rendered() {
        let metrics = Metrics::new();
        metrics.answers.with_label_values(&["invoice", "200", AMQP]).inc_by(3);
        assert!(metrics.render().contains(r#"{operation="invoice",status="200",transport="amqp"} 3"#));
    }
}
