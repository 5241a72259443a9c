//! Reads: never older than what the client knew when it asked.
//!
//! For each client, the lines of its history are gone through in their order. What an answer proves (a row
//! that was committed, a version that was read) counts for the reads that are sent for the first time after
//! it.

use std::collections::{BTreeMap, HashMap};

use florin_wire::{BalanceBody, PostingBody, Reply, TransactionBody};

use super::asked::{Request, Requests};
use super::ledger::{Chain, Ledger, Row, name};
use super::{Rule, Verdict};
use crate::history::{Line, What};
use crate::record::Records;

/// The versions that a client has proof of.
type Known<'a> = HashMap<Chain<'a>, i64>;

pub(super) fn check<'a>(
    records: &'a Records,
    ledger: &Ledger<'a>,
    requests: &Requests<'a>,
    verdict: &mut Verdict,
) {
    for history in records.histories.values() {
        let mut client = Client { ledger, requests, known: Known::new(), sent: HashMap::new() };
        for line in history {
            client.line(line, verdict);
        }
    }
}

struct Client<'a, 'r> {
    ledger: &'r Ledger<'a>,
    requests: &'r Requests<'a>,
    known: Known<'a>,
    /// What was known of the chains that a read is about, when it was first sent.
    sent: HashMap<&'a str, Known<'a>>,
}

impl<'a> Client<'a, '_> {
    fn line(&mut self, line: &'a Line, verdict: &mut Verdict) {
        let Some(request) = self.requests.by_name.get(line.request.as_str()) else { return };
        match &line.what {
            What::Send { attempt: 1, .. } if !request.is_batch() => {
                let chains = self.chains(request);
                let known = chains.map(|chain| (chain, self.known.get(&chain).copied().unwrap_or(0)));
                self.sent.insert(request.name, known.collect());
            }
            What::Answer { text, .. } => {
                let Ok(reply) = Reply::from_json(text.as_bytes()) else { return };
                self.learn(&reply);
                let read = match request.operation {
                    "balance" => self.balance(request, &reply),
                    "history" => self.history(request, &reply),
                    "transaction" => self.transaction(request, &reply),
                    _ => return,
                };
                verdict.seen.reads += 1;
                if let Err(what) = read {
                    verdict.add(Rule::Read, &[request.name], format!("{what}: {text}"));
                }
            }
            _ => {}
        }
    }

    /// The chains that a read is about.
    fn chains(&self, request: &Request<'_>) -> impl Iterator<Item = Chain<'a>> + use<'a> {
        let ask = &request.asks[0];
        let of_transaction = ask.transaction_id.and_then(|id| self.ledger.leg(id, 0));
        let wallet = match request.operation {
            "balance" | "history" => Some(ask.wallet_id),
            "transaction" => of_transaction.map(|row| row.posting.wallet_id),
            _ => None,
        };
        let tickers: Vec<&'a str> = self.ledger.scales.keys().copied().collect();
        wallet
            .into_iter()
            .flat_map(move |wallet| tickers.clone().into_iter().map(move |ticker| (wallet, ticker)))
    }

    /// The rows that an answer proves.
    fn learn(&mut self, reply: &Reply) {
        let results = reply.results().unwrap_or_default();
        let replies = results.into_iter().map(|result| result.into_reply().0);
        for reply in replies.chain([reply.clone()]) {
            let receipt = reply.receipt().ok();
            let id = receipt.as_ref().map(|receipt| receipt.transaction_id).or(reply.transaction_id);
            let Some(id) = id else { continue };
            // The answer to a resolution has an error or a settled amount; that to an opening has neither.
            let legs = match receipt {
                Some(receipt) if receipt.error.is_some() || receipt.settled_amount.is_some() => 0..=3,
                _ => 0..=1,
            };
            for row in legs.filter_map(|leg| self.ledger.leg(id, leg)) {
                self.know(row);
            }
        }
    }

    fn know(&mut self, row: &Row<'a>) {
        let chain = (row.posting.wallet_id, row.posting.ticker.as_str());
        let known = self.known.entry(chain).or_default();
        *known = (*known).max(row.posting.version);
    }

    /// Each balance existed, at a version that is not older than what was known.
    fn balance(&mut self, request: &Request<'a>, reply: &Reply) -> Result<(), String> {
        let sent = self.sent.remove(request.name).unwrap_or_default();
        if !reply.is_done() {
            return if sent.values().any(|version| *version > 0) {
                Err("it was refused".into())
            } else {
                Ok(())
            };
        }
        let balances = reply.balances().map_err(|error| error.to_string())?;
        for (chain, known) in &sent {
            let version = self.version(*chain, *known, &balances)?;
            let latest = self.known.entry(*chain).or_default();
            *latest = (*latest).max(version);
        }
        // A copy of the answer is compared with the same.
        self.sent.insert(request.name, sent);
        Ok(())
    }

    /// The first version from `known` on that has this balance.
    fn version(&self, chain: Chain<'a>, known: i64, balances: &BalanceBody) -> Result<i64, String> {
        let scale = self.ledger.scales[chain.1];
        let minor = |of: &BTreeMap<String, florin_wire::JsonDecimal>| {
            of.get(chain.1)
                .map_or(Ok(0), |amount| amount.0.to_minor(scale))
                .map_err(|error| format!("{error:?}"))
        };
        let read = (minor(&balances.actual_balance)?, minor(&balances.frozen_balance)?);
        if known == 0 && read == (0, 0) {
            return Ok(0);
        }
        let rows = self.ledger.chains.get(&chain).map(Vec::as_slice).unwrap_or_default();
        let mut later = rows.iter().filter(|row| row.posting.version >= known);
        let found = later.find(|row| (row.actual, row.frozen) == read);
        found.map(|row| row.posting.version).ok_or_else(|| {
            let older = rows.iter().rev().find(|row| (row.actual, row.frozen) == read);
            let older = older.map(|row| row.posting.version);
            format!("{} was read as of version {older:?}, and version {known} was known", name(chain))
        })
    }

    /// Each posting exists, and the newest of a ticker is not older than what was known.
    fn history(&mut self, request: &Request<'a>, reply: &Reply) -> Result<(), String> {
        let sent = self.sent.get(request.name).cloned().unwrap_or_default();
        if !reply.is_done() {
            return if sent.values().any(|version| *version > 0) {
                Err("it was refused".into())
            } else {
                Ok(())
            };
        }
        let wallet = request.asks[0].wallet_id;
        let page = reply.history().map_err(|error| error.to_string())?;
        let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
        for posting in &page.postings {
            let chains = &self.ledger.chains;
            let found = chains.get(&(wallet, posting.ticker.as_str())).and_then(|rows| {
                let index = usize::try_from(posting.version.checked_sub(1)?).ok()?;
                rows.get(index)
            });
            let Some(row) = found.filter(|row| self.is(row, posting)) else {
                return Err(format!("there is no such posting: {posting:?}"));
            };
            self.know(row);
            newest.entry(&posting.ticker).or_insert(posting.version);
        }
        for ((_, ticker), known) in &sent {
            let read = newest.get(ticker).copied();
            let complete = page.next.is_none();
            if read.map_or(complete && *known > 0, |version| version < *known) {
                return Err(format!("{ticker} was read up to {read:?}, and version {known} was known"));
            }
        }
        Ok(())
    }

    fn is(&self, row: &Row<'_>, posting: &PostingBody) -> bool {
        let scale = self.ledger.scales[row.posting.ticker.as_str()];
        let told = [&posting.amount, &posting.actual_balance, &posting.frozen_balance];
        let told = told.map(|amount| amount.0.to_minor(scale).ok());
        told == [Some(row.amount), Some(row.actual), Some(row.frozen)]
            && posting.transaction_id == row.posting.transaction_id
            && posting.version == row.posting.version
            && posting.status == row.posting.status
            && posting.error == row.posting.error
    }

    /// The transaction had this status, and a resolution is reported once it was known.
    fn transaction(&mut self, request: &Request<'a>, reply: &Reply) -> Result<(), String> {
        let Some(id) = request.asks[0].transaction_id else { return Ok(()) };
        let Ok(TransactionBody { status, error, .. }) = reply.transaction() else {
            return Err("a transaction that is known was not found".into());
        };
        let opened = self.ledger.leg(id, 0).ok_or("there is no such transaction")?;
        let ended = self.ledger.leg(id, 2);
        let chain = (opened.posting.wallet_id, opened.posting.ticker.as_str());
        let known = self.sent.get(request.name).and_then(|sent| sent.get(&chain)).copied().unwrap_or(0);
        let is = |row: &&Row<'_>| row.posting.status == status && row.posting.error == error;
        let read = ended.filter(is).or_else(|| Some(opened).filter(is)).ok_or("it never had this status")?;
        let end_is_known = ended.is_some_and(|end| end.posting.version <= known);
        if end_is_known && read.posting.leg == 0 {
            return Err(format!("it was resolved at version {:?}", ended.map(|end| end.posting.version)));
        }
        self.know(read);
        Ok(())
    }
}
