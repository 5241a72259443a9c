//! The broker is killed and comes back while calls are in flight: all of them complete.

use std::time::Duration;

use devstack::{Options, Rabbit};
use florin_client::{Client, ClientOptions, Route};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::responder;

const QUEUE: &str = "test.lost-broker";
const IN_FLIGHT: i64 = 200;
const CALLS_PER_PHASE: usize = 2000;

/// A service that comes back by itself.
async fn respond_for_ever(amqp_url: String) {
    loop {
        // Also when it ends without an error: the connection is gone.
        let _ = responder::respond(&amqp_url, QUEUE, QUEUE).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn call(client: &Client, wallet_id: i64) -> i64 {
    let response = client.balance(wallet_id).await.unwrap();
    assert_eq!(response.reply.body, Some(format!("{{\"wallet_id\":{wallet_id}}}")));
    wallet_id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_complete_across_a_killed_broker() {
    let mut rabbit = Rabbit::launch(&Options::default()).unwrap();
    let options = ClientOptions {
        route: Route::Exchange(QUEUE.to_owned()),
        timeout: Duration::from_secs(120),
        attempt_timeout: Duration::from_secs(5),
        ..ClientOptions::default()
    };
    let service = tokio::spawn(respond_for_ever(rabbit.url()));
    let client = Client::connect(&rabbit.url(), options).await.unwrap();
    // Until the service has declared its exchange and queue, calls are unroutable.
    while client.balance(0).await.is_err() {}
    // RabbitMQ keeps the register of its quorum queues in memory for three seconds before it writes it. A
    // queue that is younger than that when the broker is killed (3.10) comes back without a leader, for ever.
    rabbit.ctl(&["eval", "[ok = dets:sync(Table) || Table <- dets:all()]."]).unwrap();

    let mut calls: FuturesUnordered<_> = (0..IN_FLIGHT).map(|wallet_id| call(&client, wallet_id)).collect();
    for _ in 0..3 {
        for _ in 0..CALLS_PER_PHASE {
            let answered = calls.next().await.unwrap();
            calls.push(call(&client, answered + IN_FLIGHT));
        }
        let (killed, ()) = tokio::join!(
            tokio::task::spawn_blocking(move || {
                rabbit.kill();
                rabbit.start().unwrap();
                rabbit
            }),
            async {
                let answered = calls.next().await.unwrap();
                calls.push(call(&client, answered + IN_FLIGHT));
            },
        );
        rabbit = killed.unwrap();
    }
    while calls.next().await.is_some() {}
    service.abort();
}
