//! Requests that end a transaction or read something.

use std::time::{Duration, SystemTime};

use florin_ledger::{BalanceQuery, Command, Cursor, HistoryQuery, Resolve, Status};
use florin_wire::JsonTime;
use uuid::Uuid;

use crate::common::{ID, ID_TEXT, assert_malformed, decimal, decode_as, time};

#[test]
fn a_transaction_is_named_by_its_uuid() {
    let body = format!(r#"{{"transaction_id":"{ID_TEXT}"}}"#);
    let resolve = |how| Command::Resolve { transaction_id: ID, how, requested_by: None };
    let rows = [
        ("settle", resolve(Resolve::Settle { amount: None })),
        ("cancel", resolve(Resolve::Cancel)),
        ("expire", resolve(Resolve::Expire)),
        ("transaction", Command::Transaction { transaction_id: ID }),
    ];
    for (operation, expected) in rows {
        assert_eq!(decode_as(operation, &body).unwrap(), expected);
        let what = "transaction_id must be a UUID";
        let rows = [
            ("{}", "transaction_id is missing"),
            ("[\"00000000-0000-0000-0000-000000000007\"]", "object"),
            (r#"{"transaction_id":null}"#, "transaction_id is missing"),
            (r#"{"transaction_id":7}"#, what),
            (r#"{"transaction_id":""}"#, what),
            (r#"{"transaction_id":"00000000000000000000000000000007"}"#, what),
            (r#"{"transaction_id":"{00000000-0000-0000-0000-000000000007}"}"#, what),
            (r#"{"transaction_id":"urn:uuid:00000000-0000-0000-0000-000000000007"}"#, what),
            (r#"{"transaction_id":"00000000-0000-0000-0000-00000000000g"}"#, what),
            (r#"{"transaction_id":"000000000-000-0000-0000-000000000007"}"#, what),
            (r#"{"transaction_id":"x","transaction_id":"x"}"#, "duplicate"),
        ];
        assert_malformed(operation, &rows);
    }
    let upper = r#"{"transaction_id":"0190A5B0-7C1E-7D3C-8C3E-0123456789AB"}"#;
    let transaction_id = Uuid::parse_str("0190a5b0-7c1e-7d3c-8c3e-0123456789ab").unwrap();
    assert_eq!(decode_as("transaction", upper).unwrap(), Command::Transaction { transaction_id });
}

#[test]
fn a_settlement_may_be_a_part() {
    for amount in ["5.5", "\"5.50\"", "55e-1", "0", "-5.5", "1e999999999999"] {
        let body = format!(r#"{{"transaction_id":"{ID_TEXT}","amount":{amount}}}"#);
        let amount = Some(decimal(amount.trim_matches('"')));
        let how = Resolve::Settle { amount };
        let expected = Command::Resolve { transaction_id: ID, how, requested_by: None };
        assert_eq!(decode_as("settle", &body).unwrap(), expected);
    }
    for amount in ["true", "\"\"", "\"all\"", "[5]", "{}"] {
        let body = format!(r#"{{"transaction_id":"{ID_TEXT}","amount":{amount}}}"#);
        assert_malformed("settle", &[(&body, "amount must be")]);
    }
}

#[test]
fn balances_are_asked_for_by_ticker_and_time() {
    let query = BalanceQuery { wallet_id: 1, ticker: None, at: None };
    let rows = [
        (r#"{"wallet_id":1,"ticker":null,"at":null}"#, query.clone()),
        (
            r#"{"wallet_id":1,"ticker":"\u0055SD"}"#,
            BalanceQuery { ticker: Some("USD".into()), ..query.clone() },
        ),
        (
            r#"{"wallet_id":1,"at":"2026-01-31T08:15:30.5Z"}"#,
            BalanceQuery { at: Some(time(500_000)), ..query },
        ),
    ];
    for (body, expected) in rows {
        assert_eq!(decode_as("balance", body).unwrap(), Command::Balance(expected), "{body}");
    }
    let rows = [
        (r#"{"ticker":"USD"}"#, "wallet_id is missing"),
        (r#"{"wallet_id":1,"ticker":5}"#, "ticker must be"),
        (r#"{"wallet_id":1,"at":1769847330}"#, "at must be a time"),
        (r#"{"wallet_id":1,"at":"now"}"#, "at must be a time"),
    ];
    assert_malformed("balance", &rows);
}

/// The time that a text stands for, by `at`.
fn at(text: &str) -> Option<SystemTime> {
    match decode_as("balance", format!(r#"{{"wallet_id":1,"at":"{text}"}}"#)) {
        Ok(Command::Balance(query)) => query.at,
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => {
            assert!(refusal.reason.contains("at must be a time"), "{text}: {refusal}");
            None
        }
    }
}

#[test]
fn times_have_one_notation_and_any_offset() {
    assert_eq!(at("1970-01-01T00:00:00Z"), Some(SystemTime::UNIX_EPOCH));
    assert_eq!(at("2026-01-31T08:15:30Z"), Some(time(0)));
    assert_eq!(at("2026-01-31T08:15:30.000001Z"), Some(time(1)));
    assert_eq!(at("2026-01-31T08:15:30.000001999Z"), Some(time(1)));
    assert!(at("0000-01-01T00:00:00Z") < at("1969-12-31T23:59:59.999999Z"));
    assert!(at("2024-02-29T00:00:00Z").is_some());
    for offset in ["+00:00", "-00:00", "+01:00", "-05:30", "+23:59"] {
        let (sign, ahead) = offset.split_at(1);
        let (hours, minutes) = ahead.split_once(':').unwrap();
        let ahead =
            Duration::from_secs(60 * (60 * hours.parse::<u64>().unwrap() + minutes.parse::<u64>().unwrap()));
        let utc = if sign == "+" { time(1) - ahead } else { time(1) + ahead };
        assert_eq!(at(&format!("2026-01-31T08:15:30.000001{offset}")), Some(utc), "{offset}");
    }
    // To the end of the range.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    assert_eq!(at("9999-12-31T23:59:59Z"), Some(last));
    assert_eq!(at("9999-12-31T23:59:59.999999999Z"), Some(last + Duration::from_micros(999_999)));
    assert_eq!(at("9999-12-31T23:59:59-23:59"), Some(last + Duration::from_secs(86_340)));
    assert!(at("0000-01-01T00:00:00+23:59") < at("0000-01-01T00:00:00Z"));
    for text in ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "2026-01-31T08:15:30.25Z"] {
        assert_eq!(text.parse::<JsonTime>().unwrap().to_string(), text);
    }
    assert_eq!("2026-01-31T08:15:30+01:00".parse::<JsonTime>().unwrap().to_string(), "2026-01-31T07:15:30Z");
    assert_eq!(
        "9999-12-31T23:59:59-01:00".parse::<JsonTime>().unwrap().to_string(),
        "9999-12-31T23:59:59.999999999Z"
    );
    assert_eq!("0000-01-01T00:00:00+01:00".parse::<JsonTime>().unwrap().to_string(), "0000-01-01T00:00:00Z");
    let others = [
        "",
        "2026-01-31",
        "2026-01-31T08:15Z",
        "2026-01-31T08:15:30",
        "2026-01-31 08:15:30Z",
        "2026-01-31t08:15:30z",
        "2026-01-31T08:15:30+0000",
        "2026-01-31T08:15:30+00",
        "2026-01-31T08:15:30+24:00",
        "2026-01-31T08:15:30+00:60",
        "2026-01-31T08:15:30+00:00:00",
        "2026-01-31T08:15:30+1:00",
        "2026-01-31T08:15:30Z+00:00",
        "2026-01-31T08:15:30 00:00",
        "2026-01-31T08:15:30.+00:00",
        "2026-01-31T08:15:30−01:00",
        "2026-01-31T08:15:30Z[UTC]",
        "20260131T081530Z",
        "2026-01-31T08:15:30.Z",
        "2026-01-31T08:15:30.0000000001Z",
        "2026-01-31T08:15:30,5Z",
        "2026-1-31T08:15:30Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T08:60:00Z",
        "2026-01-31T08:15:60Z",
        "2016-12-31T23:59:60Z",
        "-002026-01-31T08:15:30Z",
        "+002026-01-31T08:15:30Z",
        " 2026-01-31T08:15:30Z",
        "2026-01-31T08:15:30ZZ",
        "2026-01-31T08:15:3éZ",
        "２026-01-31T08:15:30Z",
        "10000-01-01T00:00:00Z",
    ];
    for text in others {
        assert_eq!(at(text), None, "{text:?}");
    }
}

const QUERY: HistoryQuery = HistoryQuery {
    wallet_id: 1,
    ticker: None,
    status: None,
    from: None,
    until: None,
    before: None,
    limit: 100,
};

fn history(fields: &str) -> HistoryQuery {
    match decode_as("history", format!(r#"{{"wallet_id":1{fields}}}"#)).unwrap() {
        Command::History(query) => query,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_history_is_asked_for_in_pages() {
    assert_eq!(history(""), QUERY);
    let nulls = r#","ticker":null,"status":null,"from":null,"until":null,"before":null,"limit":null"#;
    assert_eq!(history(nulls), QUERY);
    assert_eq!(history(r#","ticker":"USD""#), HistoryQuery { ticker: Some("USD".into()), ..QUERY });
    for status in Status::ALL {
        let expected = HistoryQuery { status: Some(status), ..QUERY };
        assert_eq!(history(&format!(r#","status":"{status}""#)), expected);
    }
    for (text, limit) in [("1", 1), ("\"7\"", 7), ("1000", 1000), ("7.0", 7), ("1e3", 1000)] {
        assert_eq!(history(&format!(r#","limit":{text}"#)), HistoryQuery { limit, ..QUERY });
    }
    let cursor = r#","before":"000649aab1694c800000000200000000000000ff""#;
    let before = Some(Cursor { created_at: time(0), ticker_id: 2, version: 255 });
    assert_eq!(history(cursor), HistoryQuery { before, ..QUERY });
}

/// Postings have times of whole microseconds, so each bound means the same after it is rounded.
#[test]
fn bounds_between_two_microseconds_keep_their_meaning() {
    let query = history(r#","from":"2026-01-31T08:15:30.0000010Z","until":"2026-01-31T08:15:30.000003Z""#);
    assert_eq!((query.from, query.until), (Some(time(1)), Some(time(3))));
    let query =
        history(r#","from":"2026-01-31T08:15:30.000001001Z","until":"2026-01-31T08:15:30.000002001Z""#);
    assert_eq!((query.from, query.until), (Some(time(2)), Some(time(3))));
    assert!(history(r#","until":"9999-12-31T23:59:59.999999999Z""#).until.is_some());
}

#[test]
fn a_history_that_cannot_be_is_refused() {
    let limit = "limit must be a whole number from 1 to 1000";
    let cursor = "before must be the text of \"next\"";
    let status = "status must be \"Created\", \"Success\" or \"Error\"";
    let rows = [
        ("", "wallet_id is missing"),
        (r#""wallet_id":1,"limit":0"#, limit),
        (r#""wallet_id":1,"limit":1001"#, limit),
        (r#""wallet_id":1,"limit":-1"#, limit),
        (r#""wallet_id":1,"limit":65636"#, limit),
        (r#""wallet_id":1,"limit":1.5"#, limit),
        (r#""wallet_id":1,"limit":"1.0""#, limit),
        (r#""wallet_id":1,"limit":[1]"#, limit),
        (r#""wallet_id":1,"limit":1,"limit":1"#, "duplicate field \"limit\""),
        (r#""wallet_id":1,"status":"created""#, status),
        (r#""wallet_id":1,"status":["Created"]"#, status),
        (r#""wallet_id":1,"status":"""#, status),
        (r#""wallet_id":1,"ticker":1"#, "ticker must be"),
        (r#""wallet_id":1,"from":"2026-01-31""#, "from must be a time"),
        (r#""wallet_id":1,"until":0"#, "until must be a time"),
        (r#""wallet_id":1,"before":"""#, cursor),
        (r#""wallet_id":1,"before":5"#, cursor),
        (r#""wallet_id":1,"before":"000649aab1694c800000000200000000000000f""#, cursor),
        (r#""wallet_id":1,"before":"000649aab1694c800000000200000000000000fff""#, cursor),
        (r#""wallet_id":1,"before":"000649AAB1694C800000000200000000000000FF""#, cursor),
        (r#""wallet_id":1,"before":"+00649aab1694c800000000200000000000000ff""#, cursor),
        (r#""wallet_id":1,"before":"000649aab1694c80é0000002000000000000000f""#, cursor),
        // No posting is of such a time.
        (r#""wallet_id":1,"before":"7fffffffffffffff0000000200000000000000ff""#, cursor),
        (r#""wallet_id":1,"before":"80000000000000000000000200000000000000ff""#, cursor),
        (r#""wallet_id":1,"before":"ff00000000000000000000020000000000000000""#, cursor),
    ];
    for (fields, part) in rows {
        assert_malformed("history", &[(&format!("{{{fields}}}"), part)]);
    }
}
