//! The final state of a run: the files that the checker reads, besides the schedule and the histories.

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

pub const TICKERS: &str = "tickers.jsonl";
/// All postings, by wallet, ticker and version.
pub const POSTINGS: &str = "postings.jsonl";
/// Requests still in the work queue.
pub const WORK: &str = "work.jsonl";
pub const DEAD: &str = "dead.jsonl";
pub const EVENTS: &str = "events.jsonl";
pub const VERIFY: &str = "verify.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticker {
    pub name: String,
    pub scale: u8,
}

/// A row of `postings`. Money is as the database prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    pub wallet_id: i64,
    pub ticker: String,
    /// Its number in the chain.
    pub version: i64,
    pub transaction_id: Uuid,
    /// 0 opens it, 1 is the payee's side, 2 resolves it, 3 is the payee's side of that.
    pub leg: i16,
    pub operation: String,
    /// The status that this brought it into.
    pub status: String,
    /// Why that is Error.
    pub error: Option<String>,
    /// What was asked for, settled or released.
    pub amount: String,
    pub actual_after: String,
    pub frozen_after: String,
    /// The other wallet of a transfer.
    pub counterparty_wallet_id: Option<i64>,
    /// Microseconds since 1970.
    pub created_at: i64,
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
    pub routing_key: String,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    pub code: Option<i32>,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    pub settings: Settings,
    /// Whether a clock was put forward so far that the audit takes its rows for dated too late.
    pub dated_ahead: bool,
    /// By client.
    pub histories: BTreeMap<u32, Vec<Line>>,
    pub tickers: Vec<Ticker>,
    pub postings: Vec<Posting>,
    /// Requests still in the work queue.
    pub work: Vec<Queued>,
    pub dead: Vec<Queued>,
    pub events: Vec<Queued>,
    pub verified: Verified,
}

impl Records {
    /// Reads the folder of a run.
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
