//! All that the service sends validates, and errors come where they are documented.

use std::collections::BTreeSet;

use florin_ledger::{ErrorCode, Operation};
use florin_wire::{Event, Events, Guide, Reply};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::world::World;
use crate::{SCHEMAS, assert_valid, assert_valid_reply, is_valid};

/// Something that a client does, after so many seconds.
#[derive(Debug, Clone)]
struct Request {
    wait: u64,
    operation: &'static str,
    message_id: String,
    body: String,
}

fn id() -> impl Strategy<Value = String> {
    (0..4_u8).prop_map(|number| format!("0190a5b0-7c1e-7d3c-8c3e-0000000000{number:02}"))
}

fn wallet() -> impl Strategy<Value = &'static str> {
    select(&["1", "2", "1", "2", "\"3\"", "9"][..])
}

fn ticker() -> impl Strategy<Value = &'static str> {
    select(&["USD", "USD", "USD", "USD", "JPY", "XXX"][..])
}

fn amount() -> impl Strategy<Value = &'static str> {
    select(&["1", "1", "2", "\"2.50\"", "5e33", "0.001", "1e36", "0", "-1"][..])
}

/// The fields of a request for this operation.
fn fields(operation: Operation) -> BoxedStrategy<String> {
    let more =
        select(&["", r#","pending":true"#, r#","pending":true,"timeout":10"#, r#","metadata":{"a":1}"#][..]);
    match operation {
        Operation::Invoice | Operation::Withdraw | Operation::Transfer => {
            (wallet(), wallet(), ticker(), amount(), more)
                .prop_map(move |(from, to, ticker, amount, more)| {
                    let payee = if operation == Operation::Transfer {
                        format!(r#""to_wallet_id":{to},"#)
                    } else {
                        String::new()
                    };
                    format!(r#""wallet_id":{from},{payee}"ticker":"{ticker}","amount":{amount}{more}"#)
                })
                .boxed()
        }
        Operation::Settle => (id(), amount(), any::<bool>())
            .prop_map(|(id, amount, whole)| {
                let amount = if whole { String::new() } else { format!(r#","amount":{amount}"#) };
                format!(r#""transaction_id":"{id}"{amount}"#)
            })
            .boxed(),
        Operation::Cancel | Operation::Expire | Operation::Transaction => {
            id().prop_map(|id| format!(r#""transaction_id":"{id}""#)).boxed()
        }
        Operation::Balance | Operation::History => (wallet(), ticker(), any::<bool>())
            .prop_map(move |(wallet, ticker, all)| {
                let ticker = if all { String::new() } else { format!(r#","ticker":"{ticker}""#) };
                let limit = if operation == Operation::History { r#","limit":2"# } else { "" };
                format!(r#""wallet_id":{wallet}{ticker}{limit}"#)
            })
            .boxed(),
    }
}

fn one() -> impl Strategy<Value = (&'static str, String)> {
    let known = select(&Operation::ALL[..])
        .prop_flat_map(|operation| fields(operation).prop_map(move |fields| (operation.as_str(), fields)));
    let unreadable = select(&Operation::ALL[..]).prop_map(|operation| (operation.as_str(), String::new()));
    prop_oneof![30 => known, 1 => unreadable, 1 => Just(("refund", String::new()))]
}

fn batch() -> impl Strategy<Value = String> {
    let element = (one(), id()).prop_map(|((operation, fields), id)| {
        let comma = if fields.is_empty() { "" } else { "," };
        format!(r#"{{"operation":"{operation}","id":"{id}"{comma}{fields}}}"#)
    });
    (vec(element, 0..5), any::<bool>())
        .prop_map(|(elements, atomic)| format!(r#""atomic":{atomic},"operations":[{}]"#, elements.join(",")))
}

fn request() -> impl Strategy<Value = Request> {
    let what = prop_oneof![5 => one(), 1 => batch().prop_map(|fields| ("batch", fields))];
    let wait = prop_oneof![4 => Just(0), 1 => Just(4)];
    (wait, what, id()).prop_map(|(wait, (operation, fields), message_id)| Request {
        wait,
        operation,
        message_id,
        body: format!("{{{fields}}}"),
    })
}

/// The answers to these requests, one after the other, each checked.
fn answers(requests: Vec<Request>) -> Vec<(&'static str, Reply)> {
    let mut world = World::new();
    let answer = |Request { wait, operation, message_id, body }| {
        world.wait(wait);
        let (reply, events) = world.ask(operation, &message_id, &body);
        check_reply(&reply);
        check_events(events);
        (operation, reply)
    };
    requests.into_iter().map(answer).collect()
}

fn check_reply(reply: &Reply) {
    let json: Value = serde_json::from_slice(&reply.to_json()).unwrap();
    if reply.error.as_deref() == Some("unknown_operation") {
        assert_valid("refusal", &json);
    } else {
        assert_valid_reply(&reply.operation, &json);
    }
}

fn check_events(events: Vec<Event>) {
    if !events.is_empty() {
        assert_valid("events", &serde_json::from_slice(&Events { events }.to_json()).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_answered_and_told_validates(requests in vec(request(), 1..40)) {
        answers(requests);
    }
}

/// Who gives which error is in the guide, and so in `docs/errors.md` and in the schemas: no more, and no less.
#[test]
fn errors_come_where_they_are_documented() {
    let mut runner = TestRunner::deterministic();
    let mut given = BTreeSet::new();
    for _ in 0..400 {
        let requests = vec(request(), 40).new_tree(&mut runner).unwrap().current();
        for (operation, reply) in answers(requests) {
            let error = reply.error.map(|error| error.parse::<ErrorCode>().unwrap());
            given.extend(error.zip(operation.parse().ok()));
        }
    }
    for operation in Operation::ALL {
        given.insert((
            error_of(&World::new().ask(operation.as_str(), "m", &" ".repeat(64 * 1024 + 1)).0),
            operation,
        ));
    }
    for operation in [Operation::Invoice, Operation::Withdraw, Operation::Transfer] {
        given.insert((after_its_batch_failed(operation), operation));
    }
    let all = ErrorCode::ALL.into_iter();
    let all = all.flat_map(|code| Operation::ALL.into_iter().map(move |operation| (code, operation)));
    let documented: BTreeSet<(ErrorCode, Operation)> =
        all.filter(|(code, operation)| Guide::of(*code).givers.include(*operation)).collect();
    assert_eq!(given, documented);
}

/// What is said of an operation that is sent alone after an atomic batch that it was part of.
fn after_its_batch_failed(operation: Operation) -> ErrorCode {
    let mut world = World::new();
    world.ask("invoice", "funds", r#"{"wallet_id":1,"ticker":"USD","amount":1}"#);
    let name = operation.as_str();
    let payee = if operation == Operation::Transfer { r#""to_wallet_id":2,"# } else { "" };
    let fields = format!(r#""wallet_id":1,{payee}"ticker":"USD","amount":1"#);
    let element = format!(r#"{{"operation":"{name}","id":"one",{fields}}}"#);
    let refused = r#"{"operation":"balance","wallet_id":9}"#;
    let batch = format!(r#"{{"operations":[{element},{refused}],"atomic":true}}"#);
    let (reply, events) = world.ask("batch", "m", &batch);
    assert_eq!((error_of(&reply), events.len()), (ErrorCode::BatchFailed, 1));
    error_of(&world.ask(name, "one", &format!("{{{fields}}}")).0)
}

fn error_of(reply: &Reply) -> ErrorCode {
    check_reply(reply);
    reply.error.as_deref().unwrap().parse().unwrap()
}

/// The schemas are not so wide that anything fits.
#[test]
fn what_is_never_sent_is_not_valid() {
    let break_example = |name: &str, at: usize, pointer: &str, value: Option<Value>| {
        let mut example = SCHEMAS.get(name).unwrap()["examples"][at].clone();
        assert_valid(name, &example);
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let parent = example.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        let before = match value.clone() {
            Some(value) => parent.insert(field.to_owned(), value),
            None => parent.remove(field),
        };
        assert_ne!(before, value, "{name}: {pointer} is as it was");
        assert!(!is_valid(name, &example), "{name}: {example}");
    };
    let cases = [
        ("invoice.body", 0, "/status", json!("Error")),
        ("settle.body", 0, "/settled_amount", json!(0)),
        ("settle.body", 0, "/settled_amount", json!("5.5")),
        ("cancel.body", 0, "/error", json!("expired")),
        ("balance.body", 0, "/frozen_balance/USD", json!(-1)),
        ("transaction.body", 0, "/error", json!("expired")),
        ("transaction.body", 0, "/status", json!("Error")),
        ("transaction.body", 0, "/operation", json!("settle")),
        ("transaction.body", 0, "/created_at", json!("2026-01-31T08:15:30.25+00:00")),
        ("transaction.body", 0, "/metadata", json!([])),
        ("transaction.body", 2, "/error", json!("malformed")),
        ("transaction.body", 2, "/transaction_id", json!("0190A5B0-7C1E-7D3C-8C3E-0123456789AB")),
        ("history.body", 0, "/postings/0/version", json!(0)),
        ("history.body", 0, "/postings/0/error", json!("expired")),
        ("history.body", 0, "/next", json!("000649ABF8FF4880000000010000000000000007")),
        ("batch.body", 0, "/results/0/body", json!("{}")),
        ("batch.body", 0, "/results/0/replayed", json!(false)),
        ("batch.body", 0, "/results/2/body", json!({"actual_balance": {"USD": -1}})),
        ("invoice.reply", 0, "/operation", json!("withdraw")),
        ("invoice.reply", 0, "/body", json!({})),
        ("settle.reply", 0, "/code", json!(202)),
        ("refusal", 0, "/code", json!(500)),
        ("refusal", 0, "/error", json!("cancelled")),
        ("events", 0, "/events/0/balances/0/actual_balance", json!(-1)),
        ("events", 0, "/events/0/transaction/ticker", json!("")),
    ];
    for (name, at, pointer, value) in cases {
        break_example(name, at, pointer, Some(value));
    }
    let missing = [
        ("transaction.body", 2, "/error"),
        ("settle.body", 0, "/settled_amount"),
        ("refusal", 0, "/reason"),
        ("invoice.reply", 0, "/body"),
        ("events", 0, "/events/0/transaction/created_at"),
    ];
    for (name, at, pointer) in missing {
        break_example(name, at, pointer, None);
    }
}
