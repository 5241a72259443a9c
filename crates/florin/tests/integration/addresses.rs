//! Several addresses of a broker: as long as one answers, the service, the client and the command line work.

use florin_client::{Client, ClientOptions};
use lapin::uri::AMQPUri;

use crate::common::{Run, SeedClient, Service, World};

/// Enough for a random order to begin with a dead address at least once.
const TRIES: usize = 8;

/// The address of the broker, after one where nothing listens, and before one that takes connections and says nothing.
async fn with_dead_ones(world: &World) -> (World, tokio::net::TcpListener) {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = |port| {
        let mut uri: AMQPUri = world.amqp_url.parse().unwrap();
        uri.authority.port = port;
        uri.to_string()
    };
    let silent_port = silent.local_addr().unwrap().port();
    let amqp_url = format!("{}, {},{}", at(1), world.amqp_url, at(silent_port));
    (World { amqp_url, ..world.clone() }, silent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_that_answers_is_enough() {
    let world = World::new().await;
    let (several, _silent) = with_dead_ones(&world).await;
    let _service = Service::start(&several, &[]).await;
    let mut seed_client = SeedClient::connect(&world.amqp_url).await;
    let reply = seed_client.call("invoice", br#"{"wallet_id":1,"ticker":"USD","amount":1}"#).await;
    assert_eq!(reply.code, 200);
    for _ in 0..TRIES {
        let client = Client::connect(&several.amqp_url, ClientOptions::default()).await.unwrap();
        assert_eq!(client.balance(1).await.unwrap().reply.code, 200);
    }
    let status = ["status", "--json", "--database-url", several.database_url.as_str()];
    let status = Run::florin(&several.amqp_url, &status).await.json();
    assert_eq!(status["problems"], serde_json::json!([]), "{status}");
    assert!(status["broker"]["product"].as_str().unwrap().starts_with("RabbitMQ "), "{status}");
    let letters = Run::florin(&several.amqp_url, &["dead", "list", "--json"]).await.json();
    assert_eq!(letters["messages"], serde_json::json!([]));
}

/// The text names every address, and no password.
#[tokio::test]
async fn without_any_each_address_has_its_reason() {
    let urls = "amqp://me:s3cret@127.0.0.1:1,amqp://me:s3cret@127.0.0.1:2";
    let run = Run::florin(urls, &["dead", "list"]).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    for part in ["as me", "127.0.0.1:1: connection refused", "127.0.0.1:2: connection refused"] {
        assert!(run.stderr.contains(part), "{part} is not in {run:?}");
    }
    assert!(!run.stderr.contains("s3cret"), "{run:?}");
    let error = Client::connect(urls, ClientOptions::default()).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains("127.0.0.1:1: connection refused") && !text.contains("s3cret"), "{text}");
}
