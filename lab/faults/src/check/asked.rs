//! The clients' requests and their answers.

use std::collections::{BTreeMap, HashMap};

use florin_wire::JsonDecimal;
use serde::Deserialize;
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::{Rule, Verdict};
use crate::history::What;
use crate::record::Records;

/// A request, with all its attempts and answers.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) name: &'a str,
    pub(super) operation: &'a str,
    pub(super) message_id: Option<&'a str>,
    /// One; or all of a batch.
    pub(super) asks: Vec<Ask>,
    pub(super) atomic: bool,
    pub(super) attempts: usize,
    pub(super) confirmed: usize,
    pub(super) not_taken: usize,
    pub(super) answers: Vec<&'a str>,
}

/// One operation that is asked for. Fields that it does not have are empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ask {
    pub(super) operation: String,
    pub(super) id: Option<String>,
    pub(super) wallet_id: i64,
    pub(super) ticker: String,
    pub(super) amount: Option<JsonDecimal>,
    pub(super) to_wallet_id: Option<i64>,
    pub(super) pending: bool,
    pub(super) transaction_id: Option<Uuid>,
    metadata: Option<IgnoredAny>,
    operations: Vec<Ask>,
    atomic: bool,
}

impl Ask {
    /// Whether the rows that it makes name it.
    pub(super) const fn is_named(&self) -> bool {
        self.metadata.is_some()
    }

    pub(super) fn opens(&self) -> bool {
        ["invoice", "withdraw", "transfer"].contains(&self.operation.as_str())
    }

    pub(super) fn resolves(&self) -> bool {
        ["settle", "cancel"].contains(&self.operation.as_str())
    }
}

impl Request<'_> {
    pub(super) fn is_batch(&self) -> bool {
        self.operation == florin_wire::BATCH
    }

    /// The transaction that it would open under its own identity, if that is a UUID.
    pub(super) fn own_id(&self) -> Option<Uuid> {
        let id = self.message_id.filter(|_| !self.is_batch())?;
        Uuid::parse_str(id).ok()
    }
}

#[derive(Debug)]
pub(super) struct Requests<'a> {
    pub(super) by_name: BTreeMap<&'a str, Request<'a>>,
    /// The requests with this transaction id for an identity.
    pub(super) by_id: HashMap<Uuid, Vec<&'a str>>,
    /// The requests that resolve a transaction, with the place in a batch.
    pub(super) resolutions: HashMap<Uuid, Vec<(&'a str, usize)>>,
}

impl<'a> Requests<'a> {
    pub(super) fn read(records: &'a Records, verdict: &mut Verdict) -> Self {
        let mut by_name: BTreeMap<&str, Request<'_>> = BTreeMap::new();
        for line in records.histories.values().flatten() {
            let name = line.request.as_str();
            if let What::Send { operation, message_id, body, .. } = &line.what {
                let known = by_name.entry(name).or_insert_with(|| read(name, operation, message_id, body));
                known.attempts += 1;
                continue;
            }
            if matches!(line.what, What::Unknown { .. }) {
                continue;
            }
            let Some(request) = by_name.get_mut(name) else {
                verdict.add(Rule::WrongAnswer, &[name], format!("nobody asked for {:?}", line.what));
                continue;
            };
            match &line.what {
                What::Confirmed { .. } => request.confirmed += 1,
                What::NotTaken { .. } => request.not_taken += 1,
                What::Answer { text, .. } => request.answers.push(text),
                What::Unknown { .. } | What::Send { .. } => {}
            }
        }
        let mut requests = Self { by_name, by_id: HashMap::new(), resolutions: HashMap::new() };
        for request in requests.by_name.values() {
            if let Some(id) = request.own_id() {
                requests.by_id.entry(id).or_default().push(request.name);
            }
            for (place, ask) in request.asks.iter().enumerate().filter(|(_, ask)| ask.resolves()) {
                if let Some(id) = ask.transaction_id {
                    requests.resolutions.entry(id).or_default().push((request.name, place));
                }
            }
        }
        requests.count(verdict);
        requests
    }

    fn count(&self, verdict: &mut Verdict) {
        let seen = &mut verdict.seen;
        seen.requests = self.by_name.len();
        for request in self.by_name.values() {
            seen.attempts += request.attempts;
            seen.confirmed += request.confirmed;
            seen.answers += request.answers.len();
            seen.repeated += usize::from(request.answers.len() > 1);
            seen.unanswered += usize::from(request.answers.is_empty());
        }
    }
}

fn read<'a>(name: &'a str, operation: &'a str, message_id: &'a Option<String>, body: &str) -> Request<'a> {
    let mut ask: Ask = serde_json::from_str(body).unwrap_or_default();
    operation.clone_into(&mut ask.operation);
    let atomic = ask.atomic;
    let asks = if operation == florin_wire::BATCH { ask.operations } else { vec![ask] };
    let message_id = message_id.as_deref();
    Request {
        name,
        operation,
        message_id,
        asks,
        atomic,
        attempts: 0,
        confirmed: 0,
        not_taken: 0,
        answers: Vec::new(),
    }
}
