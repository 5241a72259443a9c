mod connections;
mod keys;
mod strangers;

use std::net::Ipv4Addr;

use florin_metrics::Condition;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;

struct Served {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    health: Health,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
}

/// Serves on a free port, without a database and without a broker.
async fn served() -> Served {
    let (database, _) = mpsc::channel(1);
    served_within(database, Duration::from_secs(1)).await
}

/// The same, with a channel to the database and a time limit for answers.
async fn served_within(database: mpsc::Sender<DatabaseRequest>, timeout: Duration) -> Served {
    let listener = listen(&loopback(0)).await.unwrap();
    serve_on(listener, parts(database, timeout).await)
}

async fn parts(database: mpsc::Sender<DatabaseRequest>, timeout: Duration) -> Parts {
    Parts {
        database,
        asyncapi: &Value::Null,
        link: Link::default(),
        health: Health::default(),
        metrics: Metrics::new(),
        amqp_url: format!("amqp://{}", nowhere().await),
        work_queue: "florin.work".into(),
        limits: Limits { max_body_bytes: 1000, max_batch_body_bytes: 1000 },
        key_limits: None,
        allowed_hosts: Vec::new(),
        max_requests: 2,
        proof_key: Arc::new(ProofKey::new([0; 32]).into()),
        timeout,
    }
}

fn serve_on(listener: Listener, parts: Parts) -> Served {
    let address = listener.local_addr().unwrap();
    let (metrics, health) = (Arc::clone(&parts.metrics), parts.health.clone());
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(serve(listener, parts, shutdown.clone()));
    Served { address, metrics, health, shutdown, server }
}

fn loopback(port: u16) -> Settings {
    Settings { host: Ipv4Addr::LOCALHOST.into(), port, ..Settings::default() }
}

/// An address where nothing listens.
async fn nowhere() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap()
}

/// Status, head and body of an answer.
async fn get(address: SocketAddr, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

#[tokio::test]
async fn pages_answer_and_others_are_not_found() {
    let served = served().await;
    served.metrics.replays.inc_by(7);
    let (status, head, body) = get(served.address, "/metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("florin_replays_total 7"), "{body}");
    let (status, _, body) = get(served.address, "/healthz").await;
    assert_eq!((status, body.as_str()), (200, r#"{"status":"alive"}"#));
    let (status, head, body) = get(served.address, "/nothing").await;
    assert_eq!(status, 404);
    assert!(head.contains("application/problem+json"), "{head}");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["error"], "not_found");
    served.shutdown.cancel();
    served.server.await.unwrap();
}

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let served = served().await;
    served.health.set(Condition::CommitsFailing, "permission denied for table postings");
    served.health.set(Condition::EventsRefused, "a queue is full");
    let (status, _, body) = get(served.address, "/readyz").await;
    assert_eq!(status, 503);
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap(),
        json!({
            "status": "not ready",
            "broker": "unreachable",
            "database": "unreachable",
            "reasons": [
                {"code": "broker_unreachable", "part": "broker", "reason": "not connected to RabbitMQ"},
                {"code": "database_unreachable", "part": "database", "reason": "the service is stopping"},
                {"code": "commits_failing", "part": "database", "reason": "permission denied for table postings"},
            ],
            "notes": [{"code": "events_refused", "part": "broker", "reason": "a queue is full"}],
        })
    );
}

/// A database that takes requests and never answers holds up no answer for longer than the limit.
#[tokio::test(start_paused = true)]
async fn a_silent_database_is_unreachable() {
    let (database, _silent) = mpsc::channel(100);
    let served = served_within(database, Duration::from_secs(10)).await;
    let (status, _, body) = get(served.address, "/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains(r#""database":"unreachable""#), "{body}");
    assert!(body.contains(r#""code":"database_frozen""#), "{body}");
    for path in ["/wallets", "/wallets/1/balance", "/console/wallets"] {
        let started = tokio::time::Instant::now();
        let (status, _, body) = get(served.address, path).await;
        assert_eq!(status, 503, "{body}");
        assert!(body.contains("the database did not answer within 10 s"), "{body}");
        assert!(started.elapsed() < Duration::from_secs(11), "{:?}", started.elapsed());
    }
}

/// People type addresses by hand; nobody is sent to another site.
#[tokio::test]
async fn the_root_and_trailing_slashes_lead_to_pages() {
    let served = served().await;
    for (path, status, location) in [
        ("/", 303, "/console"),
        ("/docs/", 308, "/docs"),
        ("/console/", 308, "/console"),
        ("/console/wallets/", 308, "/console/wallets"),
    ] {
        let (answered, head, _) = get(served.address, path).await;
        assert_eq!(answered, status, "{path}");
        assert!(head.contains(&format!("\r\nlocation: {location}\r\n")), "{head}");
    }
    let browser = "GET /nothing HTTP/1.1\r\nHost: localhost\r\nAccept: text/html,*/*;q=0.8\r\nConnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(browser.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    assert!(
        page.starts_with("HTTP/1.1 404") && page.contains("text/html") && page.contains("/console"),
        "{page}"
    );
    for path in ["//evil/", "/x//evil/", "/\\evil/"] {
        let (answered, head, _) = get(served.address, path).await;
        assert!([400, 404].contains(&answered) && !head.contains("\r\nlocation: "), "{path}: {head}");
    }
}

/// A request has an id, the client's or ours, which the response repeats.
#[tokio::test]
async fn every_request_has_an_id() {
    let served = served().await;
    let (_, head, _) = get(served.address, "/wallets").await;
    assert!(head.contains("\r\nx-request-id: "), "{head}");
}

/// Pages of the console are no answers of the API.
#[tokio::test]
async fn views_of_the_console_are_not_counted_as_answers() {
    let served = served().await;
    get(served.address, "/wallets").await;
    for path in ["/console", "/console/wallets", "/console/dead", "/console/sign-in"] {
        get(served.address, path).await;
    }
    let (_, _, metrics) = get(served.address, "/metrics").await;
    let counted: Vec<&str> = metrics.lines().filter(|line| line.contains(r#"transport="http"} "#)).collect();
    let counted: Vec<_> = counted.into_iter().filter(|line| line.starts_with("app_queries")).collect();
    assert_eq!(
        counted,
        [r#"app_queries_status_counter{operation="list_wallets",status="503",transport="http"} 1"#]
    );
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let first = listen(&loopback(0)).await.unwrap();
    let port = first.local_addr().unwrap().port();
    let error = listen(&loopback(port)).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("port {port} is taken: ")), "{error}");
}

/// A client that keeps its connection open does not keep the service from stopping.
#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_idle_clients() {
    let served = served().await;
    let _idle = TcpStream::connect(served.address).await.unwrap();
    served.shutdown.cancel();
    served.server.await.unwrap();
}

/// Where neither the broker nor the database can be reached, nothing is done and the caller is told so.
#[tokio::test]
async fn what_cannot_be_passed_on_is_unavailable() {
    let served = served().await;
    for path in ["/wallets", "/wallets/1/balance", "/transactions/0190a5b0-7c1e-7d3c-8c3e-0123456789ab"] {
        let (status, head, body) = get(served.address, path).await;
        assert_eq!(status, 503, "{body}");
        assert!(head.contains("retry-after: 1"), "{head}");
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["error"], "unavailable");
    }
    for path in ["/console/wallets", "/console/pending", "/console/dead"] {
        let (status, head, body) = get(served.address, path).await;
        assert_eq!(status, 503, "{body}");
        assert!(head.contains("content-type: text/html"), "{head}");
        assert!(body.contains("unavailable"), "{body}");
    }
}
