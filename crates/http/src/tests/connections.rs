//! Connections that do nothing keep nobody out; those with requests in progress are not cut off.

use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, timeout};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);
const READ_WALLETS: &[u8] = b"GET /wallets HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Serves with these settings, and a database that takes requests and does not answer them.
async fn served_by(settings: Settings) -> (Served, Receiver<DatabaseRequest>) {
    let (database, requests) = mpsc::channel(100);
    let listener = listen(&settings).await.unwrap();
    (
        serve_on(listener, Parts { max_requests: 100, ..parts(database, Duration::from_secs(60)).await }),
        requests,
    )
}

/// Reads the head of an answer, and as much of a body as it announces.
async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            if body.len() == length {
                return text;
            }
        }
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{text}");
    }
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(timeout(PATIENCE, stream.read(&mut [0])).await, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn the_longest_silent_connection_makes_room() {
    let (served, _requests) = served_by(Settings { max_connections: 16, ..loopback(0) }).await;
    let mut silent = Vec::new();
    for _ in 0..9 {
        silent.push(TcpStream::connect(served.address).await.unwrap());
    }
    assert_eq!(get(served.address, "/healthz").await.0, 200);
    assert!(is_closed(&mut silent[0]).await, "one address has half of the places");
    assert!(is_closed(&mut silent[1]).await);
    silent[8].write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(answer(&mut silent[8]).await.starts_with("http/1.1 200"));
}

#[tokio::test]
async fn health_is_answered_when_all_connections_are_busy() {
    let (served, mut requests) = served_by(Settings { max_connections: 16, ..loopback(0) }).await;
    let mut busy = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(READ_WALLETS).await.unwrap();
        busy.push((stream, requests.recv().await.unwrap()));
    }
    for path in health::PATHS {
        let (status, head, _) = timeout(PATIENCE, get(served.address, path)).await.unwrap();
        assert_eq!(status, if path == "/readyz" { 503 } else { 200 }, "{head}");
        assert!(head.contains("\r\nconnection: close"), "{head}");
    }
    let (status, head, body) = get(served.address, "/tickers").await;
    assert_eq!((status, head.contains("retry-after: 1")), (503, true), "{head}");
    assert!(body.contains(r#""error":"overloaded""#), "{body}");
    let (mut stream, request) = busy.pop().unwrap();
    drop(request);
    assert!(answer(&mut stream).await.starts_with("http/1.1 503"), "it was not cut off");
    assert!(busy.iter().all(|(stream, _)| stream.try_read(&mut [0]).is_err()), "nor were the others");
}

/// The service stops only when every request in progress has its answer, which is the last one on its connection.
#[tokio::test]
async fn shutdown_answers_what_is_in_progress_and_closes_what_is_idle() {
    let (served, mut requests) = served_by(Settings { drain_secs: 0, ..loopback(0) }).await;
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    let mut half_a_head = TcpStream::connect(served.address).await.unwrap();
    half_a_head.write_all(b"GET /healthz HT").await.unwrap();
    let mut busy = TcpStream::connect(served.address).await.unwrap();
    busy.write_all(READ_WALLETS).await.unwrap();
    let request = requests.recv().await.unwrap();
    served.shutdown.cancel();
    assert!(is_closed(&mut idle).await && is_closed(&mut half_a_head).await);
    assert!(TcpStream::connect(served.address).await.is_err(), "no more connections are taken");
    assert!(!served.server.is_finished());
    drop(request);
    let answer = answer(&mut busy).await;
    assert!(answer.contains("\r\nconnection: close"), "{answer}");
    timeout(PATIENCE, served.server).await.unwrap().unwrap();
}

/// While load balancers find out, requests are still taken.
#[tokio::test]
async fn readiness_goes_before_anything_else_does() {
    let (served, _requests) = served_by(Settings { drain_secs: 300, ..loopback(0) }).await;
    served.shutdown.cancel();
    let (status, head, body) = get(served.address, "/readyz").await;
    assert_eq!(status, 503, "{body}");
    assert!(
        body.contains(r#"{"code":"stopping","part":"service","reason":"the service is stopping"}"#),
        "{body}"
    );
    assert!(head.contains("\r\nconnection: close"), "{head}");
    assert_eq!(get(served.address, "/docs").await.0, 200);
    assert!(!served.server.is_finished());
}

/// What is never answered does not keep the service from stopping.
#[tokio::test(start_paused = true)]
async fn shutdown_takes_its_time_and_no_longer() {
    let (served, mut requests) = served_by(Settings { shutdown_secs: 12, ..loopback(0) }).await;
    let mut busy = TcpStream::connect(served.address).await.unwrap();
    busy.write_all(READ_WALLETS).await.unwrap();
    let _request = requests.recv().await.unwrap();
    served.shutdown.cancel();
    let started = Instant::now();
    served.server.await.unwrap();
    let secs = started.elapsed().as_secs();
    assert!((13..=14).contains(&secs), "{secs} s");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_as_long_as_the_settings_say() {
    let (served, _requests) = served_by(Settings { keep_alive_secs: 100, ..loopback(0) }).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    for _ in 0..2 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        assert!(answer(&mut stream).await.starts_with("http/1.1 200"));
        sleep(Duration::from_secs(95)).await;
    }
    let started = Instant::now();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_cut_off() {
    const REQUESTS: usize = 400;
    let served = served().await;
    let (_, _, page) = get(served.address, "/openapi.json").await;
    let request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(&request.repeat(REQUESTS)).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read).await;
    assert!(!read.is_empty());
    assert!(read.len() < REQUESTS * page.len() / 2, "{} of {}", read.len(), REQUESTS * page.len());
}

#[tokio::test]
async fn the_head_of_a_request_has_an_exact_limit() {
    const LIMIT: usize = 32 * 1024;
    let served = served().await;
    let head = async |bytes: usize| {
        let head = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx: \r\n\r\n";
        let head = head.replace("x: ", &format!("x: {}", "y".repeat(bytes - head.len())));
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        answer(&mut stream).await
    };
    assert!(head(LIMIT).await.starts_with("http/1.1 200"));
    for bytes in [LIMIT + 1, LIMIT + 8 * 1024] {
        let refused = head(bytes).await;
        assert!(refused.starts_with("http/1.1 431") && refused.contains("head_too_large"), "{refused}");
    }
}
