//! Replies as bytes: the shape that the first clients expect, and additional fields only.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use florin_ledger::{
    Answer, BalanceLine, Command, Decimal, ErrorCode, Identity, Movement, OnExisting, Outcome, Scale, Status,
};
use florin_wire::{Refusal, Reply};
use uuid::Uuid;

const ID: Uuid = Uuid::from_u128(7);

fn withdraw() -> Command {
    let identity = Identity {
        transaction_id: ID,
        request_hash: [0; 16],
        on_existing: OnExisting::Replay,
        redelivered: false,
    };
    Command::Withdraw(Movement {
        identity,
        wallet_id: 3,
        ticker: "USD".into(),
        amount: "1.50".parse().unwrap(),
    })
}

fn json(command: &Command, answer: Answer) -> String {
    String::from_utf8(Reply::to_command(command, &Outcome::fresh(answer)).to_json()).unwrap()
}

#[test]
fn money_operations_answer_with_the_transaction() {
    let answer = Answer::Transaction { transaction_id: ID, status: Status::Success };
    let expected = r#"{"operation":"withdraw","code":200,"body":"{\"transaction_id\":\"00000000-0000-0000-0000-000000000007\",\"status\":\"Success\"}"}"#;
    assert_eq!(json(&withdraw(), answer), expected);
}

#[test]
fn refusals_carry_a_reason_for_people_and_a_code_for_programs() {
    let answer = Answer::Refused { code: ErrorCode::InsufficientFunds, transaction_id: Some(ID) };
    let expected = r#"{"operation":"withdraw","code":400,"reason":"wallet 3 has less than 1.5 USD to withdraw","error":"insufficient_funds","transaction_id":"00000000-0000-0000-0000-000000000007"}"#;
    assert_eq!(json(&withdraw(), answer), expected);
    let refusal = Refusal { code: ErrorCode::TooLarge, reason: "too \"large\"".into() };
    let reply = Reply::refused("x", &refusal).to_json();
    let expected = r#"{"operation":"x","code":413,"reason":"too \"large\"","error":"too_large"}"#;
    assert_eq!(String::from_utf8(reply).unwrap(), expected);
}

#[test]
fn balances_are_exact_numbers_and_empty_maps_are_left_out() {
    let read = Command::Balance { wallet_id: 1 };
    assert_eq!(json(&read, Answer::Balance(vec![])), r#"{"operation":"balance","code":200,"body":"{}"}"#);
    let line = |ticker: &str, actual: i128, frozen: i128| BalanceLine {
        ticker: ticker.into(),
        actual: Decimal::from_minor(actual, Scale::new(2).unwrap()),
        frozen: Decimal::from_minor(frozen, Scale::new(2).unwrap()),
    };
    let lines = vec![line("EUR", 0, 0), line("USD", 1_677_721_701_000, 50)];
    let expected = r#"{"operation":"balance","code":200,"body":"{\"actual_balance\":{\"EUR\":0,\"USD\":16777217010},\"frozen_balance\":{\"USD\":0.5}}"}"#;
    assert_eq!(json(&read, Answer::Balance(lines)), expected);
}

#[test]
fn what_was_written_is_read_back() {
    let lines = vec![BalanceLine {
        ticker: "USD".into(),
        actual: "16777217.01".parse().unwrap(),
        frozen: "0".parse().unwrap(),
    }];
    let reply =
        Reply::to_command(&Command::Balance { wallet_id: 1 }, &Outcome::fresh(Answer::Balance(lines)));
    let again = Reply::from_json(&reply.to_json()).unwrap();
    assert_eq!(again, reply);
    assert_eq!(again.balances().unwrap().actual_balance["USD"].0, "16777217.01".parse().unwrap());
    assert!(again.receipt().is_err() && again.is_done());
}
