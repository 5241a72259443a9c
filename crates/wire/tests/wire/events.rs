//! What is told when a transaction is opened or ended.

use std::sync::Arc;

use florin_ledger::{Balance, Change, ErrorCode, Operation, Posting, Resolution, Status, Transaction};
use florin_wire::{Event, Events, names};

use crate::common::{ID_TEXT, decimal, time, transaction};

fn posting(wallet_id: i64, version: i64, actual: i128, frozen: i128) -> Posting {
    Posting { wallet_id, leg: 0, after: Balance { version, actual, frozen, held: true, created_at: time(1) } }
}

fn transfer() -> Transaction {
    Transaction { operation: Operation::Transfer, to_wallet_id: Some(4), ..transaction() }
}

#[test]
fn an_event_holds_the_transaction_and_the_balances_after_it() {
    let change = Change {
        transaction: Transaction {
            metadata: Some(Arc::from("{\"a\" : 1}")),
            requested_by: Some(Arc::from("key:shop-1")),
            ..transfer()
        },
        first: posting(3, 12, 850, 0),
        second: Some(posting(4, 1, 150, 99)),
    };
    let events = Events { events: vec![Event::new(&change)] };
    let expected = concat!(
        r#"{"events":[{"event_id":"00000000-0000-0000-0000-000000000007.success","#,
        r#""transaction":{"transaction_id":"00000000-0000-0000-0000-000000000007","operation":"transfer","#,
        r#""status":"Success","wallet_id":3,"to_wallet_id":4,"ticker":"USD","amount":1.5,"#,
        r#""created_at":"2026-01-31T08:15:30Z","ended_at":"2026-01-31T08:15:30Z","#,
        r#""requested_by":"key:shop-1","metadata":{"a" : 1}},"#,
        r#""balances":[{"wallet_id":3,"ticker":"USD","version":12,"actual_balance":8.5,"frozen_balance":0},"#,
        r#"{"wallet_id":4,"ticker":"USD","version":1,"actual_balance":1.5,"frozen_balance":0.99}],"#,
        r#""created_at":"2026-01-31T08:15:30.000001Z"}]}"#,
    );
    assert_eq!(String::from_utf8(events.to_json()).unwrap(), expected);
    let read = Events::from_json(expected.as_bytes()).unwrap();
    assert_eq!(read, events);
    assert_eq!(read.events[0].balances[1].frozen_balance.0, decimal("0.99"));
    assert!(Events::from_json(b"{}").is_err());
}

#[test]
fn it_is_named_by_operation_and_status() {
    let ended = |error| Some(Resolution { error, amount: 150, at: time(1), requested_by: None });
    let created = Transaction { opened: Status::Created, ..transfer() };
    let rows = [
        (transaction(), "transaction.withdraw.success", "success"),
        (created.clone(), "transaction.transfer.created", "created"),
        (
            Transaction { resolution: ended(None), ..created.clone() },
            "transaction.transfer.success",
            "success",
        ),
        (
            Transaction { resolution: ended(Some(ErrorCode::Expired)), ..created },
            "transaction.transfer.error",
            "error",
        ),
        (
            Transaction {
                operation: Operation::Invoice,
                opened: Status::Error,
                refusal: Some(ErrorCode::BatchFailed),
                ..transaction()
            },
            "transaction.invoice.error",
            "error",
        ),
    ];
    for (transaction, routing_key, status) in rows {
        let change = Change { transaction, first: posting(3, 1, 0, 0), second: None };
        let event = Event::new(&change);
        assert_eq!(
            (event.routing_key(), event.event_id.clone()),
            (routing_key.into(), format!("{ID_TEXT}.{status}"))
        );
        assert_eq!(event.balances.len(), 1);
    }
    assert_eq!(names::EVENTS_EXCHANGE, "florin.events");
}
