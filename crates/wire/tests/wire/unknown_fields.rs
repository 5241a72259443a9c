//! Fields that a request does not have: refused with the nearest known one, or ignored for the first clients.

use florin_ledger::{Command, ErrorCode, Operation};
use florin_wire::names::{REQUESTS_EXCHANGE, SEED_EXCHANGE};
use florin_wire::{BATCH, Batch, Body, Envelope, Refusal};

use crate::common::{ID_TEXT, decode_as, decode_batch_in, decode_from_seed, decode_in};

/// A body with all that a request for this operation needs.
fn sound(operation: Operation) -> String {
    let fields = match operation {
        Operation::Invoice | Operation::Withdraw => r#""wallet_id":1,"ticker":"USD","amount":1"#.to_owned(),
        Operation::Transfer => r#""wallet_id":1,"to_wallet_id":2,"ticker":"USD","amount":1"#.to_owned(),
        Operation::Balance | Operation::History => r#""wallet_id":1"#.to_owned(),
        _ => format!(r#""transaction_id":"{ID_TEXT}""#),
    };
    format!("{{{fields}}}")
}

fn with(body: &str, field: &str) -> String {
    format!("{},{field}}}", body.strip_suffix('}').unwrap())
}

/// Where a request can come from, with whether unknown fields are refused there.
const EXCHANGES: [(&str, bool); 3] = [("", true), (REQUESTS_EXCHANGE, true), (SEED_EXCHANGE, false)];

#[test]
fn what_decides_is_the_exchange() {
    for operation in Operation::ALL {
        let body = sound(operation);
        let odd = with(&body, r#""no_such_field":[1e999,{"wallet_id":2}]"#);
        for (exchange, is_refused) in EXCHANGES {
            let envelope = Envelope { operation: operation.as_str(), exchange, ..Envelope::default() };
            let plain = decode_in(&envelope, &body).unwrap();
            match decode_in(&envelope, &odd) {
                Err(refusal) => {
                    assert!(is_refused, "{operation} by {exchange:?}: {refusal}");
                    assert_eq!(refusal.code, ErrorCode::Malformed);
                    assert!(refusal.reason.starts_with("unknown field \"no_such_field\""), "{refusal}");
                }
                Ok(command) => {
                    assert!(!is_refused, "{operation} by {exchange:?}");
                    assert!(same(command, plain));
                }
            }
        }
    }
}

/// Without a `message_id` the identity is a hash of what was sent.
fn same(mut command: Command, mut plain: Command) -> bool {
    if let (Some(own), Some(expected)) = (command.identity_mut(), plain.identity_mut()) {
        own.transaction_id = expected.transaction_id;
    }
    command == plain
}

#[test]
fn the_nearest_known_field_is_named() {
    let invoice = |name: &str| decode_as("invoice", with(&sound(Operation::Invoice), name));
    let rows = [
        (r#""pendng":true"#, r#"unknown field "pendng"; did you mean "pending"?"#),
        (r#""Pending":true"#, r#"unknown field "Pending"; did you mean "pending"?"#),
        (r#""pending ":true"#, r#"unknown field "pending "; did you mean "pending"?"#),
        (r#""p\u0065ndng":null"#, r#"unknown field "pendng"; did you mean "pending"?"#),
        (r#""walletId":2"#, r#"unknown field "walletId"; did you mean "wallet_id"?"#),
        (r#""time_out":2"#, r#"unknown field "time_out"; did you mean "timeout"?"#),
        // Fields of other requests mean nothing here either.
        (r#""to_wallet_id":2"#, r#"unknown field "to_wallet_id"; did you mean "wallet_id"?"#),
        (
            r#""id":"order-17""#,
            r#"unknown field "id"; known are wallet_id, ticker, amount, pending, timeout, metadata"#,
        ),
        (r#""":0"#, r#"unknown field ""; known are wallet_id, ticker, amount, pending, timeout, metadata"#),
        // The first one is named, whatever else is wrong.
        (r#""pendng":true,"metdata":{},"timeout":"x""#, r#"unknown field "pendng"; did you mean "pending"?"#),
        // Only one thing comes before it.
        (r#""pendng":true,"pendng":true"#, r#"duplicate field "pendng""#),
    ];
    for (field, expected) in rows {
        let refusal = invoice(field).unwrap_err();
        assert_eq!((refusal.code, refusal.reason.as_str()), (ErrorCode::Malformed, expected), "{field}");
    }
    let misspelt = decode_as("balance", r#"{"WALLET_ID":1}"#).unwrap_err();
    assert_eq!(misspelt.reason, r#"unknown field "WALLET_ID"; did you mean "wallet_id"?"#);
    let misspelt = decode_from_seed("balance", r#"{"WALLET_ID":1}"#).unwrap_err();
    assert_eq!(misspelt.reason, "wallet_id is missing");
}

#[test]
fn a_long_name_is_shown_in_part() {
    let refusal =
        decode_as("balance", format!(r#"{{"wallet_id":1,"{}":1}}"#, "é".repeat(30_000))).unwrap_err();
    assert!(refusal.reason.len() < 200, "{refusal}");
}

#[test]
fn each_operation_of_a_batch_is_held_to_it_and_so_is_the_batch() {
    let decode = |exchange, body: &str| -> Result<Batch, Refusal> {
        decode_batch_in(&Envelope { operation: BATCH, exchange, ..Envelope::default() }, body)
    };
    let element =
        r#"{"operation":"invoice","id":"a","on_behalf_of":null,"wallet_id":1,"ticker":"USD","amount":1}"#;
    let odd = with(element, r#""pendng":true"#);
    let of = |field: &str| format!(r#"{{"operations":[{element},{odd}]{field}}}"#);
    for (exchange, is_refused) in EXCHANGES {
        let batch = decode(exchange, &of("")).unwrap();
        assert!(batch.items[0].command.is_ok());
        let refusal = batch.items[1].command.as_ref().err().map(|refusal| refusal.reason.as_str());
        let expected = r#"unknown field "pendng"; did you mean "pending"?"#;
        assert_eq!(refusal, is_refused.then_some(expected), "{exchange}");
        let whole = decode(exchange, &of(r#","atomc":true"#)).map(|batch| batch.atomic);
        let reason = whole.as_ref().map_err(|refusal| refusal.reason.as_str());
        let expected = r#"unknown field "atomc"; did you mean "atomic"?"#;
        assert_eq!(reason.copied(), if is_refused { Err(expected) } else { Ok(false) }, "{exchange}");
    }
    let single = decode("", r#"{"operation":[]}"#).unwrap_err();
    assert_eq!(single.reason, r#"unknown field "operation"; did you mean "operations"?"#);
}

/// A client's own body is not judged before the service sees it: the service may be newer.
#[test]
fn a_client_passes_on_what_it_does_not_know() {
    assert!(Body::read(br#"{"wallet_id":1,"pendng":true}"#).is_ok());
}
