//! What one caller may take of the service, and who is kept out meanwhile: nobody.

use std::time::Duration;

use florin_keys::Role;
use futures_util::future::join_all;
use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::key;
use crate::common::{Http, Service, World};

const INVOICE: &str = r#"{"wallet_id":1,"ticker":"USD","amount":5}"#;

#[tokio::test]
async fn a_key_has_a_number_of_requests_in_progress() {
    let world = World::new().await;
    let service = Service::start(
        &world,
        &[
            ("FLORIN_HTTP_MAX_IN_FLIGHT_PER_KEY", "3"),
            ("FLORIN_HTTP_KEY_REQUESTS_PER_SECOND", "1000000"),
            ("FLORIN_HTTP_TIMEOUT_SECS", "60"),
        ],
    )
    .await;
    let nobody = Http::of(&service);
    let http = nobody.with_key(&key(&world, "eager", Role::Client, None).await);
    let other = nobody.with_key(&key(&world, "calm", Role::Client, None).await);
    let ledger = world.ledger().await;
    ledger.hold_commits().await;
    let held: Vec<_> = (0..3)
        .map(|_| {
            let http = http.clone();
            // One that came while a request below was in progress comes again.
            tokio::spawn(async move {
                loop {
                    let answer = http.post("/invoice", INVOICE).await;
                    if answer.status != 429 {
                        return answer;
                    }
                }
            })
        })
        .collect();
    let refused = async {
        loop {
            let answer = http.get("/tickers").await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let refused = timeout(Duration::from_secs(60), refused).await.unwrap();
    assert_eq!(refused.refusal(), (429, "too_many_in_flight".into()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(other.get("/tickers").await.status, 200);
    ledger.release_commits().await;
    for answer in join_all(held).await {
        assert_eq!(answer.unwrap().status, 200);
    }
    assert_eq!(http.get("/tickers").await.status, 200);
    ledger.assert_sound().await;
}

/// Silent connections make room, the oldest first.
#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let world = World::new().await;
    let service = Service::start(&world, &[("FLORIN_HTTP_MAX_CONNECTIONS", "100")]).await;
    let http = Http::of(&service).with_key(&key(&world, "tester", Role::Client, None).await);
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(&service.http_address).await.unwrap());
    }
    assert_eq!(http.post("/invoice", INVOICE).await.status, 200);
    assert!(service.get("/readyz").await.starts_with("HTTP/1.1 200"));
    assert_eq!(silent[0].read(&mut [0]).await.unwrap(), 0, "the first made room");
}

#[tokio::test]
async fn a_hangup_does_not_end_the_service() {
    let world = World::new().await;
    let mut service = Service::start(&world, &[]).await;
    service.signal(Signal::SIGHUP);
    service.line_with("SIGHUP ignored").await;
    assert!(service.get("/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(service.terminate().await.0.success());
}
