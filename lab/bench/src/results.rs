//! The results of a run: one JSON file, from which the report is made. Rates and latencies only, no money.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::facts::Facts;

/// The version of the file's form.
pub(crate) const FORM: u32 = 2;

/// Why results cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot use {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{} holds no results: {source}", path.display())]
    Content { path: PathBuf, source: serde_json::Error },
    #[error("{} has form {form}, and this program reads {FORM}: measure again", path.display())]
    Form { path: PathBuf, form: u32 },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) form: u32,
    pub(crate) started_at: String,
    pub(crate) ended_at: Option<String>,
    pub(crate) settings: Settings,
    pub(crate) facts: Facts,
    pub(crate) scenarios: Vec<Scenario>,
    /// Scenarios, or parts of them, that were left out or failed, and why.
    pub(crate) left_out: Vec<LeftOut>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) rounds: u32,
    pub(crate) seconds: f64,
    pub(crate) warm_up_seconds: f64,
    /// A quick run: its figures mean nothing.
    pub(crate) quick: bool,
    pub(crate) growth_to: u64,
    /// Wallets that these are spread over.
    pub(crate) growth_wallets: u32,
    pub(crate) soak_minutes: f64,
    pub(crate) overload_minutes: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    pub(crate) what: String,
    pub(crate) why: String,
}

/// What one scenario measured. Fields of other scenarios are empty.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) cases: Vec<Case>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) growth: Vec<Growth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) allocations: Option<Allocations>,
    /// The file of the flame graph, beside the results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) flame_graph: Option<String>,
    /// The functions that were seen most often at the top of a stack, in percent of the samples.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hottest: Vec<(String, f64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) soak: Option<Soak>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) overload: Option<Overload>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Subject {
    /// The broker's ceiling: the path of a request without the database.
    Echo,
    Florin,
    Postgresql,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// Each message has as many requests as `Case::batch` says.
    Messages,
    /// The client puts concurrent calls into one message.
    Coalescing,
    Http,
    /// No requests: SQL.
    Sql,
}

/// One thing that is measured, in several rounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Case {
    /// The load in words; the same for all numbers in flight.
    pub(crate) name: String,
    pub(crate) subject: Subject,
    pub(crate) way: Way,
    /// Messages, or calls, or connections of the database.
    pub(crate) in_flight: u32,
    pub(crate) batch: u32,
    pub(crate) rounds: Vec<Round>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Round {
    /// Requests, or transactions, or rows.
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// By the name of the percentile: `p50`, `p99`...
    pub(crate) latency_micros: BTreeMap<String, u64>,
    /// Counts by upper bound, in microseconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) latency_histogram: Vec<(u64, u64)>,
    /// By operation and code.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) answers: BTreeMap<String, BTreeMap<String, u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<Cpu>,
    /// Memory of the service at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service_kib: Option<u64>,
}

/// Seconds of processor time in a round, warm-up included.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Cpu {
    /// The requests that it was spent on.
    pub(crate) requests: u64,
    /// All instances. The echo counts as client.
    pub(crate) service: f64,
    pub(crate) postgresql: f64,
    pub(crate) rabbitmq: f64,
    /// The load generator, and the echo.
    pub(crate) client: f64,
}

/// A step of the scenario `growth`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Growth {
    /// Transactions in the database after it.
    pub(crate) transactions: u64,
    /// The batches that made it grow.
    pub(crate) writes: Round,
    /// Bytes of the write-ahead log for each transaction.
    pub(crate) wal_bytes: f64,
    /// The database after it, in bytes.
    pub(crate) database_bytes: u64,
    pub(crate) service_kib: u64,
    /// The mix, one request per message, measured after it.
    pub(crate) mix: Round,
    /// Balances alone, one request per message, measured after it.
    pub(crate) reads: Round,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Allocations {
    pub(crate) requests: u64,
    /// Of a service that was started, and stopped without a request.
    pub(crate) at_rest: u64,
    /// Of one that answered these requests.
    pub(crate) at_work: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Soak {
    /// One round per minute.
    pub(crate) minutes: Vec<Round>,
    /// Memory of the service: seconds since the start, KiB.
    pub(crate) memory: Vec<(f64, u64)>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Overload {
    pub(crate) seconds: f64,
    /// How many messages the service takes at a time.
    pub(crate) prefetch: u64,
    pub(crate) requests_per_message: u64,
    /// Messages, as all that is counted here.
    pub(crate) published: u64,
    pub(crate) answered: u64,
    pub(crate) most_waiting: u64,
    /// Seconds from the last request until all were answered.
    pub(crate) until_empty: Option<f64>,
    /// Seconds from the last request until a single call was as fast as before, about.
    pub(crate) until_normal: Option<f64>,
    pub(crate) p50_before_micros: u64,
    pub(crate) p50_after_micros: u64,
    /// Seconds since the start, unanswered messages.
    pub(crate) waiting: Vec<(f64, u64)>,
    /// Seconds since the start, KiB.
    pub(crate) memory: Vec<(f64, u64)>,
}

impl Run {
    pub(crate) fn scenario(&self, name: &str) -> Option<&Scenario> {
        self.scenarios.iter().find(|scenario| scenario.name == name)
    }

    /// Writes the file anew; an interrupted run leaves the one before.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        let text = serde_json::to_string_pretty(self)
            .map_err(|source| Error::Content { path: path.to_owned(), source })?;
        let unfinished = path.with_extension("tmp");
        fs::write(&unfinished, text + "\n").map_err(failed)?;
        fs::rename(&unfinished, path).map_err(failed)
    }

    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text =
            fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        let run: Self =
            serde_json::from_str(&text).map_err(|source| Error::Content { path: path.to_owned(), source })?;
        if run.form != FORM {
            return Err(Error::Form { path: path.to_owned(), form: run.form });
        }
        Ok(run)
    }
}

impl Scenario {
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// The echo that a case is compared with: as many messages of the same size, measured in the same rounds.
    pub(crate) fn echo_of(&self, case: &Case) -> Option<&Case> {
        let (way, in_flight, batch) = (case.way, case.in_flight, case.batch);
        let way = if way == Way::Http { Way::Messages } else { way };
        self.cases.iter().find(|other| {
            other.subject == Subject::Echo
                && (other.way, other.in_flight, other.batch) == (way, in_flight, batch)
                && !other.rounds.is_empty()
        })
    }

    pub(crate) fn case(&self, subject: Subject, name: &str, in_flight: u32) -> Option<&Case> {
        let wanted =
            |case: &&Case| (case.subject, case.name.as_str(), case.in_flight) == (subject, name, in_flight);
        self.cases.iter().find(wanted).filter(|case| !case.rounds.is_empty())
    }
}
