//! Fields that a request does not have: the first clients' are ignored, as they always were. Everywhere else a
//! misspelt field is refused, and moves no money.

use florin_client::{Body, CallOptions, Client, ClientOptions, Operation, Reply, Route};
use florin_keys::Role;

use crate::common::{Http, SeedClient, Service, World};
use crate::http::key;

const FUNDS: &[u8] = br#"{"wallet_id":1,"ticker":"USD","amount":100,"comment":"ignored"}"#;
const MISSPELT: &str = r#"{"wallet_id":1,"ticker":"USD","amount":5,"pendng":true}"#;
const BATCH: &str = r#"{"operations":[
    {"operation":"withdraw","wallet_id":1,"ticker":"USD","amount":5,"pendng":true},
    {"operation":"balance","wallet_id":1}]}"#;
const REASON: &str = r#"unknown field "pendng"; did you mean "pending"?"#;

fn assert_refused(reply: &Reply) {
    assert_eq!((reply.code, reply.error.as_deref()), (400, Some("malformed")), "{reply:?}");
    assert_eq!(reply.reason.as_deref(), Some(REASON));
}

/// The first operation of the batch is refused, the second is answered.
fn assert_refused_alone(reply: &Reply) {
    let results: Vec<Reply> =
        reply.results().unwrap().into_iter().map(|result| result.into_reply().0).collect();
    assert_refused(&results[0]);
    assert_eq!(results[1].code, 200);
}

#[tokio::test]
async fn a_misspelt_pending_moves_no_money() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let ledger = world.ledger().await;
    let mut seed = SeedClient::connect(&world.amqp_url).await;
    assert_eq!(seed.call("invoice", FUNDS).await.code, 200);

    for route in [Route::default(), Route::Queue("florin.work".into())] {
        let options = ClientOptions { route, ..ClientOptions::default() };
        let client = Client::connect(&world.amqp_url, options).await.unwrap();
        for operation in [Operation::Invoice, Operation::Withdraw] {
            let body = Body::read(MISSPELT.as_bytes()).unwrap();
            let response = client.call_body(operation, body, CallOptions::default()).await.unwrap();
            assert_refused(&response.reply);
        }
        let response = client.batch_body(BATCH.into(), CallOptions::default()).await.unwrap();
        assert_refused_alone(&response.reply);
        let atomic = BATCH.replace("]}", r#"],"atmic":true}"#);
        let response = client.batch_body(atomic.into(), CallOptions::default()).await.unwrap();
        let reason = r#"unknown field "atmic"; did you mean "atomic"?"#;
        assert_eq!(response.reply.reason.as_deref(), Some(reason));
    }

    let http = Http::of(&service).with_key(&key(&world, "tester", Role::Client, None).await);
    for path in ["/invoice", "/withdraw"] {
        let answer = http.post(path, MISSPELT).await;
        assert_eq!(answer.refusal(), (400, "malformed".into()));
        assert_eq!(answer.json()["detail"], REASON);
    }
    assert_eq!(http.post("/batch", BATCH).await.json()["body"]["results"][0]["reason"], REASON);
    let answer = http.post("/balance", r#"{"wallet_id":1,"tikcer":"USD"}"#).await;
    assert_eq!(answer.json()["detail"], r#"unknown field "tikcer"; did you mean "ticker"?"#);
    let answer = http.get("/wallets/1/history?limt=5").await;
    assert_eq!(answer.refusal(), (400, "malformed".into()));
    assert_eq!(answer.json()["detail"], r#"unknown parameter "limt"; did you mean "limit"?"#);

    assert_eq!(ledger.number("SELECT count(*) FROM postings").await, 1);
    assert_eq!(ledger.balances().await["1/USD"], "100");
    ledger.assert_sound().await;
}

#[tokio::test]
async fn the_first_clients_may_send_what_they_like() {
    let world = World::new().await;
    let _service = Service::start(&world, &[]).await;
    let mut seed = SeedClient::connect(&world.amqp_url).await;
    assert_eq!(seed.call("invoice", FUNDS).await.code, 200);
    assert_eq!(seed.call("withdraw", MISSPELT.as_bytes()).await.code, 200);
    let results = seed.call("batch", BATCH.as_bytes()).await.results().unwrap();
    assert!(results.iter().all(|result| result.code == 200), "{results:?}");
    let read = seed.call("balance", br#"{"wallet_id":1,"foo":2}"#).await;
    assert_eq!(read.body.as_deref(), Some(r#"{"actual_balance":{"USD":90}}"#));
    world.ledger().await.assert_sound().await;
}
