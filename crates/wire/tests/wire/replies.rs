//! Replies as bytes: the shape that the first clients expect, and additional fields only.

use std::sync::Arc;

use florin_ledger::{
    Answer, BalanceLine, BalanceQuery, Command, Cursor, Decimal, Entry, ErrorCode, HistoryQuery, Movement,
    Operation, Outcome, Page, Resolution, Resolve, Scale, Status, Transaction,
};
use florin_wire::{IDEMPOTENT_REPLAYED, JsonTime, Refusal, Reply};
use uuid::Uuid;

use crate::common::{ID, ID_TEXT, decimal, movement, time, transaction};

fn withdraw() -> Command {
    Command::Withdraw(movement("1.50"))
}

fn transfer() -> Command {
    Command::Transfer { movement: movement("1.50"), to_wallet_id: 4 }
}

fn end(how: Resolve) -> Command {
    Command::Resolve { transaction_id: ID, how, requested_by: None }
}

fn read(transaction_id: Uuid) -> Command {
    Command::Transaction { transaction_id }
}

fn balance() -> Command {
    Command::Balance(BalanceQuery { wallet_id: 3, ticker: Some("EUR".into()), at: None })
}

fn history() -> Command {
    let (ticker, status, from, until, before) = (Some("EUR".into()), None, None, None, None);
    Command::History(HistoryQuery { wallet_id: 3, ticker, status, from, until, before, limit: 100 })
}

fn reply(command: &Command, answer: Answer) -> Reply {
    let reply = Reply::to_command(command, &Outcome::fresh(answer.clone()));
    // A repeated answer is the same to the byte; a header tells.
    assert_eq!(Reply::to_command(command, &Outcome { replayed: true, answer }), reply);
    assert_eq!(Reply::from_json(&reply.to_json()).unwrap(), reply);
    reply
}

fn json(command: &Command, answer: Answer) -> String {
    String::from_utf8(reply(command, answer).to_json()).unwrap()
}

#[test]
fn money_operations_answer_with_the_transaction() {
    let opened = |status| Answer::Opened { transaction_id: ID, status };
    let expected = r#"{"operation":"withdraw","code":200,"body":"{\"transaction_id\":\"00000000-0000-0000-0000-000000000007\",\"status\":\"Success\"}"}"#;
    assert_eq!(json(&withdraw(), opened(Status::Success)), expected);
    let expected = r#"{"operation":"transfer","code":202,"body":"{\"transaction_id\":\"00000000-0000-0000-0000-000000000007\",\"status\":\"Created\"}"}"#;
    assert_eq!(json(&transfer(), opened(Status::Created)), expected);
    let receipt = reply(&withdraw(), opened(Status::Created)).receipt().unwrap();
    assert_eq!((receipt.transaction_id, receipt.status.as_str()), (ID, "Created"));
    assert_eq!((receipt.settled_amount, receipt.error), (None, None));
    assert_eq!(IDEMPOTENT_REPLAYED, "idempotent-replayed");
}

#[test]
fn an_end_answers_with_how_it_ended() {
    let ended = |settled: Option<&str>, error| Answer::Resolved {
        transaction_id: ID,
        settled: settled.map(decimal),
        error,
    };
    let settle = end(Resolve::Settle { amount: None });
    let expected = r#"{"operation":"settle","code":200,"body":"{\"transaction_id\":\"00000000-0000-0000-0000-000000000007\",\"status\":\"Success\",\"settled_amount\":5.5}"}"#;
    assert_eq!(json(&settle, ended(Some("5.50"), None)), expected);
    let expected = r#"{"operation":"cancel","code":200,"body":"{\"transaction_id\":\"00000000-0000-0000-0000-000000000007\",\"status\":\"Error\",\"error\":\"cancelled\"}"}"#;
    assert_eq!(json(&end(Resolve::Cancel), ended(None, Some(ErrorCode::Cancelled))), expected);
    let expected = r#"{"operation":"expire","code":200,"body":"{\"transaction_id\":\"00000000-0000-0000-0000-000000000007\",\"status\":\"Error\",\"error\":\"expired\"}"}"#;
    assert_eq!(json(&end(Resolve::Expire), ended(None, Some(ErrorCode::Expired))), expected);
    let receipt = reply(&settle, ended(Some("5.50"), None)).receipt().unwrap();
    assert_eq!(receipt.settled_amount.unwrap().0, decimal("5.5"));
}

#[test]
fn refusals_carry_a_reason_for_people_and_a_code_for_programs() {
    let answer = Answer::Refused { code: ErrorCode::InsufficientFunds, transaction_id: Some(ID) };
    let expected = r#"{"operation":"withdraw","code":400,"reason":"wallet 3 has less than 1.5 USD available","error":"insufficient_funds","transaction_id":"00000000-0000-0000-0000-000000000007"}"#;
    assert_eq!(json(&withdraw(), answer), expected);
    let refusal = Refusal { code: ErrorCode::TooLarge, reason: "too \"large\"".into() };
    let reply = Reply::refused("x", &refusal).to_json();
    let expected = r#"{"operation":"x","code":413,"reason":"too \"large\"","error":"too_large"}"#;
    assert_eq!(String::from_utf8(reply).unwrap(), expected);
}

#[test]
fn every_refusal_says_what_it_is_about() {
    let part = end(Resolve::Settle { amount: Some(decimal("1.50")) });
    let all = end(Resolve::Settle { amount: None });
    let strange = Command::Invoice(Movement { ticker: "\"us\n".repeat(20), ..movement("1") });
    let too_much = "would exceed what a balance can hold (10^36 minor units)";
    let rows = [
        (withdraw(), ErrorCode::AmountNotPositive, 400, "the amount must be greater than 0".to_owned()),
        (transfer(), ErrorCode::SameWallet, 400, "a transfer needs two different wallets".into()),
        (read(ID), ErrorCode::UnknownTransaction, 404, format!("there is no transaction {ID_TEXT}")),
        (part.clone(), ErrorCode::UnknownTransaction, 404, format!("there is no transaction {ID_TEXT}")),
        (withdraw(), ErrorCode::UnknownWallet, 400, "there is no wallet 3".into()),
        (balance(), ErrorCode::UnknownWallet, 400, "there is no wallet 3".into()),
        (history(), ErrorCode::UnknownWallet, 400, "there is no wallet 3".into()),
        (transfer(), ErrorCode::UnknownWallet, 400, "there is no wallet 3 or no wallet 4".into()),
        (
            withdraw(),
            ErrorCode::UnknownTicker,
            400,
            "there is no ticker \"USD\"; names are exact, such as \"USD\"".into(),
        ),
        (
            history(),
            ErrorCode::UnknownTicker,
            400,
            "there is no ticker \"EUR\"; names are exact, such as \"USD\"".into(),
        ),
        (
            strange,
            ErrorCode::UnknownTicker,
            400,
            format!("there is no ticker \"{}\"; names are exact, such as \"USD\"", "\\\"us\\n".repeat(8)),
        ),
        (withdraw(), ErrorCode::AmountTooPrecise, 400, "1.5 has more decimal places than USD allows".into()),
        (
            part.clone(),
            ErrorCode::AmountTooPrecise,
            400,
            "1.5 has more decimal places than the ticker allows".into(),
        ),
        (withdraw(), ErrorCode::AmountOutOfRange, 400, format!("1.5 USD {too_much}")),
        (part.clone(), ErrorCode::AmountOutOfRange, 400, format!("1.5 {too_much}")),
        (all.clone(), ErrorCode::AmountOutOfRange, 400, format!("the amount {too_much}")),
        (withdraw(), ErrorCode::IdentityReused, 409, "this message_id belongs to a different request".into()),
        (
            all,
            ErrorCode::AlreadyFinal,
            409,
            format!("transaction {ID_TEXT} has already ended; `transaction` says how"),
        ),
        (
            end(Resolve::Expire),
            ErrorCode::NotExpired,
            409,
            format!("transaction {ID_TEXT} has not expired yet"),
        ),
        (part, ErrorCode::ExceedsPending, 400, format!("1.5 is more than transaction {ID_TEXT} holds")),
        (withdraw(), ErrorCode::InsufficientFunds, 400, "wallet 3 has less than 1.5 USD available".into()),
        (transfer(), ErrorCode::InsufficientFunds, 400, "wallet 3 has less than 1.5 USD available".into()),
        (withdraw(), ErrorCode::BatchFailed, 400, "another operation of its atomic batch was refused".into()),
    ];
    for (command, code, number, reason) in rows {
        let reply = reply(&command, Answer::Refused { code, transaction_id: None });
        assert_eq!((reply.code, reply.is_done()), (number, false), "{code}");
        assert_eq!(reply.operation, command.operation().as_str());
        assert_eq!((reply.reason, reply.error.as_deref()), (Some(reason), Some(code.as_str())));
        assert_eq!((reply.body, reply.transaction_id), (None, None));
    }
}

#[test]
fn balances_are_exact_numbers_and_empty_maps_are_left_out() {
    let read = Command::Balance(BalanceQuery { wallet_id: 1, ticker: None, at: None });
    assert_eq!(json(&read, Answer::Balance(vec![])), r#"{"operation":"balance","code":200,"body":"{}"}"#);
    let line = |ticker: &str, actual: i128, frozen: i128| BalanceLine {
        ticker: ticker.into(),
        actual: Decimal::from_minor(actual, Scale::new(2).unwrap()),
        frozen: Decimal::from_minor(frozen, Scale::new(2).unwrap()),
    };
    let lines = vec![line("EUR", 0, 0), line("USD", 1_677_721_701_000, 50)];
    let expected = r#"{"operation":"balance","code":200,"body":"{\"actual_balance\":{\"EUR\":0,\"USD\":16777217010},\"frozen_balance\":{\"USD\":0.5}}"}"#;
    assert_eq!(json(&read, Answer::Balance(lines.clone())), expected);
    let reply = reply(&read, Answer::Balance(lines));
    assert_eq!(reply.balances().unwrap().actual_balance["USD"].0, decimal("16777217010"));
    assert!(reply.receipt().is_err() && reply.transaction().is_err() && reply.history().is_err());
    assert!(reply.is_done() && reply.results().is_err());
}

/// The body of the answer to `transaction`.
fn body_of(transaction: Transaction) -> String {
    let reply = reply(&read(ID), Answer::Transaction(Box::new(transaction)));
    assert_eq!((reply.operation.as_str(), reply.code), ("transaction", 200));
    let read = reply.transaction().unwrap();
    let body = reply.body.unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), body);
    body
}

#[test]
fn a_transaction_is_told_from_beginning_to_end() {
    let head = r#"{"transaction_id":"00000000-0000-0000-0000-000000000007","operation""#;
    let expected = format!(
        r#"{head}:"withdraw","status":"Success","wallet_id":3,"ticker":"USD","amount":1.5,"created_at":"2026-01-31T08:15:30Z","ended_at":"2026-01-31T08:15:30Z"}}"#
    );
    assert_eq!(body_of(transaction()), expected);

    let metadata = "{\"text\" :\"é\\u00e9 \\\"\", \"n\":1.50e400}";
    let waiting = Transaction {
        operation: Operation::Transfer,
        to_wallet_id: Some(4),
        opened: Status::Created,
        expires_at: Some(time(60_000_000)),
        requested_by: Some(Arc::from("amqp:shop")),
        metadata: Some(Arc::from(metadata)),
        ..transaction()
    };
    let head = format!(
        r#"{head}:"transfer","status":"STATUS","wallet_id":3,"to_wallet_id":4,"ticker":"USD","amount":1.5"#
    );
    let created = r#""created_at":"2026-01-31T08:15:30Z""#;
    let expires = r#""expires_at":"2026-01-31T08:16:30Z","requested_by":"amqp:shop""#;
    let expected =
        format!(r#"{head},{created},{expires},"metadata":{metadata}}}"#).replace("STATUS", "Created");
    assert_eq!(body_of(waiting.clone()), expected);

    let tail = format!(r#"{expires},"ended_by":"key:clerk","metadata":{metadata}}}"#);
    let ended = |error| {
        let requested_by = Some(Arc::from("key:clerk"));
        let resolution = Resolution { error, amount: 120, at: time(1), requested_by };
        Transaction { resolution: Some(resolution), ..waiting.clone() }
    };
    let at = r#""ended_at":"2026-01-31T08:15:30.000001Z""#;
    let expected =
        format!(r#"{head},"settled_amount":1.2,{created},{at},{tail}"#).replace("STATUS", "Success");
    assert_eq!(body_of(ended(None)), expected);
    let why = [
        (ErrorCode::Cancelled, r#""error":"cancelled","reason":"the hold was cancelled""#),
        (ErrorCode::Expired, r#""error":"expired","reason":"the hold expired""#),
    ];
    for (error, why) in why {
        let expected = format!("{head},{why},{created},{at},{tail}").replace("STATUS", "Error");
        assert_eq!(body_of(ended(Some(error))), expected);
    }
}

#[test]
fn a_refused_transaction_gives_the_reason_of_its_reply() {
    let movement = |operation| match operation {
        Operation::Transfer => transfer(),
        _ => withdraw(),
    };
    for operation in [Operation::Withdraw, Operation::Transfer] {
        for code in [ErrorCode::InsufficientFunds, ErrorCode::AmountOutOfRange, ErrorCode::BatchFailed] {
            let to_wallet_id = (operation == Operation::Transfer).then_some(4);
            let opened = Status::Error;
            let refused =
                Transaction { operation, to_wallet_id, opened, refusal: Some(code), ..transaction() };
            let body = reply(&read(ID), Answer::Transaction(Box::new(refused))).transaction().unwrap();
            let refusal = reply(&movement(operation), Answer::Refused { code, transaction_id: Some(ID) });
            assert_eq!((body.reason, body.error), (refusal.reason, refusal.error));
            assert_eq!((body.status.as_str(), body.ended_at), ("Error", Some(JsonTime(time(0)))));
        }
    }
}

#[test]
fn a_history_is_a_list_with_a_place_to_go_on() {
    let entry = Entry {
        cursor: Cursor { created_at: time(250), ticker_id: 2, version: 255 },
        ticker: Arc::from("USD"),
        transaction_id: ID,
        operation: Operation::Transfer,
        status: Status::Success,
        error: None,
        amount: decimal("1.50"),
        actual: decimal("16777217.01"),
        frozen: decimal("0"),
        counterparty_wallet_id: Some(4),
    };
    let older = Entry {
        cursor: Cursor { created_at: time(0), ticker_id: 2, version: 1 },
        operation: Operation::Withdraw,
        status: Status::Error,
        error: Some(ErrorCode::InsufficientFunds),
        counterparty_wallet_id: None,
        ..entry.clone()
    };
    let next = Some(Cursor { version: 255, ..older.cursor });
    let page = Page { entries: vec![entry, older], next };
    let expected = concat!(
        r#"{"postings":[{"ticker":"USD","version":255,"transaction_id":"00000000-0000-0000-0000-000000000007","#,
        r#""operation":"transfer","status":"Success","amount":1.5,"actual_balance":16777217.01,"frozen_balance":0,"#,
        r#""counterparty_wallet_id":4,"created_at":"2026-01-31T08:15:30.00025Z"},"#,
        r#"{"ticker":"USD","version":1,"transaction_id":"00000000-0000-0000-0000-000000000007","#,
        r#""operation":"withdraw","status":"Error","error":"insufficient_funds","amount":1.5,"#,
        r#""actual_balance":16777217.01,"frozen_balance":0,"created_at":"2026-01-31T08:15:30Z"}],"#,
        r#""next":"000649aab1694c800000000200000000000000ff"}"#,
    );
    let reply = reply(&history(), Answer::History(page));
    assert_eq!((reply.operation.as_str(), reply.code), ("history", 200));
    let body = reply.history().unwrap();
    assert_eq!(serde_json::to_string(&body).unwrap(), expected);
    assert_eq!(reply.body.as_deref(), Some(expected));
    let empty = Answer::History(Page::default());
    assert_eq!(json(&history(), empty), r#"{"operation":"history","code":200,"body":"{\"postings\":[]}"}"#);
}

/// Fields that come later do not disturb the clients of today; what is no reply is told apart.
#[test]
fn replies_are_read_with_care() {
    let reply = Reply::from_json(br#"{"operation":"x","code":200,"body":"{\"transaction_id\":\"00000000-0000-0000-0000-000000000007\",\"status\":\"Success\",\"new\":1}","new":[]}"#).unwrap();
    assert_eq!(reply.receipt().unwrap().transaction_id, ID);
    for body in [&b""[..], b"{}", b"[]", br#"{"operation":"x","code":70000}"#] {
        assert!(Reply::from_json(body).is_err());
    }
    assert!(Reply::from_json(br#"{"operation":"x","code":200}"#).unwrap().receipt().is_err());
}
