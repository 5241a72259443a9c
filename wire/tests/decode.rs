//! Every way of writing a request: what is taken, and what is refused before any database is asked.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use florin_ledger::{Command, ErrorCode};
use florin_wire::{Envelope, MovementBody, Refusal, Request, decode};
use proptest::prelude::*;

const MAX_BODY_BYTES: usize = 64 * 1024;

fn decode_as(operation: &str, body: impl AsRef<[u8]>) -> Result<Command, Refusal> {
    decode(&Envelope { operation, ..Envelope::default() }, body.as_ref(), MAX_BODY_BYTES)
}

#[test]
fn spellings_of_one_request_mean_the_same() {
    let bodies = [
        r#"{"wallet_id":1,"ticker":"USD","amount":10.5}"#,
        r#"{"amount":"10.50","ticker":"USD","wallet_id":"1"}"#,
        r#"{"wallet_id":1,"ticker":"USD","amount":1.05e1,"metadata":{"a":[1,2]},"x":null}"#,
        "\r\n\t {\"wallet_id\":1,\"ticker\":\"\\u0055SD\",\"\\u0061mount\":105E-1} \n",
    ];
    for body in bodies {
        let Command::Invoice(movement) = decode_as("invoice", body).unwrap() else {
            panic!("not an invoice")
        };
        assert_eq!((movement.wallet_id, movement.ticker.as_str()), (1, "USD"), "{body}");
        assert_eq!(movement.amount, "10.5".parse().unwrap(), "{body}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_a_reason() {
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let deep_field = format!(r#"{{"wallet_id":1,"ticker":"USD","amount":{deep}}}"#);
    let rows = [
        ("", "EOF"),
        ("{", "EOF"),
        ("null", "object"),
        ("[]", "object"),
        (r#"[1,"USD",5]"#, "object"),
        ("1", "object"),
        ("\u{feff}{}", "expected value"),
        (r#"{"wallet_id":1,"ticker":"USD","amount":1} x"#, "trailing"),
        (r#"{"wallet_id":1,"ticker":"USD","amount":1,}"#, "comma"),
        (r#"{"wallet_id":1,"ticker":"USD","amount":1,"amount":7}"#, "duplicate field \"amount\""),
        (r#"{"wallet_id":1,"ticker":"USD","amount":1,"\u0061mount":7}"#, "duplicate field \"amount\""),
        (r#"{"wallet_id":1,"ticker":"USD","amount":1,"x":1,"x":1}"#, "duplicate field \"x\""),
        (r#"{"wallet_id":1,"ticker":"USD"}"#, "amount is missing"),
        (r#"{"wallet_id":1,"ticker":"USD","amount":null}"#, "amount is missing"),
        (r#"{"wallet_id":1,"ticker":"USD","amount":NaN}"#, "cannot be read"),
        (r#"{"wallet_id":1,"ticker":"USD","amount":"NaN"}"#, "amount must be"),
        (r#"{"wallet_id":1,"ticker":"USD","amount":""}"#, "amount must be"),
        (r#"{"wallet_id":1,"ticker":"USD","amount":" 5"}"#, "amount must be"),
        (r#"{"wallet_id":1,"ticker":"USD","amount":"+5"}"#, "amount must be"),
        (r#"{"wallet_id":1,"ticker":"USD","amount":05}"#, "cannot be read"),
        (r#"{"wallet_id":1,"ticker":"USD","amount":"05"}"#, "amount must be"),
        (r#"{"wallet_id":1,"ticker":"USD","amount":true}"#, "amount must be"),
        (r#"{"wallet_id":1,"ticker":"USD","amount":[5]}"#, "amount must be"),
        (r#"{"wallet_id":1,"ticker":"USD","amount":{"$":5}}"#, "amount must be"),
        (&deep_field, "amount must be"),
        (&deep, "object"),
        (r#"{"wallet_id":1,"amount":1}"#, "ticker is missing"),
        (r#"{"wallet_id":1,"ticker":5,"amount":1}"#, "ticker must be"),
        (r#"{"wallet_id":1,"ticker":"\ud800","amount":1}"#, "ticker must be"),
        (r#"{"ticker":"USD","amount":1}"#, "wallet_id is missing"),
        (r#"{"WALLET_ID":1,"ticker":"USD","amount":1}"#, "wallet_id is missing"),
        (r#"{"wallet_id":1.0,"ticker":"USD","amount":1}"#, "wallet_id must be"),
        (r#"{"wallet_id":1e0,"ticker":"USD","amount":1}"#, "wallet_id must be"),
        (r#"{"wallet_id":"+1","ticker":"USD","amount":1}"#, "wallet_id must be"),
        (r#"{"wallet_id":"007","ticker":"USD","amount":1}"#, "wallet_id must be"),
        (r#"{"wallet_id":-0,"ticker":"USD","amount":1}"#, "wallet_id must be"),
        (r#"{"wallet_id":9223372036854775808,"ticker":"USD","amount":1}"#, "wallet_id must be"),
        (r#"{"wallet_id":[1],"ticker":"USD","amount":1}"#, "wallet_id must be"),
    ];
    for (body, part) in rows {
        let refusal = decode_as("withdraw", body).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::Malformed, "{body:.80}");
        assert!(refusal.reason.contains(part), "{body:.80}: {} does not say {part}", refusal.reason);
    }
    assert_eq!(decode_as("invoice", b"{\"wallet_id\":1\xff}").unwrap_err().code, ErrorCode::Malformed);
}

#[test]
fn size_and_operation_come_before_the_body() {
    let huge = vec![b'{'; MAX_BODY_BYTES + 1];
    assert_eq!(decode_as("nonsense", &huge).unwrap_err().code, ErrorCode::TooLarge);
    assert_eq!(decode_as("nonsense", b"{").unwrap_err().code, ErrorCode::UnknownOperation);
    assert_eq!(decode_as("Invoice", b"{").unwrap_err().code, ErrorCode::UnknownOperation);
    assert_eq!(decode_as("invoice", &huge[1..]).unwrap_err().code, ErrorCode::Malformed);
}

#[test]
fn the_whole_range_of_wallets_is_read() {
    for number in [i64::MIN, -1, 0, 2_147_483_648, 4_111_111_111_111_111, i64::MAX] {
        for body in [format!(r#"{{"wallet_id":{number}}}"#), format!(r#"{{"wallet_id":"{number}"}}"#)] {
            assert_eq!(decode_as("balance", &body).unwrap(), Command::Balance { wallet_id: number });
        }
    }
}

/// Values of every JSON type, some of them right.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("1".to_owned()),
        Just(r#""USD""#.to_owned()),
        "-?[0-9]{1,40}(\\.[0-9]{1,30})?([eE][-+]?[0-9]{1,20})?",
        "\"\\PC{0,10}\"",
        "(null|true|\\[\\]|\\{\\}|\\[\\[1\\]\\]|NaN|)",
    ]
}

proptest! {
    #[test]
    fn no_bytes_panic(operation in "(invoice|withdraw|balance|x)", body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_as(&operation, &body);
    }

    #[test]
    fn nearly_right_bodies_do_not_panic(wallet_id in value(), ticker in value(), amount in value()) {
        let body = format!(r#"{{"wallet_id":{wallet_id},"ticker":{ticker},"amount":{amount}}}"#);
        if let Err(refusal) = decode_as("invoice", &body) {
            prop_assert_eq!(refusal.code, ErrorCode::Malformed);
            prop_assert!(refusal.reason.len() < 200);
        }
    }

    #[test]
    fn what_the_client_writes_is_what_the_service_reads(wallet_id: i64, ticker in "[A-Z]{1,8}", units in 1..i128::MAX / 1000) {
        let amount = florin_ledger::Decimal::from_minor(units % florin_ledger::LIMIT, florin_ledger::Scale::new(6).unwrap());
        let request = Request::Withdraw(MovementBody::new(wallet_id, ticker.clone(), amount));
        let Command::Withdraw(movement) = decode_as("withdraw", request.to_json()).unwrap() else { panic!("not a withdrawal") };
        prop_assert_eq!((movement.wallet_id, movement.ticker, movement.amount), (wallet_id, ticker, amount));
    }
}
