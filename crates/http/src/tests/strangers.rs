//! Whatever strangers send, the server lives and never answers 500. Database and broker are not there.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

const PATHS: [&str; 20] = [
    "invoice",
    "withdraw",
    "transfer",
    "settle",
    "cancel",
    "batch",
    "balance",
    "wallets",
    "tickers",
    "wallets/1",
    "wallets/1/balance",
    "wallets/x/history",
    "transactions/7",
    "console",
    "docs",
    "healthz",
    "readyz",
    "metrics",
    "openapi.json",
    "",
];
const NAMES: [&str; 8] = ["at", "ticker", "limit", "before", "status", "from", "after", "x"];
const METHODS: [&str; 5] = ["GET", "POST", "HEAD", "PUT", "X"];

/// Addresses that are there, nearly there, and anything.
fn address() -> impl Strategy<Value = String> {
    let value =
        prop_oneof!["[0-9]{1,25}", "[!-~&&[^#&]]{0,20}", "(%[0-9a-f]{2}){0,5}", Just("%zz".to_owned())];
    let query = prop::collection::vec((prop::sample::select(&NAMES[..]), value), 0..4);
    let known = (prop::sample::select(&PATHS[..]), query).prop_map(|(path, query)| {
        let query: Vec<_> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{path}?{}", query.join("&"))
    });
    prop_oneof![4 => known, 1 => "[!-~]{0,30}"]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let nearly = "\\{(\"(wallet_id|ticker|amount|operations|transaction_id)\":(1|\"USD\"|1e3|null|\\[\\]|\\{\\}),?){0,4}\\}";
    prop_oneof![nearly.prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..1200)]
}

/// A request that is whole, with any content; or bytes that are none.
fn request() -> impl Strategy<Value = (bool, Vec<u8>)> {
    let key = prop_oneof![Just(String::new()), "idempotency-key: [ -~]{0,300}\r\n"];
    let whole = (prop::sample::select(&METHODS[..]), address(), key, body());
    let whole = whole.prop_map(|(method, address, key, body)| {
        let length = body.len();
        let head = format!(
            "{method} /{address} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n{key}content-length: {length}\r\n\r\n"
        );
        (true, [head.as_bytes(), &body].concat())
    });
    let raw = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "(GET|POST) /[a-z/]{0,9} HTTP/1.[019]\r\n([a-z-]{1,20}: [ -~]{0,20}\r\n){0,5}(\r\n)?[ -~]{0,20}"
            .prop_map(String::into_bytes),
    ];
    prop_oneof![4 => whole, 1 => raw.prop_map(|bytes| (false, bytes))]
}

async fn ask(address: SocketAddr, whole: bool, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may close before it has read all.
    let _ = stream.write_all(bytes).await;
    if !whole {
        let _ = stream.shutdown().await;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

#[test]
fn strangers_get_an_answer_and_never_500() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (database, _) = mpsc::channel(1);
    let served = runtime.block_on(served_within(database, Duration::from_millis(1)));
    let mut runner = TestRunner::new(Config { cases: 400, ..Config::default() });
    let result = runner.run(&request(), |(whole, bytes)| {
        let answer = ask(served.address, whole, &bytes);
        let patience = Duration::from_secs(20);
        let answer = runtime.block_on(async { tokio::time::timeout(patience, answer).await }).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        prop_assert!(answer.starts_with("HTTP/1.") || !whole && answer.is_empty(), "{answer}");
        prop_assert!(!answer.starts_with("HTTP/1.1 500"), "{answer}");
        Ok(())
    });
    result.unwrap();
    assert_eq!(runtime.block_on(get(served.address, "/healthz")).0, 200);
}
