//! Which request made which row: each row belongs to one request, and each request is applied at most once.

use std::collections::HashMap;

use florin_ledger::Decimal;
use uuid::Uuid;

use super::asked::{Ask, Requests};
use super::ledger::{Ledger, Row};
use super::{Rule, Verdict};

/// A request, and the place in it if it is a batch.
pub(super) type Place<'a> = (&'a str, usize);

#[derive(Debug, Default)]
pub(super) struct Origins<'a> {
    pub(super) of_transaction: HashMap<Uuid, Place<'a>>,
    pub(super) opened: HashMap<Place<'a>, Uuid>,
}

pub(super) fn check<'a>(ledger: &Ledger<'a>, requests: &Requests<'a>, verdict: &mut Verdict) -> Origins<'a> {
    let mut origins = Origins::default();
    for row in ledger.openings() {
        let id = row.posting.transaction_id;
        let Some((place, ask)) = opener(row, requests) else {
            let what = format!("nobody asked for transaction {id}: {:?}", row.posting);
            verdict.add(Rule::Invented, &[], what);
            continue;
        };
        if let Err(field) = agrees(ledger, row, ask) {
            let what = format!("transaction {id} has another {field} than was asked for");
            verdict.add(Rule::Invented, &[place.0], what);
        }
        // In an atomic batch, the operations before it count too, though no row of theirs is left.
        let refused = row.posting.error.as_deref() == Some("insufficient_funds");
        let actual = ledger.actual_before(row);
        if refused && row.amount <= actual && !requests.by_name[place.0].atomic {
            let what = format!("transaction {id}: {} was refused, and there was {actual}", row.amount);
            verdict.add(Rule::Transaction, &[place.0], what);
        }
        if let Some(other) = origins.opened.insert(place, id) {
            let what = format!("operation {} made transactions {other} and {id}", place.1);
            verdict.add(Rule::AppliedTwice, &[place.0], what);
        }
        origins.of_transaction.insert(id, place);
        check_resolution(ledger, row, requests, verdict);
    }
    origins
}

/// The request that a row says it is from, or whose identity it has.
fn opener<'a, 'r>(row: &Row<'a>, requests: &'r Requests<'a>) -> Option<(Place<'a>, &'r Ask)> {
    let posting = row.posting;
    if let Some(name) = &posting.request {
        let request = requests.by_name.get(name.as_str())?;
        let place = posting.place.unwrap_or(0);
        let ask = request.asks.get(place)?;
        let fits = request.own_id().is_none_or(|id| id == posting.transaction_id);
        return fits.then_some(((request.name, place), ask));
    }
    let names = requests.by_id.get(&posting.transaction_id)?;
    let mut asks = names.iter().map(|name| (*name, &requests.by_name[name].asks[0]));
    let (name, ask) = asks.find(|(_, ask)| ask.opens() && !ask.is_named())?;
    Some(((name, 0), ask))
}

fn agrees(ledger: &Ledger<'_>, row: &Row<'_>, ask: &Ask) -> Result<(), &'static str> {
    let posting = row.posting;
    let fields = [
        (posting.operation == ask.operation, "operation"),
        (posting.wallet_id == ask.wallet_id, "wallet"),
        (posting.ticker == ask.ticker, "ticker"),
        (Some(row.amount) == minor(ledger, &posting.ticker, ask), "amount"),
        (posting.counterparty_wallet_id == ask.to_wallet_id, "payee"),
        (posting.status == "Error" || (posting.status == "Created") == ask.pending, "status"),
    ];
    fields.iter().try_for_each(|(fits, field)| if *fits { Ok(()) } else { Err(*field) })
}

/// The requested amount in minor units.
pub(super) fn minor(ledger: &Ledger<'_>, ticker: &str, ask: &Ask) -> Option<i128> {
    let amount: Decimal = ask.amount?.0;
    amount.to_minor(*ledger.scales.get(ticker)?).ok()
}

/// A resolution was requested in this form, or the hold expired.
fn check_resolution(ledger: &Ledger<'_>, opened: &Row<'_>, requests: &Requests<'_>, verdict: &mut Verdict) {
    let id = opened.posting.transaction_id;
    let Some(end) = ledger.leg(id, 2) else { return };
    if end.posting.error.as_deref() == Some("expired") {
        verdict.seen.expired += 1;
        return;
    }
    let settled = end.posting.status == "Success";
    let wanted = |ask: &Ask| match settled {
        true => {
            let amount =
                ask.amount.map_or(Some(opened.amount), |_| minor(ledger, &opened.posting.ticker, ask));
            ask.operation == "settle" && amount == Some(end.amount)
        }
        false => ask.operation == "cancel",
    };
    let asks = requests.resolutions.get(&id).into_iter().flatten();
    let mut asks = asks.filter_map(|(name, place)| requests.by_name[name].asks.get(*place));
    if !asks.any(wanted) {
        verdict.add(
            Rule::Invented,
            &[],
            format!("nobody requested this resolution of {id}: {:?}", end.posting),
        );
    }
}
