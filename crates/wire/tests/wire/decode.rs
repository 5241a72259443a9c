//! Every way of writing a request that moves money at once: what is taken, and what is refused before any database
//! is asked.

use florin_ledger::{BalanceQuery, Command, ErrorCode};
use florin_wire::{BATCH, Envelope, decode};

use crate::common::{LIMITS, assert_malformed, decimal, decode_as, decode_from_seed};

#[test]
fn spellings_of_one_request_mean_the_same() {
    let bodies = [
        r#"{"wallet_id":1,"ticker":"USD","amount":10.5}"#,
        r#"{"amount":"10.50","ticker":"USD","wallet_id":"1"}"#,
        r#"{"wallet_id":1,"ticker":"USD","amount":1.05e1,"pending":false,"x":[1e999,{"wallet_id":2}],"y":null}"#,
        r#"{"wallet_id":1,"ticker":"USD","amount":10.5,"id":7,"operation":"withdraw","limit":"x","timeout":null}"#,
        "\r\n\t {\"wallet_id\":1,\"ticker\":\"\\u0055SD\",\"\\u0061mount\":105E-1} \n",
    ];
    for body in bodies {
        let Command::Invoice(movement) = decode_from_seed("invoice", body).unwrap() else {
            panic!("not an invoice")
        };
        assert_eq!((movement.pending, movement.metadata), (None, None), "{body}");
        assert_eq!((movement.wallet_id, movement.ticker.as_str()), (1, "USD"), "{body}");
        assert_eq!(movement.amount, decimal("10.5"), "{body}");
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
        (r#"{"wallet_id":1.5,"ticker":"USD","amount":1}"#, "wallet_id must be"),
        (r#"{"wallet_id":15e-1,"ticker":"USD","amount":1}"#, "wallet_id must be"),
        (r#"{"wallet_id":1e19,"ticker":"USD","amount":1}"#, "wallet_id must be"),
        (r#"{"wallet_id":9223372036854775808.0,"ticker":"USD","amount":1}"#, "wallet_id must be"),
        (r#"{"wallet_id":"1.0","ticker":"USD","amount":1}"#, "wallet_id must be"),
        (r#"{"wallet_id":"-0","ticker":"USD","amount":1}"#, "wallet_id must be"),
        (r#"{"wallet_id":"+1","ticker":"USD","amount":1}"#, "wallet_id must be"),
        (r#"{"wallet_id":"007","ticker":"USD","amount":1}"#, "wallet_id must be"),
        (r#"{"wallet_id":9223372036854775808,"ticker":"USD","amount":1}"#, "wallet_id must be"),
        (r#"{"wallet_id":[1],"ticker":"USD","amount":1}"#, "wallet_id must be"),
    ];
    assert_malformed("invoice", &rows);
    assert_malformed("withdraw", &rows);
}

#[test]
fn text_is_utf8_wherever_it_stands() {
    for body in [&b"{\"wallet_id\":1\xff}"[..], b"{\"wallet_id\":1,\"x\":\"\xff\"}", b"\xff\xfe{\0}\0"] {
        let refusal = decode_as("balance", body).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::Malformed);
        assert!(refusal.reason.contains("UTF-8"), "{refusal}");
    }
}

#[test]
fn what_a_client_wrote_is_shown_in_part() {
    let long = "x".repeat(10_000);
    let bodies = [format!("{long:?}"), format!("{{\"{long}\":1,\"{long}\":1}}"), format!("{{\"x\":{long}}}")];
    for body in bodies {
        assert_malformed("invoice", &[(&body, "")]);
    }
}

#[test]
fn size_and_operation_come_before_the_body() {
    let huge = vec![b'{'; LIMITS.max_batch_body_bytes + 1];
    let code = |operation, size: usize| {
        decode(&Envelope { operation, ..Envelope::default() }, &huge[..size], &LIMITS).unwrap_err().code
    };
    let limit = LIMITS.max_body_bytes;
    assert_eq!(code("nonsense", limit + 1), ErrorCode::TooLarge);
    assert_eq!(code("nonsense", limit), ErrorCode::UnknownOperation);
    assert_eq!(code("Invoice", 1), ErrorCode::UnknownOperation);
    assert_eq!(code("", 1), ErrorCode::UnknownOperation);
    assert_eq!(code("invoice", limit), ErrorCode::Malformed);
    assert_eq!(code(BATCH, limit + 1), ErrorCode::Malformed);
    assert_eq!(code(BATCH, huge.len() - 1), ErrorCode::Malformed);
    assert_eq!(code(BATCH, huge.len()), ErrorCode::TooLarge);
}

#[test]
fn an_unknown_operation_is_told_the_known_ones() {
    let refusal = decode_as("\"nonsense\"\n", "{}").unwrap_err();
    let expected = "unknown operation \"\\\"nonsense\\\"\\n\"; known are invoice, withdraw, transfer, settle, cancel, \
                    expire, balance, transaction, history, batch";
    assert_eq!(refusal.reason, expected);
}

#[test]
fn the_whole_range_of_wallets_is_read() {
    for wallet_id in [i64::MIN, -1, 0, 2_147_483_648, 4_111_111_111_111_111, i64::MAX] {
        for body in [format!(r#"{{"wallet_id":{wallet_id}}}"#), format!(r#"{{"wallet_id":"{wallet_id}"}}"#)] {
            let expected = Command::Balance(BalanceQuery { wallet_id, ticker: None, at: None });
            assert_eq!(decode_as("balance", &body).unwrap(), expected);
        }
    }
}

#[test]
fn a_transfer_has_two_wallets() {
    let body = r#"{"wallet_id":1,"to_wallet_id":"2","ticker":"USD","amount":"10.50"}"#;
    let Command::Transfer { movement, to_wallet_id } = decode_as("transfer", body).unwrap() else {
        panic!("not a transfer")
    };
    assert_eq!((movement.wallet_id, to_wallet_id, movement.amount), (1, 2, decimal("10.5")));
    let rows = [
        (r#"{"wallet_id":1,"ticker":"USD","amount":1}"#, "to_wallet_id is missing"),
        (r#"{"wallet_id":1,"to_wallet_id":null,"ticker":"USD","amount":1}"#, "to_wallet_id is missing"),
        (r#"{"wallet_id":1,"to_wallet_id":2.5,"ticker":"USD","amount":1}"#, "to_wallet_id must be"),
        (r#"{"wallet_id":1,"to_wallet_id":2,"to_wallet_id":2,"ticker":"USD","amount":1}"#, "duplicate"),
        (r#"{"to_wallet_id":2,"ticker":"USD","amount":1}"#, "wallet_id is missing"),
        (r#"{"wallet_id":1,"to_wallet_id":2,"ticker":"USD"}"#, "amount is missing"),
    ];
    assert_malformed("transfer", &rows);
    // That they differ is the rules' business.
    assert!(decode_as("transfer", r#"{"wallet_id":1,"to_wallet_id":1,"ticker":"USD","amount":1}"#).is_ok());
}
