//! What is asked of the database for an API key, over the channel that the service answers.

use std::time::SystemTime;

use florin_keys::{ApiKey, Role, Token};
use florin_ledger::TickerRow;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::*;

/// Serves with keys, and with what takes the requests to the database.
async fn served_with_keys() -> (Served, Receiver<DatabaseRequest>) {
    let (database, requests) = mpsc::channel(100);
    let requests_per_second = NonZeroU32::new(1000).unwrap();
    let key_limits = Some(KeyLimits { requests_per_second, max_in_flight: 100 });
    let listener = listen(&loopback(0)).await.unwrap();
    let parts = parts(database, Duration::from_secs(60)).await;
    (serve_on(listener, Parts { max_requests: 1000, key_limits, ..parts }), requests)
}

async fn tickers(address: SocketAddr, token: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /tickers HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

/// Answers every request: these keys exist, and there are no tickers. Tells the ids of the keys that were looked up.
fn answering(mut requests: Receiver<DatabaseRequest>, known: Vec<Token>) -> UnboundedReceiver<String> {
    let (looked_up, ids) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            match request {
                DatabaseRequest::FindKey(Call { parameters: id, answer }) => {
                    looked_up.send(id.clone()).unwrap();
                    let token = known.iter().find(|token| token.id() == id);
                    let _ = answer.send(Ok(token.map(|token| (key(id), token.seal()))));
                }
                DatabaseRequest::ListTickers(Call { answer, .. }) => {
                    let _ = answer.send(Ok(Vec::<TickerRow>::new()));
                }
                request => panic!("{request:?}"),
            }
        }
    });
    ids
}

fn key(id: String) -> ApiKey {
    let (created_at, expires_at, revoked_at) = (SystemTime::UNIX_EPOCH, None, None);
    ApiKey {
        id,
        name: "tester".into(),
        role: Role::Reader,
        wallets: None,
        created_at,
        expires_at,
        revoked_at,
    }
}

#[tokio::test]
async fn the_requests_of_a_key_share_one_look_up() {
    let (served, requests) = served_with_keys().await;
    let token = Token::generate();
    let shown = token.reveal();
    let mut looked_up = answering(requests, vec![token]);
    let many = (0..50).map(|_| tickers(served.address, &shown));
    for (status, answer) in futures_util::future::join_all(many).await {
        assert_eq!(status, 200, "{answer}");
    }
    let mut times = 0;
    while looked_up.try_recv().is_ok() {
        times += 1;
    }
    assert!(times <= 5, "{times} times, once a second at most");
}

/// Guesses cost the database little, and a key that is made later works a second later.
#[tokio::test]
async fn unknown_ids_are_remembered_for_a_second() {
    const GUESSES: usize = 50;
    let (served, requests) = served_with_keys().await;
    let unknown = Token::generate().reveal();
    let mut looked_up = answering(requests, Vec::new());
    for _ in 0..GUESSES {
        assert_eq!(tickers(served.address, &unknown).await.0, 401);
    }
    let times = std::iter::from_fn(|| looked_up.try_recv().ok()).count();
    assert!((1..=GUESSES / 5).contains(&times), "{times} times");
    let again = async {
        while looked_up.try_recv().is_err() {
            assert_eq!(tickers(served.address, &unknown).await.0, 401);
        }
    };
    timeout(Duration::from_secs(20), again).await.expect("it may have been made meanwhile");
}

/// A flood of guesses is cut off before it reaches the database, and a key that is known goes on.
#[tokio::test]
async fn guesses_keep_no_known_key_waiting() {
    let (served, mut requests) = served_with_keys().await;
    let token = Token::generate();
    let shown = token.reveal();
    let known = tokio::spawn({
        let (address, shown) = (served.address, shown.clone());
        async move { tickers(address, &shown).await }
    });
    let Some(DatabaseRequest::FindKey(Call { parameters: id, answer })) = requests.recv().await else {
        panic!()
    };
    answer.send(Ok(Some((key(id), token.seal())))).unwrap();
    let Some(DatabaseRequest::ListTickers(Call { answer, .. })) = requests.recv().await else { panic!() };
    answer.send(Ok(Vec::new())).unwrap();
    assert_eq!(known.await.unwrap().0, 200);

    let mut guesses = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let address = served.address;
        guesses.spawn(async move { tickers(address, &Token::generate().reveal()).await });
    }
    let mut held = Vec::new();
    for _ in 0..200 - 128 {
        let (status, answer) = guesses.join_next().await.unwrap().unwrap();
        assert_eq!(status, 503, "{answer}");
        assert!(answer.contains("overloaded"), "{answer}");
    }
    while let Ok(request) = requests.try_recv() {
        held.push(request);
    }
    assert_eq!(held.len(), 8);
    let mut ids = answering(requests, vec![token]);
    let (status, _) = timeout(Duration::from_secs(20), tickers(served.address, &shown)).await.unwrap();
    assert_eq!(status, 200);
    drop(held);
    let _ = ids.try_recv();
}
