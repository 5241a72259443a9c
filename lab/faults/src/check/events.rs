//! The events: every row has one, with the same values. Events may be repeated and come in any order.

use std::collections::{HashMap, HashSet};

use florin_wire::{Event, EventBalance, Events};

use super::ledger::{Ledger, Row, name};
use super::origin::Origins;
use super::{Rule, Verdict};
use crate::record::Records;

pub(super) fn check(records: &Records, ledger: &Ledger<'_>, origins: &Origins<'_>, verdict: &mut Verdict) {
    let mut told: HashMap<(i64, String), HashSet<i64>> = HashMap::new();
    for message in &records.events {
        let events = match Events::from_json(message.text.as_bytes()) {
            Ok(Events { events }) => events,
            Err(error) => {
                verdict.add(Rule::Event, &[], format!("cannot be read ({error}): {}", message.text));
                continue;
            }
        };
        verdict.seen.events += events.len();
        for event in &events {
            if event.routing_key() != message.routing_key {
                let what = format!("sent under {}: {}", message.routing_key, message.text);
                verdict.add(Rule::Event, &[], what);
            }
            for balance in &event.balances {
                if let Err(why) = check_balance(ledger, event, balance) {
                    verdict.add(Rule::Event, &[], format!("{why}: {}", message.text));
                }
                told.entry((balance.wallet_id, balance.ticker.clone())).or_default().insert(balance.version);
            }
        }
    }
    // The events of requests that are still queued are yet to come.
    let waiting: HashSet<&str> =
        records.work.iter().chain(&records.dead).map(|queued| queued.request.as_str()).collect();
    for (chain, rows) in &ledger.chains {
        let told = told.get(&(chain.0, chain.1.to_owned()));
        let missing = |row: &&Row<'_>| told.is_none_or(|told| !told.contains(&row.posting.version));
        for row in rows.iter().filter(missing) {
            let by = origins.of_transaction.get(&row.posting.transaction_id);
            // A resolution belongs to another request, which may be queued as well.
            if !by.is_some_and(|by| waiting.contains(by.0)) && (row.posting.leg < 2 || waiting.is_empty()) {
                let by: Vec<&str> = by.map(|by| by.0).into_iter().collect();
                let what = format!("{} version {} has no event", name(*chain), row.posting.version);
                verdict.add(Rule::Event, &by, what);
            }
        }
    }
}

fn check_balance(ledger: &Ledger<'_>, event: &Event, balance: &EventBalance) -> Result<(), &'static str> {
    let rows =
        ledger.chains.get(&(balance.wallet_id, balance.ticker.as_str())).ok_or("there is no such balance")?;
    let index = balance.version.checked_sub(1).and_then(|index| usize::try_from(index).ok());
    let row = index.and_then(|index| rows.get(index)).ok_or("there is no such version")?;
    let scale = ledger.scales[row.posting.ticker.as_str()];
    let told = [balance.actual_balance, balance.frozen_balance].map(|amount| amount.0.to_minor(scale).ok());
    if told != [Some(row.actual), Some(row.frozen)] {
        return Err("the balance is another one");
    }
    if (event.transaction.transaction_id, &event.transaction.status)
        != (row.posting.transaction_id, &row.posting.status)
    {
        return Err("the version is from another step");
    }
    Ok(())
}
