//! The answer to a batch, byte for byte.

use std::borrow::Cow;

use florin_ledger::{Answer, BalanceQuery, Command, ErrorCode, Outcome, Status};
use florin_wire::{Answered, BatchReply, Refusal, Reply};

use crate::common::{ID, movement};

fn answered(command: Command, outcome: Option<Outcome>) -> Answered {
    Answered { operation: Cow::Borrowed(command.operation().as_str()), result: Ok((command, outcome)) }
}

fn invoice(outcome: Option<Outcome>) -> Answered {
    answered(Command::Invoice(movement("1.50")), outcome)
}

fn withdraw(outcome: Option<Outcome>) -> Answered {
    answered(Command::Withdraw(movement("1.50")), outcome)
}

fn malformed() -> Answered {
    let refusal = Refusal { code: ErrorCode::Malformed, reason: "amount is \"missing\"".into() };
    Answered { operation: Cow::Borrowed("withdraw"), result: Err(refusal) }
}

fn opened(replayed: bool) -> Option<Outcome> {
    Some(Outcome { replayed, answer: Answer::Opened { transaction_id: ID, status: Status::Success } })
}

fn refused(code: ErrorCode, replayed: bool) -> Option<Outcome> {
    Some(Outcome { replayed, answer: Answer::Refused { code, transaction_id: Some(ID) } })
}

fn json(atomic: bool, answered: &[Answered]) -> String {
    String::from_utf8(BatchReply::new(atomic, answered).reply.to_json()).unwrap()
}

/// The code, the error and the reason of each result.
fn results(reply: &Reply) -> Vec<(u16, Option<String>, Option<String>)> {
    let results = reply.results().unwrap().into_iter();
    results.map(|result| (result.code, result.error, result.reason)).collect()
}

#[test]
fn each_operation_has_its_result() {
    let read = Command::Balance(BalanceQuery { wallet_id: 3, ticker: None, at: None });
    let list = [
        invoice(opened(false)),
        withdraw(refused(ErrorCode::InsufficientFunds, true)),
        malformed(),
        answered(read, Some(Outcome::fresh(Answer::Balance(vec![])))),
    ];
    let expected = concat!(
        r#"{"operation":"batch","code":200,"body":"{\"results\":["#,
        r#"{\"operation\":\"invoice\",\"code\":200,\"body\":{\"transaction_id\":\"00000000-0000-0000-0000-000000000007\",\"status\":\"Success\"}},"#,
        r#"{\"operation\":\"withdraw\",\"code\":400,\"reason\":\"wallet 3 has less than 1.5 USD available\",\"error\":\"insufficient_funds\",\"transaction_id\":\"00000000-0000-0000-0000-000000000007\",\"replayed\":true},"#,
        r#"{\"operation\":\"withdraw\",\"code\":400,\"reason\":\"amount is \\\"missing\\\"\",\"error\":\"malformed\"},"#,
        r#"{\"operation\":\"balance\",\"code\":200,\"body\":{}}"#,
        r#"]}"}"#,
    );
    assert_eq!(json(false, &list), expected);
    let codes: Vec<_> = list.iter().map(Answered::code).collect();
    assert_eq!(codes, [200, 400, 400, 200]);
}

#[test]
fn it_repeats_an_answer_when_all_its_results_do() {
    let replayed = |list: &[Answered]| BatchReply::new(false, list).replayed;
    assert!(replayed(&[invoice(opened(true)), withdraw(refused(ErrorCode::InsufficientFunds, true))]));
    assert!(!replayed(&[invoice(opened(true)), withdraw(opened(false))]));
    assert!(!replayed(&[invoice(opened(true)), malformed()]));
    assert!(!replayed(&[invoice(None)]));
}

#[test]
fn an_atomic_batch_that_is_done_looks_like_any_other() {
    let list = [invoice(opened(false)), withdraw(opened(true))];
    assert_eq!(json(true, &list), json(false, &list));
}

#[test]
fn an_atomic_batch_that_failed_names_the_operation_and_why() {
    let list = |replayed| {
        [
            invoice(refused(ErrorCode::BatchFailed, replayed)),
            invoice(refused(ErrorCode::BatchFailed, replayed)),
            withdraw(refused(ErrorCode::InsufficientFunds, replayed)),
            withdraw(refused(ErrorCode::InsufficientFunds, replayed)),
        ]
    };
    let reason = "operation 2 (withdraw) was refused: wallet 3 has less than 1.5 USD available; no operation of this batch was applied";
    let failed = r#"{\"operation\":\"invoice\",\"code\":400,\"reason\":\"REASON\",\"error\":\"batch_failed\",\"transaction_id\":\"00000000-0000-0000-0000-000000000007\"}"#;
    let own = r#"{\"operation\":\"withdraw\",\"code\":400,\"reason\":\"wallet 3 has less than 1.5 USD available\",\"error\":\"insufficient_funds\",\"transaction_id\":\"00000000-0000-0000-0000-000000000007\"}"#;
    let expected = format!(
        r#"{{"operation":"batch","code":400,"body":"{{\"results\":[{failed},{failed},{own},{own}]}}","reason":"REASON","error":"batch_failed"}}"#
    );
    let expected = expected.replace("REASON", reason);
    assert_eq!(json(true, &list(false)), expected);
    // The same batch again is answered with the same bytes, but for what says that it is a repetition.
    assert_eq!(json(true, &list(true)).replace(r#",\"replayed\":true"#, ""), expected);
    let BatchReply { reply, replayed } = BatchReply::new(true, &list(true));
    assert!(replayed && !reply.is_done());
    assert!(!BatchReply::new(true, &list(false)).replayed);
}

#[test]
fn a_malformed_operation_refuses_an_atomic_batch_without_the_database() {
    let reply = BatchReply::new(true, &[invoice(None), malformed(), withdraw(None), malformed()]).reply;
    let reason =
        "operation 1 (withdraw) was refused: amount is \"missing\"; no operation of this batch was applied";
    assert_eq!(
        (reply.code, reply.error.as_deref(), reply.reason.as_deref()),
        (400, Some("batch_failed"), Some(reason))
    );
    let own = (400, Some("malformed".to_owned()), Some("amount is \"missing\"".to_owned()));
    let other = (400, Some("batch_failed".to_owned()), Some(reason.to_owned()));
    assert_eq!(results(&reply), [other.clone(), own.clone(), other, own]);
}

/// Parts of an older batch that failed, sent again without the operation that made it fail.
#[test]
fn without_another_reason_the_first_that_failed_before_is_named() {
    let list = [
        invoice(opened(true)),
        withdraw(refused(ErrorCode::BatchFailed, true)),
        withdraw(refused(ErrorCode::BatchFailed, false)),
    ];
    let reply = BatchReply::new(true, &list).reply;
    let own = "another operation of its atomic batch was refused";
    let reason = format!("operation 1 (withdraw) was refused: {own}; no operation of this batch was applied");
    assert_eq!((reply.code, reply.reason.as_ref()), (400, Some(&reason)));
    let failed = |reason: &str| (400, Some("batch_failed".to_owned()), Some(reason.to_owned()));
    assert_eq!(results(&reply), [(200, None, None), failed(own), failed(&reason)]);
    // Beside others, without all or nothing, each speaks for itself.
    let reply = BatchReply::new(false, &list).reply;
    assert_eq!((reply.code, reply.reason.as_ref()), (200, None));
    assert_eq!(results(&reply), [(200, None, None), failed(own), failed(own)]);
}

#[test]
fn a_result_is_named_as_the_client_named_it() {
    let refusal = Refusal { code: ErrorCode::UnknownOperation, reason: "?".into() };
    let answered = Answered { operation: Cow::Owned("no\"such".into()), result: Err(refusal) };
    let reply = BatchReply::new(true, &[answered]).reply;
    assert_eq!(reply.results().unwrap()[0].operation, "no\"such");
    let expected = "operation 0 (no\"such) was refused: ?; no operation of this batch was applied";
    assert_eq!(reply.reason.as_deref(), Some(expected));
}
