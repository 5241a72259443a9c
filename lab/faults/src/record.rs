//! What is left of a run when everything has ended: the files that the checker reads, beside schedule and histories.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::files::read_lines;
use crate::history::{self, Line};
use crate::kind::Kind;
use crate::plan::{self, Fault, Settings};

/// `florin verify` takes a row that is dated later than this for wrong.
const AUDIT_TOLERANCE_SECS: i64 = 60;

/// The tickers.
pub const TICKERS: &str = "tickers.jsonl";
/// All postings, by wallet, ticker and version.
pub const POSTINGS: &str = "postings.jsonl";
/// What is left in the work queue.
pub const WORK: &str = "work.jsonl";
/// The dead letters.
pub const DEAD: &str = "dead.jsonl";
/// All events.
pub const EVENTS: &str = "events.jsonl";
/// What `florin verify` says.
pub const VERIFY: &str = "verify.json";

/// A ticker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticker {
    /// Its name.
    pub name: String,
    /// Its decimal places.
    pub scale: u8,
}

/// A row of `postings`. Money is as the database prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// Whose balance.
    pub wallet_id: i64,
    /// Of which ticker.
    pub ticker: String,
    /// Its number in the chain.
    pub version: i64,
    /// The transaction.
    pub transaction_id: Uuid,
    /// 0 opens it, 1 is the payee's side, 2 ends it, 3 is the payee's side of that.
    pub leg: i16,
    /// What opened the transaction.
    pub operation: String,
    /// The status that this brought it into.
    pub status: String,
    /// Why that is Error.
    pub error: Option<String>,
    /// What was asked for, settled or released.
    pub amount: String,
    /// The balance after it.
    pub actual_after: String,
    /// What is frozen after it.
    pub frozen_after: String,
    /// The other wallet of a transfer.
    pub counterparty_wallet_id: Option<i64>,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// When the transaction expires.
    pub expires_at: Option<i64>,
    /// The request that the client had named in its metadata.
    pub request: Option<String>,
    /// The place in a batch that it had named there.
    pub place: Option<usize>,
}

/// A message that was found in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// The client's name for the request.
    pub request: String,
    /// Its routing key.
    pub routing_key: String,
    /// Its body.
    pub text: String,
}

/// What `florin verify` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it printed.
    pub text: String,
}

/// All records of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    /// Of the schedule.
    pub settings: Settings,
    /// Whether a clock was put forward so far that the audit takes its rows for dated too late.
    pub dated_ahead: bool,
    /// By client.
    pub histories: BTreeMap<u32, Vec<Line>>,
    /// All tickers.
    pub tickers: Vec<Ticker>,
    /// All postings.
    pub postings: Vec<Posting>,
    /// What is left in the work queue.
    pub work: Vec<Queued>,
    /// The dead letters.
    pub dead: Vec<Queued>,
    /// All events.
    pub events: Vec<Queued>,
    /// The audit.
    pub verified: Verified,
}

impl Records {
    /// Reads the folder of a run.
    ///
    /// # Errors
    ///
    /// When a file is missing or cannot be read.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let plan = fs::read_to_string(folder.join(plan::FILE))?;
        let (settings, faults) = plan.split_once('\n').unwrap_or_default();
        let settings: Settings = serde_json::from_str(settings)?;
        let faults: Vec<Fault> = faults.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let ahead = |fault: &Fault| fault.kind == Kind::ClockStep && fault.amount > AUDIT_TOLERANCE_SECS;
        let mut histories = BTreeMap::new();
        for client in 1..=settings.clients + settings.http_clients {
            histories.insert(client, read_lines(&history::path(folder, client))?);
        }
        Ok(Self {
            settings,
            dated_ahead: faults.iter().any(ahead),
            histories,
            tickers: read_lines(&folder.join(TICKERS))?,
            postings: read_lines(&folder.join(POSTINGS))?,
            work: read_lines(&folder.join(WORK))?,
            dead: read_lines(&folder.join(DEAD))?,
            events: read_lines(&folder.join(EVENTS))?,
            verified: serde_json::from_slice(&fs::read(folder.join(VERIFY))?)?,
        })
    }
}
