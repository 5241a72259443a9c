//! HTTP: whatever is sent, the server lives and never answers 500. Database and broker are not there: what
//! would reach them is answered with 503 or 504.
//!
//! The first byte picks the method, or raw bytes; the first line of the rest is the address with its query,
//! the others are the body.

#![no_main]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use florin_broker::Link;
use florin_http::{Parts, Settings, listen, serve};
use florin_metrics::{Health, Metrics};
use florin_wire::Limits;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(5);
/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

fuzz_target!(|data: &[u8]| {
    let Some((pick, rest)) = data.split_first() else { return };
    let (runtime, address) = server();
    runtime.block_on(async {
        let answer = timeout(PATIENCE, ask(*address, *pick, rest)).await.expect("an answer in time");
        assert!(!answer.starts_with(b"HTTP/1.1 500"), "{}", String::from_utf8_lossy(&answer));
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."));
    });
});

fn server() -> &'static (Runtime, SocketAddr) {
    static SERVER: OnceLock<(Runtime, SocketAddr)> = OnceLock::new();
    SERVER.get_or_init(|| {
        let runtime = Runtime::new().expect("a runtime");
        let address = runtime.block_on(async {
            let http = Settings { host: Ipv4Addr::LOCALHOST.into(), port: 0, ..Settings::default() };
            let listener = listen(&http).await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let parts = Parts {
                // Nobody takes what is sent there.
                database: mpsc::channel(1).0,
                asyncapi: &serde_json::Value::Null,
                link: Link::default(),
                health: Health::default(),
                metrics: Metrics::new(),
                amqp_url: format!("amqp://{NOWHERE}"),
                work_queue: "florin.work".into(),
                limits: Limits { max_body_bytes: 10_000, max_batch_body_bytes: 10_000 },
                key_limits: None,
                allowed_hosts: vec!["x".into()],
                max_requests: 8,
                proof_key: Arc::default(),
                timeout: Duration::from_millis(1),
            };
            tokio::spawn(serve(listener, parts, CancellationToken::new()));
            address
        });
        (runtime, address)
    })
}

async fn ask(address: SocketAddr, pick: u8, rest: &[u8]) -> Vec<u8> {
    const METHODS: [&str; 4] = ["GET", "POST", "HEAD", "DELETE"];
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    match METHODS.get(usize::from(pick)) {
        // It may close before it has read all.
        None => {
            let _ = stream.write_all(rest).await;
            let _ = stream.shutdown().await;
        }
        Some(method) => {
            let (line, body) = rest.split_at(rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()));
            let body = body.get(1..).unwrap_or_default();
            let length = body.len();
            let head = [
                method.as_bytes(),
                b" /",
                line,
                format!(" HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n").as_bytes(),
            ]
            .concat();
            let _ = stream.write_all(&[&head, body].concat()).await;
        }
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}
