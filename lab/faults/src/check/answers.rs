//! The answers: each confirmed request has one, the same however often it came, and what it says is in the
//! ledger.

use std::collections::HashMap;

use florin_wire::{Receipt, Reply, ResultBody};

use super::asked::{Ask, Request, Requests};
use super::ledger::Ledger;
use super::origin::{Origins, Place, minor};
use super::{Rule, Verdict};
use crate::record::Records;

/// How an answer in a batch says that it is a replay. The result is JSON text inside JSON, hence the
/// backslashes.
const REPLAYED: &str = r#",\"replayed\":true"#;
/// Refused resolutions: they are not stored, so a retry may get another answer.
const NOT_KEPT: [&str; 4] = ["exceeds_pending", "already_final", "unknown_transaction", "batch_failed"];

pub(super) fn check(
    records: &Records,
    ledger: &Ledger<'_>,
    requests: &Requests<'_>,
    origins: &Origins<'_>,
    verdict: &mut Verdict,
) {
    let mut left: HashMap<&str, usize> = HashMap::new();
    for queued in records.work.iter().chain(&records.dead) {
        *left.entry(queued.request.as_str()).or_default() += 1;
    }
    for request in requests.by_name.values() {
        check_lost(request, left.get(request.name).copied().unwrap_or(0), verdict);
        let read: Vec<Vec<(Reply, bool)>> =
            request.answers.iter().filter_map(|text| results(request, text)).collect();
        if read.len() != request.answers.len() {
            let what = format!("an answer cannot be read: {:?}", request.answers);
            verdict.add(Rule::WrongAnswer, &[request.name], what);
            continue;
        }
        check_same(request, &read, verdict);
        for replies in &read {
            check_atomic(request, replies, verdict);
            for (place, (ask, (reply, _))) in request.asks.iter().zip(replies).enumerate() {
                let place = (request.name, place);
                let checked = if ask.opens() {
                    check_opening(ledger, origins, place, reply)
                } else if ask.resolves() {
                    check_resolution(ledger, ask, reply)
                } else {
                    Ok(())
                };
                if let Err((rule, why)) = checked {
                    verdict.add(rule, &[request.name], format!("operation {}: {why}: {reply:?}", place.1));
                }
            }
        }
    }
}

/// Each attempt that the broker confirmed gets an answer of its own, for it is acked only after that. An
/// attempt that was not confirmed may be answered too.
fn check_lost(request: &Request<'_>, left: usize, verdict: &mut Verdict) {
    let taken = request.confirmed.saturating_sub(request.not_taken);
    if taken > request.answers.len() + left {
        let what = format!(
            "{taken} attempts were confirmed, {} answers came, {left} are queued or dead letters",
            request.answers.len()
        );
        verdict.add(Rule::Lost, &[request.name], what);
    }
}

/// The reply, or those to all operations of a batch, with whether each repeats an earlier one as far as a
/// batch says so. None when it cannot be read.
fn results(request: &Request<'_>, text: &str) -> Option<Vec<(Reply, bool)>> {
    let reply = Reply::from_json(text.as_bytes()).ok()?;
    if reply.operation != request.operation {
        return None;
    }
    if !request.is_batch() {
        return Some(vec![(reply, false)]);
    }
    let results = reply.results().ok()?;
    let fits = results.len() == request.asks.len();
    fits.then(|| results.into_iter().map(ResultBody::into_reply).collect())
}

/// What moved money is answered in the same bytes each time. Reads, and refusals that are not stored, are
/// decided again.
fn check_same(request: &Request<'_>, read: &[Vec<(Reply, bool)>], verdict: &mut Verdict) {
    let [first, others @ ..] = read else { return };
    let bytes = |text: &str| text.replace(REPLAYED, "");
    if request.asks.iter().all(Ask::opens) {
        let first = bytes(request.answers[0]);
        if request.answers.iter().any(|text| bytes(text) != first) {
            let what = format!("different answers: {:?}", request.answers);
            verdict.add(Rule::TwoAnswers, &[request.name], what);
        }
        return;
    }
    let kept = |ask: &Ask, reply: &Reply| {
        ask.opens() || ask.resolves() && reply.error.as_deref().is_none_or(|error| !NOT_KEPT.contains(&error))
    };
    // The reason of a batch that failed names an operation that may be decided in another way the next time.
    let told = |reply: &Reply| (reply.code, reply.error.clone(), reply.transaction_id, reply.body.clone());
    for other in others {
        for ((ask, (one, _)), (other, _)) in request.asks.iter().zip(first).zip(other) {
            if kept(ask, one) && kept(ask, other) && told(one) != told(other) {
                let what = format!("different answers: {one:?} and {other:?}");
                verdict.add(Rule::TwoAnswers, &[request.name], what);
            }
        }
    }
}

/// All are done, or none. A resolution that was there before is reported as done in any case.
fn check_atomic(request: &Request<'_>, replies: &[(Reply, bool)], verdict: &mut Verdict) {
    let results =
        request.asks.iter().zip(replies).filter(|(ask, (_, replayed))| !(ask.resolves() && *replayed));
    let (done, refused): (Vec<_>, Vec<_>) = results.partition(|(_, (reply, _))| reply.is_done());
    if request.atomic && !done.is_empty() && !refused.is_empty() {
        let what =
            format!("of an atomic batch, {} operations were done, {} refused", done.len(), refused.len());
        verdict.add(Rule::WrongAnswer, &[request.name], what);
    }
}

type Checked = Result<(), (Rule, &'static str)>;

fn check_opening(ledger: &Ledger<'_>, origins: &Origins<'_>, place: Place<'_>, reply: &Reply) -> Checked {
    let no_row = |why| Err((Rule::AnswerWithoutRow, why));
    let receipt = reply.receipt();
    let id = receipt.as_ref().ok().map(|receipt| receipt.transaction_id).or(reply.transaction_id);
    let Some(id) = id else {
        // A refusal that is not stored. The identity belongs to another request, whatever this one is
        // answered.
        return match origins.opened.get(&place) {
            Some(_) => Err((Rule::WrongAnswer, "it was refused, and applied")),
            None if reply.is_done() => no_row("there is no receipt"),
            None => Ok(()),
        };
    };
    let Some(row) = ledger.leg(id, 0) else { return no_row("its transaction is not in the ledger") };
    if origins.of_transaction.get(&id) != Some(&place) {
        return no_row("its transaction is that of another request");
    }
    let status = match reply.code {
        200 => "Success",
        202 => "Created",
        _ => "Error",
    };
    let told = receipt.map_or("Error".to_owned(), |receipt| receipt.status);
    if (row.posting.status.as_str(), told.as_str()) != (status, status) {
        return no_row("its transaction has another status");
    }
    if row.posting.error != reply.error {
        return no_row("its transaction was refused for another reason");
    }
    Ok(())
}

fn check_resolution(ledger: &Ledger<'_>, ask: &Ask, reply: &Reply) -> Checked {
    let wrong = |why| Err((Rule::WrongAnswer, why));
    let Some(id) = ask.transaction_id else { return Ok(()) };
    if reply.is_done() {
        let receipt = reply.receipt().map_err(|_| (Rule::WrongAnswer, "there is no receipt"))?;
        return ended(ledger, &receipt);
    }
    let Some(opened) = ledger.leg(id, 0) else {
        return wrong("it is asked for a transaction that is not there");
    };
    match reply.error.as_deref() {
        Some("unknown_transaction") => wrong("the transaction had been answered before"),
        Some("exceeds_pending") => match minor(ledger, &opened.posting.ticker, ask) {
            Some(amount) if amount <= opened.amount => wrong("there was enough to settle"),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The resolution that a receipt reports is there.
fn ended(ledger: &Ledger<'_>, receipt: &Receipt) -> Checked {
    let Some(end) = ledger.leg(receipt.transaction_id, 2) else {
        return Err((Rule::AnswerWithoutRow, "its end is not in the ledger"));
    };
    let settled =
        receipt.settled_amount.map(|amount| amount.0.to_minor(ledger.scales[end.posting.ticker.as_str()]));
    let amount = settled.is_none_or(|settled| settled == Ok(end.amount));
    if !amount || receipt.status != end.posting.status || receipt.error != end.posting.error {
        return Err((Rule::AnswerWithoutRow, "the ledger has another end"));
    }
    Ok(())
}
