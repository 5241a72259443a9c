//! The rows, by chain and by transaction, and the rules that they must obey by themselves.

use std::collections::{BTreeMap, HashMap};

use florin_ledger::{Decimal, Scale};
use uuid::Uuid;

use super::{Rule, Verdict};
use crate::record::{Posting, Records};

/// A row with its money in minor units.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) posting: &'a Posting,
    pub(super) amount: i128,
    pub(super) actual: i128,
    pub(super) frozen: i128,
}

pub(super) type Chain<'a> = (i64, &'a str);

#[derive(Debug)]
pub(super) struct Ledger<'a> {
    pub(super) scales: BTreeMap<&'a str, Scale>,
    /// In the order of their versions.
    pub(super) chains: BTreeMap<Chain<'a>, Vec<Row<'a>>>,
    /// The places of the legs of each transaction: chain, and index in it.
    transactions: HashMap<Uuid, BTreeMap<i16, (Chain<'a>, usize)>>,
}

impl<'a> Ledger<'a> {
    pub(super) fn read(records: &'a Records, verdict: &mut Verdict) -> Self {
        let scales: BTreeMap<&str, Scale> = records
            .tickers
            .iter()
            .filter_map(|ticker| Some((ticker.name.as_str(), Scale::new(ticker.scale)?)))
            .collect();
        let mut ledger = Self { scales, chains: BTreeMap::new(), transactions: HashMap::new() };
        for posting in &records.postings {
            let chain = (posting.wallet_id, posting.ticker.as_str());
            let Some(row) = ledger.row(posting) else {
                let what = format!("{}: money that its ticker cannot hold: {posting:?}", name(chain));
                verdict.add(Rule::Chain, &[], what);
                continue;
            };
            let rows = ledger.chains.entry(chain).or_default();
            let place = (chain, rows.len());
            rows.push(row);
            let legs = ledger.transactions.entry(posting.transaction_id).or_default();
            if legs.insert(posting.leg, place).is_some() {
                let what = format!("transaction {} has leg {} twice", posting.transaction_id, posting.leg);
                verdict.add(Rule::Transaction, &[], what);
            }
        }
        verdict.seen.postings = records.postings.len();
        verdict.seen.chains = ledger.chains.len();
        ledger
    }

    fn row(&self, posting: &'a Posting) -> Option<Row<'a>> {
        let scale = *self.scales.get(posting.ticker.as_str())?;
        let minor = |text: &str| text.parse::<Decimal>().ok()?.to_minor(scale).ok();
        Some(Row {
            posting,
            amount: minor(&posting.amount)?,
            actual: minor(&posting.actual_after)?,
            frozen: minor(&posting.frozen_after)?,
        })
    }

    pub(super) fn leg(&self, transaction_id: Uuid, leg: i16) -> Option<&Row<'a>> {
        let (chain, index) = self.transactions.get(&transaction_id)?.get(&leg)?;
        self.chains.get(chain)?.get(*index)
    }

    /// The available balance before a row.
    pub(super) fn actual_before(&self, row: &Row<'_>) -> i128 {
        let rows = self.chains.get(&(row.posting.wallet_id, row.posting.ticker.as_str()));
        let before = |before: &&Row<'_>| before.posting.version == row.posting.version - 1;
        let index = usize::try_from(row.posting.version - 2).ok();
        index.and_then(|index| rows?.get(index)).filter(before).map_or(0, |row| row.actual)
    }

    /// All rows that open a transaction.
    pub(super) fn openings(&self) -> impl Iterator<Item = &Row<'a>> {
        self.chains.values().flatten().filter(|row| row.posting.leg == 0)
    }

    pub(super) fn check(&self, verdict: &mut Verdict) {
        for (chain, rows) in &self.chains {
            self.check_chain(*chain, rows, verdict);
        }
        for transaction_id in self.transactions.keys() {
            if let Err(why) = self.check_transaction(*transaction_id) {
                verdict.add(Rule::Transaction, &[], format!("transaction {transaction_id}: {why}"));
            }
        }
        self.check_conservation(verdict);
    }

    fn check_chain(&self, chain: Chain<'_>, rows: &[Row<'_>], verdict: &mut Verdict) {
        let (mut actual, mut frozen, mut version, mut at) = (0_i128, 0_i128, 0_i64, i64::MIN);
        for row in rows {
            let posting = row.posting;
            let place = format!("{} version {}", name(chain), posting.version);
            if row.actual < 0 || row.frozen < 0 {
                let what = format!("{place} leaves {} and {} frozen", row.actual, row.frozen);
                verdict.add(Rule::Negative, &[], what);
            }
            if posting.version != version + 1 {
                verdict.add(Rule::Chain, &[], format!("{place} comes after version {version}"));
            }
            if posting.created_at < at {
                verdict.add(Rule::Chain, &[], format!("{place} is older than the one before"));
            }
            match self.change(row) {
                Some(change) if (actual + change.0, frozen + change.1) == (row.actual, row.frozen) => {}
                Some(change) => {
                    let what = format!(
                        "{place}: {actual} and {frozen} frozen, changed by {} and {}, became {} and {}",
                        change.0, change.1, row.actual, row.frozen
                    );
                    verdict.add(Rule::Chain, &[], what);
                }
                None => verdict.add(Rule::Chain, &[], format!("{place} is no change that there can be")),
            }
            (actual, frozen, version, at) = (row.actual, row.frozen, posting.version, posting.created_at);
        }
    }

    /// The changes of actual and frozen balance.
    fn change(&self, row: &Row<'_>) -> Option<(i128, i128)> {
        let posting = row.posting;
        let (amount, invoice) = (row.amount, posting.operation == "invoice");
        match (posting.leg, posting.status.as_str()) {
            (0, "Error") => Some((0, 0)),
            (0, "Created") => Some(if invoice { (0, amount) } else { (-amount, amount) }),
            (0, "Success") => Some(if invoice { (amount, 0) } else { (-amount, 0) }),
            (1 | 3, "Success") => Some((amount, 0)),
            (2, status) => {
                let held = self.leg(posting.transaction_id, 0)?.amount;
                let settled = if status == "Success" { amount } else { 0 };
                Some((if invoice { settled } else { held - settled }, -held))
            }
            _ => None,
        }
    }

    fn check_transaction(&self, transaction_id: Uuid) -> Result<(), &'static str> {
        let leg = |leg| self.leg(transaction_id, leg);
        let opened = leg(0).ok_or("it was never opened")?;
        let posting = opened.posting;
        let transfer = posting.operation == "transfer";
        if leg(1).is_some() != (transfer && posting.status == "Success") {
            return Err("the payee's side does not fit");
        }
        let ended = leg(2);
        if let Some(end) = ended {
            let ends = end.posting;
            if posting.status != "Created" {
                return Err("it was final, and was ended");
            }
            if ends.status == "Created"
                || (ends.wallet_id, &ends.ticker) != (posting.wallet_id, &posting.ticker)
            {
                return Err("its end does not fit");
            }
            if end.amount > opened.amount {
                return Err("more was settled than held");
            }
            let expired = ends.error.as_deref() == Some("expired");
            if expired && posting.expires_at.is_none_or(|expires_at| ends.created_at < expires_at) {
                return Err("it expired before its time");
            }
        }
        let settled = ended.is_some_and(|end| end.posting.status == "Success");
        if leg(3).is_some() != (transfer && settled) {
            return Err("the payee's side of the end does not fit");
        }
        for (own, payee) in [(Some(opened), leg(1)), (ended, leg(3))] {
            let (Some(own), Some(payee)) = (own, payee) else { continue };
            let there = (Some(payee.posting.wallet_id), &payee.posting.ticker, payee.amount);
            if there != (posting.counterparty_wallet_id, &posting.ticker, own.amount) {
                return Err("the payee got something else");
            }
        }
        Ok(())
    }

    fn check_conservation(&self, verdict: &mut Verdict) {
        let mut moved: BTreeMap<&str, i128> = BTreeMap::new();
        for opened in self.openings() {
            let posting = opened.posting;
            let ended = self.leg(posting.transaction_id, 2);
            let sum = match (posting.operation.as_str(), posting.status.as_str(), ended) {
                ("invoice", "Created", None) | ("invoice", "Success", _) => opened.amount,
                ("invoice", "Created", Some(end)) if end.posting.status == "Success" => end.amount,
                ("withdraw", "Success", _) => -opened.amount,
                ("withdraw", "Created", Some(end)) if end.posting.status == "Success" => -end.amount,
                _ => 0,
            };
            *moved.entry(posting.ticker.as_str()).or_default() += sum;
        }
        for ((_, ticker), rows) in &self.chains {
            let held = rows.last().map_or(0, |row| row.actual + row.frozen);
            *moved.entry(ticker).or_default() -= held;
        }
        for (ticker, difference) in moved.iter().filter(|(_, difference)| **difference != 0) {
            let what = format!("{difference} minor units of {ticker} are missing (or too many, below zero)");
            verdict.add(Rule::Conservation, &[], what);
        }
    }
}

pub(super) fn name(chain: Chain<'_>) -> String {
    format!("wallet {} {}", chain.0, chain.1)
}
