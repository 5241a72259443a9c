//! The report: what programs get, what people read, and what counts as a problem.

use florin_broker::{BrokerStatus, Difference, QueueStatus};
use florin_ledger::PendingSummary;
use florin_service::cli::failure::one_line;
use florin_service::cli::output::table;
use florin_service::config::Config;
use florin_store::DatabaseStatus;
use jiff::Timestamp;
use serde::Serialize;

/// Texts in another encoding could not hold what clients send.
const ENCODING: &str = "UTF8";
/// Where counting pending transactions stops.
const COUNTED: i64 = 10_000;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) ok: bool,
    version: &'static str,
    problems: Vec<String>,
    notes: Vec<String>,
    broker: Broker,
    work_queue: Queue,
    dead_letters: Queue,
    parked_events: Option<Queue>,
    active_instances: Option<u32>,
    database: Database,
    pending: Option<Pending>,
}

#[derive(Debug, Serialize)]
struct Broker {
    address: String,
    virtual_host: String,
    reachable: bool,
    product: Option<String>,
    blocked: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Queue {
    name: String,
    exists: Option<bool>,
    ready: Option<u32>,
    differs: Option<String>,
}

#[derive(Debug, Serialize)]
struct Database {
    address: String,
    name: String,
    reachable: bool,
    version: Option<String>,
    encoding: Option<String>,
    read_only: Option<bool>,
    schema_version: Option<i64>,
    expected_schema_version: i64,
}

#[derive(Debug, Serialize)]
struct Pending {
    count: i64,
    oldest: Option<Timestamp>,
}

impl Report {
    pub(super) fn new(
        config: &Config,
        broker: anyhow::Result<BrokerStatus>,
        database: anyhow::Result<DatabaseStatus>,
    ) -> Self {
        let mut problems = Vec::new();
        let mut found = |result: anyhow::Error| problems.push(one_line(&result));
        let broker = broker.map_err(&mut found).ok();
        let database = database.map_err(&mut found).ok();
        let counts = broker.as_ref().and_then(|broker| broker.work_queue.counts.as_ref().ok());
        let active_instances = counts.map(|counts| counts.consumers);
        let mut notes = Vec::new();
        if let Some(broker) = &broker {
            broker_findings(broker, &mut problems, &mut notes);
        }
        if let Some(database) = &database {
            problems.extend(database_problems(database));
        }
        let parked_events = broker.as_ref().and_then(|broker| broker.parked_events.as_ref());
        Self {
            ok: problems.is_empty(),
            version: env!("CARGO_PKG_VERSION"),
            work_queue: Queue::new(&config.broker.queue, broker.as_ref().map(|broker| &broker.work_queue)),
            dead_letters: Queue::new(
                florin_wire::names::DEAD_LETTERS,
                broker.as_ref().map(|broker| &broker.dead_letters),
            ),
            parked_events: parked_events.map(|queue| Queue::new(&queue.name, Some(queue))),
            active_instances,
            pending: database.as_ref().and_then(|database| database.pending).map(Pending::from),
            broker: Broker::new(config, broker),
            database: Database::new(config, database),
            problems,
            notes,
        }
    }
}

impl Broker {
    fn new(config: &Config, status: Option<BrokerStatus>) -> Self {
        Self {
            address: config.broker.address(),
            virtual_host: config.broker.virtual_host(),
            reachable: status.is_some(),
            blocked: status.as_ref().and_then(|status| status.blocked),
            product: status.and_then(|status| status.product),
        }
    }
}

impl Queue {
    fn new(name: &str, status: Option<&QueueStatus>) -> Self {
        Self {
            name: name.to_owned(),
            exists: status.and_then(|status| match &status.counts {
                Ok(_) => Some(true),
                Err(refusal) => refusal.starts_with("NOT_FOUND").then_some(false),
            }),
            ready: status.and_then(|status| Some(status.counts.as_ref().ok()?.ready)),
            differs: status.and_then(|status| Some(status.differs.as_ref()?.text.clone())),
        }
    }
}

impl Database {
    fn new(config: &Config, status: Option<DatabaseStatus>) -> Self {
        let reachable = status.is_some();
        let schema_version = status.as_ref().and_then(|status| status.schema_version);
        let read_only = status.as_ref().map(|status| status.read_only);
        let (version, encoding) = status.map(|status| (status.version, status.encoding)).unzip();
        Self {
            address: config.database.address(),
            name: config.database.database_name(),
            reachable,
            version,
            encoding,
            read_only,
            schema_version,
            expected_schema_version: DatabaseStatus::expected_schema_version(),
        }
    }
}

impl From<PendingSummary> for Pending {
    fn from(PendingSummary { count, oldest }: PendingSummary) -> Self {
        Self { count, oldest: oldest.and_then(|time| Timestamp::try_from(time).ok()) }
    }
}

fn broker_findings(broker: &BrokerStatus, problems: &mut Vec<String>, notes: &mut Vec<String>) {
    if broker.blocked == Some(true) {
        problems.push("RabbitMQ blocks publishing: a memory or disk alarm is on".to_owned());
    }
    let mut differ = |what: String, Difference { text, is_adopted }: &Difference| match is_adopted {
        true => notes.push(format!("{what} was declared with other settings, and is used as it is: {text}")),
        false => problems.push(format!("{what} was declared with other settings: {text}")),
    };
    let queues = [&broker.work_queue, &broker.dead_letters].into_iter().chain(&broker.parked_events);
    let mut missing = Vec::new();
    for QueueStatus { name, counts, differs } in queues {
        if let Err(refusal) = counts {
            missing.push(format!("cannot look at the queue {name} (`florin serve` creates it): {refusal}"));
        }
        if let Some(difference) = differs {
            differ(format!("the queue {name}"), difference);
        }
    }
    for exchange in &broker.exchanges {
        match &exchange.differs {
            Some(difference) => differ(format!("the exchange {}", exchange.name), difference),
            None => {
                missing
                    .push(format!("the exchange {} is missing (`florin serve` creates it)", exchange.name));
            }
        }
    }
    problems.extend(missing);
    if matches!(&broker.work_queue.counts, Ok(counts) if counts.consumers == 0) {
        problems.push(format!("no instance consumes the queue {}", broker.work_queue.name));
    }
    let parked =
        broker.parked_events.as_ref().and_then(|queue| Some((queue.counts.as_ref().ok()?.ready, queue)));
    if let Some((ready @ 1.., queue)) = parked {
        notes.push(format!(
            "a queue bound to florin.events refuses events: {ready} messages of them are parked in {}, and published \
             again until it takes them; find the full queue with `rabbitmqctl list_queues name messages policy`",
            queue.name
        ));
    }
}

fn database_problems(database: &DatabaseStatus) -> Vec<String> {
    let mut problems = Vec::new();
    if database.read_only {
        problems.push("the database is read-only: a standby, or set to read-only".to_owned());
    }
    if database.encoding != ENCODING {
        problems
            .push(format!("the encoding of the database is {}; it must be {ENCODING}", database.encoding));
    }
    let expected = DatabaseStatus::expected_schema_version();
    match database.schema_version {
        None => problems.push("the database has no schema: run `florin migrate`".to_owned()),
        Some(version) if version < expected => problems.push(format!(
            "the schema has version {version}, and this program needs {expected}: run `florin migrate`"
        )),
        Some(version) if version > expected => problems.push(format!(
            "the schema has version {version}, and this program knows {expected}: use a newer program"
        )),
        Some(_) => {}
    }
    problems
}

/// One line per item, then the verdict and the problems.
pub(super) fn text(report: &Report) -> String {
    let Report { broker, database, .. } = report;
    let mut table = table(&["ITEM", "STATUS"], &[]);
    let unknown = || "unknown".to_owned();
    let at = format!("{}, virtual host {}", broker.address, broker.virtual_host);
    let product = broker.product.as_deref().unwrap_or("RabbitMQ");
    let reachable = if broker.reachable { "reachable" } else { "NOT REACHABLE" };
    table.add_row(["broker", &format!("{product} at {at}: {reachable}")]);
    let publishing = match broker.blocked {
        Some(true) => "BLOCKED by a memory or disk alarm".to_owned(),
        Some(false) => "accepted".to_owned(),
        None => unknown(),
    };
    table.add_row(["publishing", &publishing]);
    table.add_row(["work queue", &queue(&report.work_queue, "requests ready")]);
    let instances = match report.active_instances {
        Some(0) => "NONE active".to_owned(),
        Some(active) => format!("{active} active"),
        None => unknown(),
    };
    table.add_row(["instances", &instances]);
    table.add_row(["dead letters", &queue(&report.dead_letters, "messages")]);
    if let Some(parked) = &report.parked_events {
        table.add_row(["parked events", &queue(parked, "messages")]);
    }
    let version = database.version.as_deref().map_or(String::new(), |version| format!(" {version}"));
    let state = match (database.reachable, database.read_only) {
        (false, _) => "NOT REACHABLE",
        (true, Some(true)) => "READ-ONLY",
        (true, _) => "reachable, writable",
    };
    let at = format!("{}, database {}", database.address, database.name);
    table.add_row(["database", &format!("PostgreSQL{version} at {at}: {state}")]);
    let (schema, expected) = (database.schema_version, database.expected_schema_version);
    let schema = match schema {
        Some(version) if version == expected => format!("version {version}, as this program needs"),
        Some(version) => format!("version {version}, NOT {expected} as this program needs"),
        None if database.reachable => "NONE".to_owned(),
        None => unknown(),
    };
    table.add_row(["schema", &schema]);
    table.add_row(["pending", &report.pending.as_ref().map_or_else(unknown, pending)]);
    let mut text = format!("{table}\n\n");
    match report.problems.as_slice() {
        [] => text += "Verdict: the service can work\n",
        problems => {
            text += "Verdict: the service cannot work:\n";
            problems.iter().for_each(|problem| text += &format!("- {problem}\n"));
        }
    }
    report.notes.iter().for_each(|note| text += &format!("Note: {note}\n"));
    text
}

fn queue(Queue { name, exists, ready, differs }: &Queue, what: &str) -> String {
    let note = if differs.is_some() { ", DECLARED WITH OTHER SETTINGS" } else { "" };
    match (exists, ready) {
        (Some(true), Some(ready)) => format!("{name}: {ready} {what}{note}"),
        (Some(false), _) => format!("{name}: NOT FOUND"),
        _ => "unknown".to_owned(),
    }
}

fn pending(Pending { count, oldest }: &Pending) -> String {
    let more = if *count >= COUNTED { " or more" } else { "" };
    let since = oldest
        .map_or(String::new(), |time| format!(", the oldest since {}", time.strftime("%Y-%m-%d %H:%M:%SZ")));
    format!("{count}{more} transactions{since}")
}
