//! Several operations in one message: what is refused as a whole, and what alone.

use florin_ledger::{Command, ErrorCode};
use florin_wire::{BATCH, MAX_BATCH_OPERATIONS};

use crate::common::{ID, ID_TEXT, assert_malformed, decode_as, decode_batch, decode_from_seed};

const GOOD: &str = r#"{"operation":"invoice","wallet_id":1,"ticker":"USD","amount":10.5}"#;

fn of(elements: &[&str]) -> String {
    format!(r#"{{"operations":[{}]}}"#, elements.join(","))
}

#[test]
fn every_operation_may_stand_in_a_batch() {
    let elements = [
        ("invoice", r#""wallet_id":1,"ticker":"USD","amount":10.5,"metadata":{"id":1,"operation":{}}"#),
        ("withdraw", r#""wallet_id":"1","ticker":"USD","amount":"10.50","pending":true,"timeout":5"#),
        ("transfer", r#""wallet_id":1,"to_wallet_id":2,"ticker":"USD","amount":1e1"#),
        ("settle", r#""transaction_id":"00000000-0000-0000-0000-000000000007","amount":5"#),
        ("cancel", r#""transaction_id":"00000000-0000-0000-0000-000000000007""#),
        ("expire", r#""transaction_id":"00000000-0000-0000-0000-000000000007""#),
        ("balance", r#""wallet_id":1,"ticker":"USD","at":"2026-01-31T08:15:30Z""#),
        ("transaction", r#""transaction_id":"00000000-0000-0000-0000-000000000007""#),
        ("history", r#""wallet_id":1,"limit":7"#),
    ];
    let texts: Vec<_> = elements
        .iter()
        .flat_map(|(operation, fields)| {
            // Wherever the names stand.
            [
                format!(r#"{{"operation":"{operation}",{fields}}}"#),
                format!(r#"{{{fields},"id":"x","operation":"{operation}"}}"#),
            ]
        })
        .collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let batch = decode_batch(of(&texts)).unwrap();
    assert!(!batch.atomic && !batch.is_refused());
    assert_eq!(batch.items.len(), texts.len());
    for (pair, (operation, fields)) in batch.items.chunks(2).zip(elements) {
        let mut expected = decode_as(operation, format!("{{{fields}}}")).unwrap();
        for item in pair {
            assert_eq!(item.operation, operation);
            let mut command = item.command.clone().unwrap();
            if let (Some(own), Some(single)) = (command.identity_mut(), expected.identity_mut()) {
                assert_eq!(own.request_hash, single.request_hash);
                *own = *single;
            }
            assert_eq!(command, expected);
        }
    }
}

#[test]
fn a_batch_that_cannot_be_read_is_refused_as_a_whole() {
    let rows = [
        ("", "EOF"),
        ("[]", "object"),
        ("{}", "operations is missing"),
        (r#"{"operations":null}"#, "operations is missing"),
        (r#"{"operations":{}}"#, "operations must be a list"),
        (r#"{"operations":"x"}"#, "operations must be a list"),
        (r#"{"operations":[]}"#, "at least one operation"),
        (r#"{"operations":[1],"operations":[1]}"#, "duplicate field \"operations\""),
        (r#"{"operations":[1],"x":1,"x":1}"#, "duplicate field \"x\""),
        (r#"{"operations":[1],"atomic":1}"#, "atomic must be true or false"),
        (r#"{"operations":[1],"atomic":"true"}"#, "atomic must be true or false"),
        (r#"{"operations":[{"operation":"invoice"]}"#, "cannot be read"),
        (r#"{"operations":[1,]}"#, "cannot be read"),
        (r#"{"operations":[1]} x"#, "trailing"),
    ];
    assert_malformed(BATCH, &rows);
}

#[test]
fn a_batch_has_a_thousand_operations_at_most() {
    let batch = decode_batch(of(&[GOOD; MAX_BATCH_OPERATIONS])).unwrap();
    assert_eq!(batch.items.len(), 1000);
    assert!(batch.items.iter().all(|item| item.command.is_ok()));
    let refusal = decode_batch(of(&[GOOD; 1001])).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::TooLarge);
    assert_eq!(refusal.reason, "the batch has 1001 operations; the limit is 1000");
    assert_eq!(decode_batch(of(&["1"; 500_000])).unwrap_err().code, ErrorCode::TooLarge);
}

#[test]
fn all_or_nothing_is_asked_for() {
    for (atomic, expected) in [("true", true), ("false", false), ("null", false)] {
        let batch = decode_batch(format!(r#"{{"atomic":{atomic},"operations":[{GOOD}]}}"#)).unwrap();
        assert_eq!(batch.atomic, expected);
        assert!(!batch.is_refused());
        let batch = decode_batch(format!(r#"{{"atomic":{atomic},"operations":[{GOOD},5]}}"#)).unwrap();
        assert_eq!(batch.is_refused(), expected);
        assert!(batch.items[0].command.is_ok() && batch.items[1].command.is_err());
    }
}

#[test]
fn a_malformed_element_is_refused_alone() {
    let long = format!(r#"{{"operation":"{}"}}"#, "x".repeat(256));
    let long_id = format!(r#"{{"operation":"balance","wallet_id":1,"id":"{}"}}"#, "é".repeat(128));
    let deep = "[".repeat(30_000) + &"]".repeat(30_000);
    let name = "operation must be a string of 1 to 255 bytes";
    let id = "id must be a string of 1 to 255 bytes";
    let rows = [
        ("null", "", "object"),
        ("5", "", "object"),
        ("1e999", "", "cannot be read"),
        (r#""\ud800""#, "", "cannot be read"),
        ("[]", "", "object"),
        (r#"["invoice",1,"USD",10.5]"#, "", "object"),
        (&deep, "", "object"),
        ("{}", "", "operation is missing"),
        (r#"{"operation":null,"wallet_id":1}"#, "", "operation is missing"),
        (r#"{"operation":5}"#, "", name),
        (r#"{"operation":["balance"]}"#, "", name),
        (r#"{"operation":""}"#, "", name),
        (&long, "", name),
        (r#"{"operation":"balance"}"#, "balance", "wallet_id is missing"),
        (r#"{"operation":"balance","wallet_id":1,"id":""}"#, "balance", id),
        (r#"{"operation":"balance","wallet_id":1,"id":5}"#, "balance", id),
        (r#"{"operation":"balance","wallet_id":1,"id":["a"]}"#, "balance", id),
        (&long_id, "balance", id),
        (
            r#"{"operation":"invoice","wallet_id":1,"ticker":"USD","amount":1,"amount":7}"#,
            "invoice",
            "duplicate field \"amount\"",
        ),
        (
            r#"{"operation":"invoice","wallet_id":1,"ticker":"USD","amount":1,"id":"a","id":"a"}"#,
            "invoice",
            "duplicate field \"id\"",
        ),
        (
            r#"{"operation":"balance","operation":"balance","wallet_id":1}"#,
            "balance",
            "duplicate field \"operation\"",
        ),
        (r#"{"operation":"settle","transaction_id":"x"}"#, "settle", "transaction_id must be"),
        (
            r#"{"operation":"invoice","wallet_id":1,"ticker":"USD","amount":1,"metadata":[]}"#,
            "invoice",
            "metadata must be",
        ),
    ];
    let elements: Vec<_> = rows.iter().flat_map(|(element, ..)| [*element, GOOD]).collect();
    let batch = decode_batch(of(&elements)).unwrap();
    for (pair, (element, operation, part)) in batch.items.chunks(2).zip(rows) {
        let refusal = pair[0].command.as_ref().unwrap_err();
        assert_eq!((refusal.code, &*pair[0].operation), (ErrorCode::Malformed, operation), "{element:.80}");
        assert!(refusal.reason.contains(part), "{element:.80}: {refusal}");
        assert!(matches!(pair[1].command, Ok(Command::Invoice(_))));
    }
}

#[test]
fn unknown_operations_are_refused_under_the_name_they_were_given() {
    let element =
        |operation: &str| format!(r#"{{"operation":"{operation}","operations":[{GOOD}],"wallet_id":1}}"#);
    let texts = ["nonsense", "Invoice", BATCH, r"\u0062atch", "b\\n"].map(element);
    let texts = texts.each_ref().map(String::as_str);
    let batch = decode_batch(of(&texts)).unwrap();
    let names = ["nonsense", "Invoice", BATCH, BATCH, "b\n"];
    for (item, name) in batch.items.iter().zip(names) {
        let refusal = item.command.as_ref().unwrap_err();
        assert_eq!((refusal.code, &*item.operation), (ErrorCode::UnknownOperation, name));
        let nested = refusal.reason == "a batch cannot contain a batch";
        assert_eq!(nested, name == BATCH, "{refusal}");
    }
}

#[test]
fn fields_of_a_batch_mean_nothing_in_a_single_request() {
    let body =
        format!(r#"{{"transaction_id":"{ID_TEXT}","operation":5,"id":[],"operations":{{}},"atomic":1}}"#);
    assert_eq!(decode_from_seed("transaction", body).unwrap(), Command::Transaction { transaction_id: ID });
}
