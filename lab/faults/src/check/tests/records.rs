//! A small correct history, made by hand.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::history::{Line, What};
use crate::kind::Topology;
use crate::plan::Settings;
use crate::record::{Posting, Queued, Records, Ticker, Verified};

pub(super) fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

pub(super) fn line(request: &str, what: What) -> Line {
    Line { at_ms: 0, request: request.into(), what }
}

pub(super) fn send(request: &str, operation: &str, message_id: Option<String>, body: &str) -> Line {
    let (operation, body) = (operation.to_owned(), body.to_owned());
    line(request, What::Send { attempt: 1, operation, message_id, body })
}

pub(super) fn confirmed(request: &str) -> Line {
    line(request, What::Confirmed { attempt: 1 })
}

pub(super) fn answer(request: &str, text: &str) -> Line {
    line(request, What::Answer { replayed: false, text: text.into() })
}

pub(super) fn told(request: &str, operation: &str, number: u128, body: &str, reply: &str) -> [Line; 3] {
    let message_id = Some(id(number).to_string());
    [send(request, operation, message_id, body), confirmed(request), answer(request, reply)]
}

pub(super) fn done(operation: &str, number: u128, code: u16, rest: &str) -> String {
    let body = format!(r#"{{"transaction_id":"{}",{rest}}}"#, id(number));
    let body = serde_json::to_string(&body).unwrap();
    format!(r#"{{"operation":"{operation}","code":{code},"body":{body}}}"#)
}

pub(super) struct Row(
    pub(super) i64,
    pub(super) i64,
    pub(super) u128,
    pub(super) i16,
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) [&'static str; 2],
);

pub(super) fn posting(row: &Row) -> Posting {
    let Row(wallet_id, version, number, leg, operation, status, amount, [actual, frozen]) = *row;
    let (status, error) = match status.split_once(' ') {
        Some((status, error)) => (status, Some(error.to_owned())),
        None => (status, None),
    };
    let other = match (operation, leg) {
        ("transfer", 0 | 2) => Some(2),
        ("transfer", _) => Some(1),
        _ => None,
    };
    Posting {
        wallet_id,
        ticker: "USD".into(),
        version,
        transaction_id: id(number),
        leg,
        operation: operation.into(),
        status: status.into(),
        error,
        amount: amount.into(),
        actual_after: actual.into(),
        frozen_after: frozen.into(),
        counterparty_wallet_id: other,
        created_at: version * 1000,
        expires_at: None,
        request: None,
        place: None,
    }
}

fn postings() -> Vec<Posting> {
    let rows = [
        Row(1, 1, 1, 0, "invoice", "Success", "10", ["10", "0"]),
        Row(1, 2, 2, 0, "withdraw", "Success", "3", ["7", "0"]),
        Row(1, 3, 3, 0, "withdraw", "Error insufficient_funds", "99", ["7", "0"]),
        Row(1, 4, 4, 0, "transfer", "Created", "2", ["5", "2"]),
        Row(1, 5, 4, 2, "transfer", "Success", "1.5", ["5.5", "0"]),
        Row(2, 1, 4, 3, "transfer", "Success", "1.5", ["1.5", "0"]),
    ];
    rows.iter().map(posting).collect()
}

pub(super) fn event(posting: &Posting) -> Queued {
    let Posting { transaction_id, operation, status, wallet_id, version, .. } = posting;
    let text = format!(
        r#"{{"events":[{{"event_id":"{transaction_id}","transaction":{{"transaction_id":"{transaction_id}","operation":"{operation}","status":"{status}","wallet_id":1,
        "ticker":"USD","amount":1,"created_at":"2026-01-31T08:15:30Z"}},"balances":[{{"wallet_id":{wallet_id},
        "ticker":"USD","version":{version},"actual_balance":{},"frozen_balance":{}}}],
        "created_at":"2026-01-31T08:15:30Z"}}]}}"#,
        posting.actual_after, posting.frozen_after
    );
    let routing_key = format!("transaction.{operation}.{}", status.to_lowercase());
    Queued { request: String::new(), routing_key, text }
}

pub(super) const ONE: &str = r#"{"wallet_id":1,"ticker":"USD","amount":10}"#;
pub(super) const REFUSED: &str = r#"{"operation":"withdraw","code":400,"reason":"too little","error":"insufficient_funds",
    "transaction_id":"00000000-0000-0000-0000-000000000003"}"#;
const BALANCE: &str = r#"{"operation":"balance","code":200,"body":"{\"actual_balance\":{\"USD\":5.5}}"}"#;
const HISTORY: &str = r#"{"operation":"history","code":200,"body":"{\"postings\":[{\"ticker\":\"USD\",\"version\":1,\"transaction_id\":\"00000000-0000-0000-0000-000000000004\",\"operation\":\"transfer\",\"status\":\"Success\",\"amount\":1.5,\"actual_balance\":1.5,\"frozen_balance\":0,\"created_at\":\"2026-01-31T08:15:30Z\"}]}"}"#;

pub(super) fn clean() -> Records {
    let mut first = Vec::new();
    first.extend(told("a1", "invoice", 1, ONE, &done("invoice", 1, 200, r#""status":"Success""#)));
    let body = r#"{"wallet_id":1,"ticker":"USD","amount":"3.00"}"#;
    first.extend(told("a2", "withdraw", 2, body, &done("withdraw", 2, 200, r#""status":"Success""#)));
    let body = r#"{"wallet_id":1,"ticker":"USD","amount":99}"#;
    first.extend(told("a3", "withdraw", 3, body, REFUSED));
    let mut second = Vec::new();
    let body = r#"{"wallet_id":1,"to_wallet_id":2,"ticker":"USD","amount":2,"pending":true}"#;
    second.extend(told("b1", "transfer", 4, body, &done("transfer", 4, 202, r#""status":"Created""#)));
    let body = format!(r#"{{"transaction_id":"{}","amount":1.5}}"#, id(4));
    let reply = done("settle", 4, 200, r#""status":"Success","settled_amount":1.5"#);
    second.extend(told("b2", "settle", 5, &body, &reply));
    second.extend(told("b3", "balance", 6, r#"{"wallet_id":1}"#, BALANCE));
    second.extend(told("b4", "history", 7, r#"{"wallet_id":2}"#, HISTORY));
    let body = format!(r#"{{"transaction_id":"{}"}}"#, id(4));
    second.extend(told("b5", "transaction", 8, &body, &transaction("Success")));
    let postings = postings();
    Records {
        settings: Settings {
            topology: Topology::Single,
            seed: 1,
            seconds: 1,
            single_active_consumer: true,
            max_batch_commands: 1000,
            clients: 2,
            http_clients: 0,
            bare_requests: true,
        },
        histories: BTreeMap::from([(1, first), (2, second)]),
        tickers: vec![Ticker { name: "USD".into(), scale: 2 }],
        events: postings.iter().map(event).collect(),
        postings,
        work: Vec::new(),
        dead: Vec::new(),
        dated_ahead: false,
        verified: Verified { code: Some(0), text: String::new() },
    }
}

pub(super) fn transaction(status: &str) -> String {
    let rest = format!(
        r#""operation":"transfer","status":"{status}","wallet_id":1,"ticker":"USD","amount":2,"created_at":"2026-01-31T08:15:30Z""#
    );
    done("transaction", 4, 200, &rest)
}
