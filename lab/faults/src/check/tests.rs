//! A correct history with one thing changed: the checker must find it.

mod records;

use self::records::{
    ONE, REFUSED, Row, answer, clean, confirmed, done, event, id, posting, send, told, transaction,
};
use super::{Rule, check};
use crate::history::{Line, What};
use crate::record::{Posting, Queued, Records, Verified};

/// What the checker finds after this change.
fn found(change: impl FnOnce(&mut Records)) -> Vec<Rule> {
    let mut records = clean();
    change(&mut records);
    let verdict = check(&records);
    println!("{verdict:#?}");
    verdict.violations.keys().copied().collect()
}

fn replace(records: &mut Records, request: &str, from: &str, to: &str) {
    let lines = records.histories.values_mut().flatten().filter(|line| line.request == request);
    let mut replaced = 0;
    for line in lines {
        match &mut line.what {
            What::Send { body: text, .. } | What::Answer { text, .. } => {
                replaced += usize::from(text.contains(from));
                *text = text.replace(from, to);
            }
            _ => {}
        }
    }
    assert!(replaced > 0, "{from} is not in {request}");
}

fn forget_answer(records: &mut Records, request: &str) {
    let answers = |line: &Line| line.request == request && matches!(line.what, What::Answer { .. });
    records.histories.values_mut().for_each(|history| history.retain(|line| !answers(line)));
}

fn queued(request: &str) -> Queued {
    Queued { request: request.into(), routing_key: "invoice".into(), text: String::new() }
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(found(|_| {}), []);
    let seen = check(&clean()).seen;
    assert_eq!((seen.requests, seen.answers, seen.postings, seen.reads), (8, 8, 6, 3));
}

#[test]
fn a_confirmed_request_without_an_answer_is_lost_unless_it_waits() {
    assert_eq!(found(|records| forget_answer(records, "a2")), [Rule::Lost]);
    let waits = |records: &mut Records| {
        forget_answer(records, "a2");
        records.work.push(queued("a2"));
    };
    assert_eq!(found(waits), []);
    let dead = |records: &mut Records| {
        forget_answer(records, "a2");
        records.dead.push(queued("a2"));
    };
    assert_eq!(found(dead), []);
    // It was sent and never confirmed: nobody promised anything.
    let unknown = |records: &mut Records| {
        records.histories.entry(1).or_default().push(send("a9", "invoice", Some(id(9).to_string()), ONE));
    };
    assert_eq!(found(unknown), []);
}

#[test]
fn each_confirmed_sending_has_an_answer_of_its_own() {
    let again = |records: &mut Records| records.histories.entry(1).or_default().push(confirmed("a1"));
    assert_eq!(found(again), [Rule::Lost]);
}

#[test]
fn copies_of_an_answer_are_the_same() {
    let copy = |status: &'static str| {
        move |records: &mut Records| {
            let text = done("invoice", 1, 200, &format!(r#""status":"{status}""#));
            records.histories.entry(1).or_default().push(answer("a1", &text));
        }
    };
    assert_eq!(found(copy("Success")), []);
    assert_eq!(found(copy("Created")), [Rule::TwoAnswers, Rule::AnswerWithoutRow]);
}

#[test]
fn a_request_is_applied_once() {
    let twice = |records: &mut Records| {
        records.histories.entry(1).or_default().push(send(
            "a9",
            "invoice",
            None,
            r#"{"wallet_id":3,"ticker":"USD","amount":1,"metadata":{"request":"a9"}}"#,
        ));
        for (version, after) in [(1, "1"), (2, "2")] {
            let row = Row(
                3,
                version,
                90 + u128::from(version.unsigned_abs()),
                0,
                "invoice",
                "Success",
                "1",
                [after, "0"],
            );
            let posting = Posting { request: Some("a9".into()), ..posting(&row) };
            records.events.push(event(&posting));
            records.postings.push(posting);
        }
    };
    assert_eq!(found(twice), [Rule::AppliedTwice]);
}

#[test]
fn rows_do_what_was_asked_for() {
    let other = |records: &mut Records| replace(records, "a1", "\"amount\":10", "\"amount\":11");
    assert_eq!(found(other), [Rule::Invented]);
    let nobody = |records: &mut Records| {
        let posting = posting(&Row(3, 1, 77, 0, "invoice", "Success", "1", ["1", "0"]));
        records.events.push(event(&posting));
        records.postings.push(posting);
    };
    assert_eq!(found(nobody), [Rule::Invented]);
    let another_end = |records: &mut Records| replace(records, "b2", "\"amount\":1.5", "\"amount\":1.25");
    assert_eq!(found(another_end), [Rule::Invented]);
}

#[test]
fn an_answer_has_its_row() {
    let gone = |records: &mut Records| {
        records.postings.retain(|posting| posting.wallet_id != 1 || posting.version < 2);
        records.postings.retain(|posting| posting.wallet_id == 1);
        records.events.clear();
    };
    let rules = found(gone);
    assert!(rules.contains(&Rule::AnswerWithoutRow), "{rules:?}");
    let no_end =
        |records: &mut Records| replace(records, "b2", "settled_amount\\\":1.5", "settled_amount\\\":1.4");
    assert_eq!(found(no_end), [Rule::AnswerWithoutRow]);
    let refused = |records: &mut Records| {
        forget_answer(records, "a1");
        let text = r#"{"operation":"invoice","code":400,"reason":"no","error":"unknown_wallet"}"#;
        records.histories.entry(1).or_default().push(answer("a1", text));
    };
    assert_eq!(found(refused), [Rule::WrongAnswer]);
    let other = |records: &mut Records| replace(records, "a3", "insufficient_funds", "batch_failed");
    assert_eq!(found(other), [Rule::AnswerWithoutRow]);
}

#[test]
fn an_answer_that_cannot_be_read_is_found() {
    assert_eq!(found(|records| replace(records, "a3", "400", "four")), [Rule::WrongAnswer]);
    let stranger =
        |records: &mut Records| records.histories.entry(1).or_default().push(answer("zz", REFUSED));
    assert_eq!(found(stranger), [Rule::WrongAnswer]);
}

/// Changes one row and the event of it.
fn change_row(records: &mut Records, index: usize, change: impl FnOnce(&mut Posting)) {
    change(&mut records.postings[index]);
    records.events = records.postings.iter().map(event).collect();
}

#[test]
fn chains_are_followed() {
    let negative = |records: &mut Records| change_row(records, 1, |row| row.actual_after = "-3".into());
    let rules = found(negative);
    assert!(rules.contains(&Rule::Negative) && rules.contains(&Rule::Chain), "{rules:?}");
    let gap = |records: &mut Records| drop(records.postings.remove(2));
    let rules = found(gap);
    assert!(rules.contains(&Rule::Chain), "{rules:?}");
    let rounded = |records: &mut Records| change_row(records, 4, |row| row.actual_after = "5.51".into());
    let rules = found(rounded);
    assert!(rules.contains(&Rule::Chain) && rules.contains(&Rule::Conservation), "{rules:?}");
    let too_precise = |records: &mut Records| change_row(records, 4, |row| row.actual_after = "5.501".into());
    assert!(found(too_precise).contains(&Rule::Chain));
    let earlier = |records: &mut Records| change_row(records, 2, |row| row.created_at = 0);
    assert_eq!(found(earlier), [Rule::Chain]);
}

#[test]
fn transactions_are_whole() {
    let half = |records: &mut Records| drop(records.postings.pop());
    let rules = found(half);
    assert!(rules.contains(&Rule::Transaction) && rules.contains(&Rule::Conservation), "{rules:?}");
    let final_and_ended = |records: &mut Records| {
        let posting = posting(&Row(1, 6, 1, 2, "invoice", "Success", "10", ["15.5", "-10"]));
        records.events.push(event(&posting));
        records.postings.insert(5, posting);
    };
    assert!(found(final_and_ended).contains(&Rule::Transaction));
    let refused_for_nothing = |records: &mut Records| {
        change_row(records, 2, |row| row.amount = "7".into());
        replace(records, "a3", "\"amount\":99", "\"amount\":7");
    };
    assert_eq!(found(refused_for_nothing), [Rule::Transaction]);
    let too_early = |records: &mut Records| {
        change_row(records, 4, |row| {
            (row.status, row.error, row.amount) = ("Error".into(), Some("expired".into()), "2".into());
            row.actual_after = "7".into();
        });
    };
    assert!(found(too_early).contains(&Rule::Transaction));
}

#[test]
fn reads_never_go_back() {
    // 7 is what was there before the client's own transfer was answered.
    let old = |records: &mut Records| replace(records, "b3", "5.5", "7");
    assert_eq!(found(old), [Rule::Read]);
    // Asked before that, it may be told so.
    let asked_before = |records: &mut Records| {
        replace(records, "b3", "5.5", "7");
        let history = records.histories.get_mut(&2).unwrap();
        let read = history.iter().position(|line| line.request == "b3").unwrap();
        let read = history.remove(read);
        history.insert(0, read);
    };
    assert_eq!(found(asked_before), []);
    let never = |records: &mut Records| replace(records, "b3", "5.5", "5.75");
    assert_eq!(found(never), [Rule::Read]);
    let forgotten = |records: &mut Records| {
        forget_answer(records, "b5");
        let text = transaction("Created");
        records.histories.get_mut(&2).unwrap().push(answer("b5", &text));
    };
    assert_eq!(found(forgotten), [Rule::Read]);
    let empty = |records: &mut Records| {
        forget_answer(records, "b4");
        let text = r#"{"operation":"history","code":200,"body":"{\"postings\":[]}"}"#;
        records.histories.get_mut(&2).unwrap().push(answer("b4", text));
    };
    assert_eq!(found(empty), [Rule::Read]);
}

#[test]
fn events_tell_every_row() {
    assert_eq!(found(|records| drop(records.events.remove(3))), [Rule::Event]);
    let repeated = |records: &mut Records| {
        let again = records.events.clone();
        records.events.extend(again.into_iter().rev());
    };
    assert_eq!(found(repeated), []);
    let wrong = |records: &mut Records| {
        let text = &mut records.events[0].text;
        *text = text.replace("\"actual_balance\":10", "\"actual_balance\":9");
    };
    assert_eq!(found(wrong), [Rule::Event]);
}

#[test]
fn the_audit_counts() {
    let unsound = |records: &mut Records| records.verified.code = Some(1);
    assert_eq!(found(unsound), [Rule::Verify]);
}

#[test]
fn rows_may_be_dated_ahead_only_where_a_clock_was() {
    let audit = |dated_ahead: bool, check: &str, expected: &str| {
        let finding = format!(r#"{{"expected":"{expected}","found":"x"}}"#);
        let sound = r#"{"check":"schema","findings":0}"#;
        let checks = format!(r#"{sound},{{"check":"{check}","findings":1,"first":[{finding}]}}"#);
        let text = format!("{{\"sound\":false,\"checks\":[{checks}]}}\n\nerror: not sound\n");
        found(move |records| {
            records.dated_ahead = dated_ahead;
            records.verified = Verified { code: Some(1), text };
        })
    };
    assert_eq!(audit(true, "times", "not after 2026-01-31"), []);
    assert_eq!(audit(true, "times", "not before 2026-01-31"), [Rule::Verify]);
    assert_eq!(audit(true, "versions", "not after 2026-01-31"), [Rule::Verify]);
    assert_eq!(audit(false, "times", "not after 2026-01-31"), [Rule::Verify]);
    let unreadable = |records: &mut Records| {
        records.dated_ahead = true;
        records.verified = Verified { code: Some(1), text: "error: no database".to_owned() };
    };
    assert_eq!(found(unreadable), [Rule::Verify]);
}

#[test]
fn an_atomic_batch_is_done_or_not() {
    let batch = |second: &str| {
        let body = r#"{"operations":[{"operation":"balance","wallet_id":1},{"operation":"balance","wallet_id":9}],"atomic":true}"#;
        let results = format!(r#"{{"results":[{{"operation":"balance","code":200,"body":{{}}}},{second}]}}"#);
        let results = serde_json::to_string(&results).unwrap();
        let reply = format!(r#"{{"operation":"batch","code":200,"body":{results}}}"#);
        told("a9", "batch", 9, body, &reply)
    };
    let whole = batch(r#"{"operation":"balance","code":200,"body":{}}"#);
    assert_eq!(found(|records| records.histories.get_mut(&1).unwrap().extend(whole)), []);
    let half = batch(r#"{"operation":"balance","code":400,"reason":"no","error":"unknown_wallet"}"#);
    let half = found(|records| records.histories.get_mut(&1).unwrap().extend(half));
    assert_eq!(half, [Rule::WrongAnswer]);
}

#[test]
fn a_refusal_in_an_atomic_batch_counts_what_was_taken_back() {
    let batch = |atomic: bool| {
        move |records: &mut Records| {
            let ask = |place: usize, amount: u8| {
                format!(
                    r#"{{"operation":"withdraw","wallet_id":1,"ticker":"USD","amount":{amount},"metadata":{{"request":"a9","place":{place}}}}}"#
                )
            };
            let body = format!(r#"{{"operations":[{},{}],"atomic":{atomic}}}"#, ask(0, 5), ask(1, 4));
            records.histories.get_mut(&1).unwrap().push(send("a9", "batch", None, &body));
            for (place, error, amount) in [(0, "batch_failed", "5"), (1, "insufficient_funds", "4")] {
                let (version, number) = (6 + i64::try_from(place).unwrap(), 90 + place as u128);
                let row = Row(1, version, number, 0, "withdraw", "Error", amount, ["5.5", "0"]);
                let named = (Some("a9".to_owned()), Some(place), Some(error.to_owned()));
                let row = posting(&row);
                let row = Posting { request: named.0, place: named.1, error: named.2, ..row };
                records.events.push(event(&row));
                records.postings.insert(5 + place, row);
            }
        }
    };
    assert_eq!(found(batch(true)), []);
    assert_eq!(found(batch(false)), [Rule::Transaction]);
}
