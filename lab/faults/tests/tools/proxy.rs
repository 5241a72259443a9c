//! The proxy between real clients and servers.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use devstack::{Options, Postgres};
use florin_faults::proxy::{Mode, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server that sends back what it gets.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut from, mut to) = stream.into_split();
                // The connection may be cut.
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn round_trip(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(text).await?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).await?;
    Ok(back)
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

#[tokio::test]
async fn a_proxy_to_several_servers_goes_to_those_that_are_there() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = Proxy::start_to_any(vec![nobody, echo().await]).unwrap();
    for _ in 0..4 {
        assert_eq!(round_trip(&mut connect(&proxy).await, b"text").await.unwrap(), b"text");
    }
    proxy.lead_to(nobody);
    assert!(round_trip(&mut connect(&proxy).await, b"text").await.is_err());
}

#[tokio::test]
async fn an_open_proxy_passes_everything_on_until_both_sides_are_done() {
    let proxy = Proxy::start(echo().await).unwrap();
    let stream = connect(&proxy).await;
    let (mut from, mut to) = stream.into_split();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let sending = tokio::spawn({
        let sent = sent.clone();
        async move {
            to.write_all(&sent).await.unwrap();
            to.shutdown().await.unwrap();
        }
    });
    let mut received = Vec::new();
    timeout(PATIENCE, from.read_to_end(&mut received)).await.unwrap().unwrap();
    sending.await.unwrap();
    assert!(received == sent);
}

#[tokio::test]
async fn a_cut_ends_all_connections_and_refuses_new_ones_until_it_is_opened() {
    let proxy = Proxy::start(echo().await).unwrap();
    for _ in 0..20 {
        let mut old = connect(&proxy).await;
        assert_eq!(round_trip(&mut old, b"one").await.unwrap(), b"one");
        proxy.set(Mode::Cut);
        let mut new = connect(&proxy).await;
        for stream in [&mut old, &mut new] {
            assert!(timeout(PATIENCE, stream.read_u8()).await.unwrap().is_err());
        }
        proxy.set(Mode::Open);
        assert_eq!(round_trip(&mut connect(&proxy).await, b"two").await.unwrap(), b"two");
    }
    let mut old = connect(&proxy).await;
    round_trip(&mut old, b"one").await.unwrap();
    // However short it was.
    proxy.set(Mode::Cut);
    proxy.set(Mode::Open);
    assert!(timeout(PATIENCE, old.read_u8()).await.unwrap().is_err());
}

#[tokio::test]
async fn delays_and_throttles_last_as_long_as_they_are_set() {
    let proxy = Proxy::start(echo().await).unwrap();
    let mut stream = connect(&proxy).await;
    let pause = Duration::from_millis(150);
    proxy.set(Mode::Delay(pause));
    let started = Instant::now();
    round_trip(&mut stream, b"slow").await.unwrap();
    assert!(started.elapsed() >= 2 * pause, "{:?}", started.elapsed());

    proxy.set(Mode::Throttle { bytes_per_sec: 10_000 });
    let started = Instant::now();
    round_trip(&mut stream, &[1; 5000]).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(500), "{:?}", started.elapsed());

    // What is held back goes on at once when the proxy opens.
    proxy.set(Mode::Delay(Duration::from_secs(3600)));
    stream.write_all(b"held").await.unwrap();
    proxy.set(Mode::Open);
    let mut back = [0; 4];
    timeout(PATIENCE, stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(&back, b"held");
}

#[tokio::test]
async fn a_black_hole_keeps_connections_and_what_was_sent() {
    let proxy = Proxy::start(echo().await).unwrap();
    let mut old = connect(&proxy).await;
    round_trip(&mut old, b"before").await.unwrap();
    proxy.set(Mode::BlackHole);
    let mut new = connect(&proxy).await;
    for stream in [&mut old, &mut new] {
        stream.write_all(b"lost?").await.unwrap();
        assert!(timeout(Duration::from_millis(200), stream.read_u8()).await.is_err(), "nothing comes back");
    }
    proxy.set(Mode::Open);
    for mut stream in [old, new] {
        let mut back = [0; 5];
        timeout(PATIENCE, stream.read_exact(&mut back)).await.unwrap().unwrap();
        assert_eq!(&back, b"lost?");
    }
}

#[tokio::test]
async fn a_cut_after_some_bytes_lets_exactly_these_through() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).unwrap();
    let mut client = connect(&proxy).await;
    let (mut server, _) = listener.accept().await.unwrap();
    client.write_all(b"earlier ").await.unwrap();
    let mut received = vec![0; 8];
    server.read_exact(&mut received).await.unwrap();
    proxy.set(Mode::CutAfterBytes(7));
    client.write_all(b"12345").await.unwrap();
    client.write_all(b"6789").await.unwrap();
    timeout(PATIENCE, server.read_to_end(&mut received)).await.unwrap().unwrap();
    assert_eq!(received, b"earlier 1234567");
    drop(server);
    assert!(timeout(PATIENCE, client.read_u8()).await.unwrap().is_err());
    assert_eq!((proxy.mode(), proxy.moments()), (Mode::Open, 1));
}

#[tokio::test]
async fn the_server_may_come_and_go_and_the_proxy_ends_when_it_is_dropped() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    drop(listener);
    let proxy = Proxy::start(upstream).unwrap();
    let mut refused = connect(&proxy).await;
    assert!(timeout(PATIENCE, refused.read_u8()).await.unwrap().is_err());

    let listener = TcpListener::bind(upstream).await.unwrap();
    let mut client = connect(&proxy).await;
    let (mut server, _) = listener.accept().await.unwrap();
    server.write_all(b"x").await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'x');
    let address = proxy.address();
    drop(proxy);
    assert!(!matches!(timeout(PATIENCE, client.read(&mut [0])).await.unwrap(), Ok(1..)));
    assert!(TcpStream::connect(address).await.is_err());
}

fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| Postgres::launch(&Options::default()).unwrap())
}

async fn session(port: u16) -> Client {
    let url = format!("postgres://florin@127.0.0.1:{port}/florin");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The outcome of a commit: whether the client learned it, and whether the row is there.
async fn commit_under(mode: Mode, table: &str, in_transaction: bool) -> (bool, bool) {
    let port = tokio::task::spawn_blocking(|| postgres().port()).await.unwrap();
    let direct = session(port).await;
    direct.batch_execute(&format!("CREATE TABLE {table} (x int)")).await.unwrap();
    let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    let mut client = session(proxy.address().port()).await;
    let insert = client.prepare(&format!("INSERT INTO {table} VALUES ($1)")).await.unwrap();
    proxy.set(mode);
    // What does not commit is no moment.
    client.query_one("SELECT 1", &[]).await.unwrap();
    assert_eq!(proxy.moments(), 0);
    let told = if in_transaction {
        let transaction = client.transaction().await.unwrap();
        transaction.execute(&insert, &[&1]).await.unwrap();
        transaction.commit().await.is_ok()
    } else {
        client.execute(&insert, &[&1]).await.is_ok()
    };
    timeout(PATIENCE, proxy.until_open()).await.unwrap();
    assert_eq!(proxy.moments(), u64::from(mode != Mode::Open));
    assert_eq!(client.query_one("SELECT 1", &[]).await.is_ok(), told);
    // A lock that waits until the other session has ended.
    direct.batch_execute(&format!("BEGIN; LOCK TABLE {table}; COMMIT")).await.unwrap();
    let rows: i64 = direct.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0);
    // The proxy works on after that.
    session(proxy.address().port()).await.query_one("SELECT 1", &[]).await.unwrap();
    (told, rows == 1)
}

#[tokio::test]
async fn a_commit_is_in_doubt_when_the_cut_comes_after_it() {
    assert_eq!(commit_under(Mode::Open, "open", true).await, (true, true));
    for (in_transaction, name) in [(true, "alone"), (false, "within")] {
        let after = commit_under(Mode::CutAfterCommit, &format!("after_{name}"), in_transaction).await;
        assert_eq!(after, (false, true));
        let before = commit_under(Mode::CutBeforeCommit, &format!("before_{name}"), in_transaction).await;
        assert_eq!(before, (false, false));
    }
}
