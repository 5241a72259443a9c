//! The client's side: what it writes is what the protocol says, and what the service reads.

use std::time::Duration;

use florin_ledger::{Command, Status};
use florin_wire::{
    BalanceQueryBody, BatchItem, BatchRequest, BatchWriter, Body, HistoryQueryBody, MovementBody, RawJson,
    Request, SettleBody,
};

use crate::common::{ID, decimal, decode_as, decode_batch, time};

/// Each request, its operation, and its JSON.
fn rows() -> Vec<(Request, &'static str, &'static str)> {
    [movements(), others()].concat()
}

fn movements() -> Vec<(Request, &'static str, &'static str)> {
    let movement = || MovementBody::new(1, "USD", decimal("10.50"));
    let metadata: RawJson = r#"{"order": 17}"#.parse().unwrap();
    vec![
        (Request::Invoice(movement()), "invoice", r#"{"wallet_id":1,"ticker":"USD","amount":10.5}"#),
        (
            Request::Invoice(movement().pending(None)),
            "invoice",
            r#"{"wallet_id":1,"ticker":"USD","amount":10.5,"pending":true}"#,
        ),
        (
            Request::Withdraw(
                movement().pending(Some(Duration::from_millis(59_001))).metadata(metadata.clone()),
            ),
            "withdraw",
            r#"{"wallet_id":1,"ticker":"USD","amount":10.5,"pending":true,"timeout":60,"metadata":{"order": 17}}"#,
        ),
        (
            Request::Transfer(movement().to_wallet(2)),
            "transfer",
            r#"{"wallet_id":1,"ticker":"USD","amount":10.5,"to_wallet_id":2}"#,
        ),
        (
            Request::Transfer(
                movement().pending(Some(Duration::from_secs(1))).metadata(metadata).to_wallet(2),
            ),
            "transfer",
            r#"{"wallet_id":1,"ticker":"USD","amount":10.5,"pending":true,"timeout":1,"metadata":{"order": 17},"to_wallet_id":2}"#,
        ),
    ]
}

fn others() -> Vec<(Request, &'static str, &'static str)> {
    vec![
        (
            Request::Settle(SettleBody::new(ID)),
            "settle",
            r#"{"transaction_id":"00000000-0000-0000-0000-000000000007"}"#,
        ),
        (
            Request::Settle(SettleBody::new(ID).amount(decimal("5.5"))),
            "settle",
            r#"{"transaction_id":"00000000-0000-0000-0000-000000000007","amount":5.5}"#,
        ),
        (
            Request::Cancel { transaction_id: ID },
            "cancel",
            r#"{"transaction_id":"00000000-0000-0000-0000-000000000007"}"#,
        ),
        (
            Request::Expire { transaction_id: ID },
            "expire",
            r#"{"transaction_id":"00000000-0000-0000-0000-000000000007"}"#,
        ),
        (
            Request::Transaction { transaction_id: ID },
            "transaction",
            r#"{"transaction_id":"00000000-0000-0000-0000-000000000007"}"#,
        ),
        (Request::Balance(BalanceQueryBody::new(1)), "balance", r#"{"wallet_id":1}"#),
        (
            Request::Balance(BalanceQueryBody::new(1).ticker("USD").at(time(500_000))),
            "balance",
            r#"{"wallet_id":1,"ticker":"USD","at":"2026-01-31T08:15:30.5Z"}"#,
        ),
        (Request::History(HistoryQueryBody::new(1)), "history", r#"{"wallet_id":1}"#),
        (
            Request::History(
                HistoryQueryBody::new(1)
                    .ticker("USD")
                    .status(Status::Created)
                    .from(time(0))
                    .until(time(1))
                    .before("000649aab1694c800000000200000000000000ff")
                    .limit(7),
            ),
            "history",
            r#"{"wallet_id":1,"ticker":"USD","status":"Created","from":"2026-01-31T08:15:30Z","until":"2026-01-31T08:15:30.000001Z","before":"000649aab1694c800000000200000000000000ff","limit":7}"#,
        ),
    ]
}

#[test]
fn requests_have_the_json_of_the_protocol_and_are_read() {
    for (request, operation, expected) in rows() {
        assert_eq!(request.operation().as_str(), operation);
        assert_eq!(String::from_utf8(request.to_json()).unwrap(), expected);
        let command = decode_as(operation, expected).unwrap();
        assert_eq!(command.operation(), request.operation());
    }
}

#[test]
fn a_batch_is_made_of_requests() {
    let operations = vec![
        BatchItem { id: Some("a\"b".into()), request: Request::Balance(BalanceQueryBody::new(1)) },
        BatchItem { id: None, request: Request::Cancel { transaction_id: ID } },
    ];
    let elements = r#"{"operations":[{"operation":"balance","id":"a\"b","wallet_id":1},{"operation":"cancel","transaction_id":"00000000-0000-0000-0000-000000000007"}]"#;
    let text = |atomic| {
        String::from_utf8(BatchRequest { operations: operations.clone(), atomic }.to_json()).unwrap()
    };
    assert_eq!(text(false), format!("{elements}}}"));
    assert_eq!(text(true), format!(r#"{elements},"atomic":true}}"#));
    assert!(decode_batch(text(true)).unwrap().atomic);
    assert_eq!(BatchRequest::default().to_json(), br#"{"operations":[]}"#);
}

#[test]
fn a_batch_says_what_its_requests_say_alone() {
    let operations: Vec<_> =
        rows().into_iter().map(|(request, ..)| BatchItem { id: None, request }).collect();
    let batch = decode_batch(BatchRequest { operations, atomic: false }.to_json()).unwrap();
    assert_eq!(batch.items.len(), rows().len());
    for (item, (request, operation, _)) in batch.items.into_iter().zip(rows()) {
        assert_eq!(item.operation, operation);
        let same = |mut command: Command| {
            if let Some(identity) = command.identity_mut() {
                identity.transaction_id = ID;
            }
            command
        };
        assert_eq!(same(item.command.unwrap()), same(decode_as(operation, request.to_json()).unwrap()));
    }
}

#[test]
fn bodies_of_others_are_spliced_as_they_are() {
    let bodies = [
        (" {\r\n\t\"wallet_id\" : 1 } \n", r#""wallet_id" : 1"#),
        (
            r#"{"wallet_id":1,"ticker":"}, {\"operation\":1,\"id\":[]}"}"#,
            r#""wallet_id":1,"ticker":"}, {\"operation\":1,\"id\":[]}""#,
        ),
        ("{}", ""),
        ("{ \n}", ""),
    ];
    let mut writer = BatchWriter::default();
    let mut expected = r#"{"operations":["#.to_owned();
    for (index, (text, content)) in bodies.into_iter().enumerate() {
        let body = Body::read(text.as_bytes()).unwrap();
        assert_eq!(body.as_bytes(), text.trim().as_bytes());
        assert_eq!(Vec::from(body.clone()), text.trim().as_bytes());
        assert_eq!((writer.operations(), writer.size_bytes()), (index, expected.len()));
        writer.push("balance", Some("x"), None, &body);
        let comma = if index > 0 { "," } else { "" };
        let gap = if content.is_empty() { "" } else { "," };
        expected += &format!(r#"{comma}{{"operation":"balance","id":"x"{gap}{content}}}"#);
    }
    let json = writer.finish(false);
    assert_eq!(String::from_utf8(json.clone()).unwrap(), expected + "]}");
    let items = decode_batch(json).unwrap().items;
    assert_eq!(items.iter().map(|item| item.command.is_ok()).collect::<Vec<_>>(), [true, true, false, false]);
}

/// None of these may stand beside the requests of others.
#[test]
fn bodies_that_would_not_be_the_same_in_a_batch_are_refused() {
    let bodies: [&[u8]; 13] = [
        b"",
        b"[]",
        b"null",
        b"{",
        br#"{"a":1,}"#,
        br#"{"a":1}}"#,
        br#"{"a":1},{"b":1}"#,
        br#"{"a":1}]"#,
        b"{\"a\":\"\xff\"}",
        br#"{"a":1,"a":1}"#,
        br#"{"wallet_id":1,"id":"x"}"#,
        br#"{"wallet_id":1,"\u006fperation":null}"#,
        br#"{"wallet_id":1,"operation":"balance"}"#,
    ];
    for body in bodies {
        let refusal = Body::read(body).unwrap_err();
        assert_eq!(refusal.code, florin_ledger::ErrorCode::Malformed, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn any_value_may_become_metadata() {
    #[derive(serde::Serialize)]
    struct Order {
        number: u8,
    }
    let json = RawJson::new(&Order { number: 17 }).unwrap();
    assert_eq!(json.as_str(), r#"{"number":17}"#);
    assert_eq!(json, r#"{"number":17}"#.parse().unwrap());
    assert_ne!(json, r#"{"number": 17}"#.parse().unwrap());
    assert!("{".parse::<RawJson>().is_err());
}
