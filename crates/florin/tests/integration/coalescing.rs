//! Calls that share messages are answered as if each had come alone.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use florin_client::{
    Body, CallOptions, Client, ClientOptions, Coalescing, Error, MovementBody, Operation, Reply, Request,
    Response,
};
use florin_wire::JsonTime;
use futures_util::future::{join, join_all};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::common::{Service, World};

const REQUESTS: usize = 2000;
const LANES: usize = 300;

/// How the requests are sent. The requests of a lane follow each other, the lanes do not wait for each other.
#[derive(Debug, Clone)]
struct Split {
    seed: u64,
    lanes: usize,
    coalescing: Coalescing,
}

#[derive(Debug, Clone)]
struct Ask {
    operation: Operation,
    body: String,
    message_id: String,
}

/// Makes up the requests of a lane, which has two wallets of its own.
struct Script {
    lane: usize,
    random: fastrand::Rng,
    asked: Vec<Ask>,
}

impl Script {
    fn write(seed: u64, lane: usize, length: usize) -> Vec<Ask> {
        let random = fastrand::Rng::with_seed(seed ^ lane as u64);
        let mut script = Self { lane, random, asked: Vec::new() };
        for _ in 0..length {
            let ask = script.next();
            script.asked.push(ask);
        }
        script.asked
    }

    fn next(&mut self) -> Ask {
        let (own, other) = (10 + 2 * self.lane, 11 + 2 * self.lane);
        let amount = self.amount();
        let id = self.earlier_id();
        let usd = |rest: &str| format!(r#"{{"wallet_id":{own},"ticker":"USD","amount":{rest}}}"#);
        let (operation, body) = match self.random.u32(0..20) {
            0..=3 => (Operation::Invoice, usd(&amount)),
            4..=5 => (Operation::Withdraw, usd(&amount)),
            6..=7 => (Operation::Transfer, usd(&format!(r#"{amount},"to_wallet_id":{other}"#))),
            8..=9 => {
                let rest = format!(r#"{amount},"pending":true,"timeout":100000,"metadata":{{"a": [{own}]}}"#);
                (Operation::Withdraw, usd(&rest))
            }
            10 => (Operation::Invoice, usd(&format!(r#"{amount},"pending":true"#))),
            11 => (Operation::Settle, format!(r#"{{"transaction_id":"{id}"}}"#)),
            12 => (Operation::Settle, format!(r#"{{"transaction_id":"{id}","amount":{amount}}}"#)),
            13 => (Operation::Cancel, format!(r#"{{"transaction_id":"{id}"}}"#)),
            14 => (Operation::Expire, format!(r#"{{"transaction_id":"{id}"}}"#)),
            15 => (Operation::Balance, format!(r#"{{"wallet_id":{own}}}"#)),
            16 => (Operation::Transaction, format!(r#"{{"transaction_id":"{id}"}}"#)),
            17 => (Operation::History, format!(r#"{{"wallet_id":{own},"limit":5}}"#)),
            18 => self.wrong(own),
            _ => return self.again(&usd(&amount)),
        };
        Ask { operation, body, message_id: self.message_id() }
    }

    fn amount(&mut self) -> String {
        let amounts = ["1", "0.5", "\"7.25\"", "1e1", "100", "1000"];
        amounts[self.random.usize(..amounts.len())].to_owned()
    }

    /// What no service does.
    fn wrong(&mut self, own: usize) -> (Operation, String) {
        let bodies = [
            format!(r#"{{"wallet_id":{own},"ticker":"USD","amount":"abc"}}"#),
            format!(r#"{{"wallet_id":{own},"ticker":"USD","amount":-1}}"#),
            format!(r#"{{"wallet_id":{own},"ticker":"USD","amount":1.005}}"#),
            format!(r#"{{"wallet_id":{own},"ticker":"USD","amount":1e40}}"#),
            format!(r#"{{"wallet_id":{own},"ticker":"USD","amount":null}}"#),
            format!(r#"{{"wallet_id":{own},"ticker":"XXX","amount":1}}"#),
            format!(r#"{{"wallet_id":{own},"ticker":"USD","amount":1,"timeout":5}}"#),
            format!(r#"{{"wallet_id":{own},"to_wallet_id":{own},"ticker":"USD","amount":1}}"#),
            r#"{"wallet_id":987654321,"to_wallet_id":1,"ticker":"USD","amount":1}"#.to_owned(),
            "{}".to_owned(),
        ];
        let body = bodies[self.random.usize(..bodies.len())].clone();
        (Operation::ALL[self.random.usize(..Operation::ALL.len())], body)
    }

    /// An identity that was used before: for the same request, or for a different one.
    fn again(&mut self, body: &str) -> Ask {
        let used = self.random.choice(&self.asked).cloned();
        let message_id = self.message_id();
        let fresh = Ask { operation: Operation::Withdraw, body: body.to_owned(), message_id };
        match used {
            Some(used) if self.random.bool() => used,
            Some(used) => Ask { message_id: used.message_id, ..fresh },
            None => fresh,
        }
    }

    /// The transaction of an earlier request, if that opened one.
    fn earlier_id(&mut self) -> Uuid {
        let index = self.random.usize(..=self.asked.len());
        self.id(index)
    }

    fn id(&self, index: usize) -> Uuid {
        // Never the nil UUID, which is no identity.
        Uuid::from_u128(((self.lane as u128 + 1) << 64) + index as u128)
    }

    fn message_id(&mut self) -> String {
        let index = self.asked.len();
        match self.random.u32(0..4) {
            0 => format!("lane {} \"step\" {index}", self.lane),
            _ => self.id(index).to_string(),
        }
    }
}

/// The answers, by lane and place in it, without what depends on the time.
async fn answers(split: &Split, coalescing: Option<Coalescing>) -> BTreeMap<(usize, usize), Response> {
    let world = World::new().await;
    world.store.create_wallets(10..=10 + 2 * i64::try_from(LANES).unwrap()).await.unwrap();
    let service = Service::start(&world, &[]).await;
    // Nothing is sent a second time, for that would change what is a repetition.
    let patient = Duration::from_secs(300);
    let (timeout, attempt_timeout) = (patient, patient);
    let shares = coalescing.is_some();
    let options = ClientOptions { coalescing, timeout, attempt_timeout, ..ClientOptions::default() };
    let client = Client::connect(&world.amqp_url, options).await.unwrap();
    let length = REQUESTS / split.lanes;
    let lanes = (0..split.lanes).map(|lane| in_turn(&client, lane, Script::write(split.seed, lane, length)));
    let answers = join_all(lanes).await.into_iter().flatten().collect();
    world.ledger().await.assert_sound().await;
    let metrics = service.get("/metrics").await;
    let batches = metrics.lines().any(|line| {
        line.starts_with(r#"app_queries_status_counter{operation="batch",status="200",transport="amqp"}"#)
            && !line.ends_with(" 0")
    });
    assert_eq!(batches, shares, "{metrics}");
    answers
}

async fn in_turn(client: &Client, lane: usize, asks: Vec<Ask>) -> Vec<((usize, usize), Response)> {
    let mut answers = Vec::new();
    for (index, ask) in asks.into_iter().enumerate() {
        let options = CallOptions { message_id: Some(ask.message_id), timeout: None, on_behalf_of: None };
        let body = Body::read(ask.body.as_bytes()).unwrap();
        let mut response = client.call_body(ask.operation, body, options).await.unwrap();
        response.reply.body = timeless(&response.reply);
        answers.push(((lane, index), response));
    }
    answers
}

/// The body of a reply without its times.
fn timeless(reply: &Reply) -> Option<String> {
    const NO_TIME: JsonTime = JsonTime(SystemTime::UNIX_EPOCH);
    if !reply.is_done() {
        return reply.body.clone();
    }
    match reply.operation.as_str() {
        "transaction" => {
            let mut transaction = reply.transaction().unwrap();
            transaction.created_at = NO_TIME;
            transaction.ended_at = transaction.ended_at.map(|_| NO_TIME);
            transaction.expires_at = transaction.expires_at.map(|_| NO_TIME);
            Some(format!("{transaction:?}"))
        }
        "history" => {
            let mut history = reply.history().unwrap();
            history.postings.iter_mut().for_each(|posting| posting.created_at = NO_TIME);
            // A cursor holds a time.
            history.next = history.next.map(|_| String::new());
            Some(format!("{history:?}"))
        }
        _ => reply.body.clone(),
    }
}

#[test]
fn calls_get_the_same_answers_whatever_they_share_messages_with() {
    let splits = (any::<u64>(), 20..=LANES, 1_usize..4, 2_usize..=1000, 200_usize..300_000).prop_map(
        |(seed, lanes, messages_in_flight, max_calls, max_bytes)| Split {
            seed,
            lanes,
            coalescing: Coalescing { messages_in_flight, max_calls, max_bytes },
        },
    );
    let config =
        ProptestConfig { cases: 4, max_shrink_iters: 4, failure_persistence: None, ..Default::default() };
    let runtime = Runtime::new().unwrap();
    let seen = RefCell::new(BTreeSet::new());
    let outcome = TestRunner::new(config).run(&splits, |split| {
        let shared = answers(&split, Some(split.coalescing.clone()));
        let (shared, alone) = runtime.block_on(join(shared, answers(&split, None)));
        prop_assert_eq!(shared.len(), alone.len());
        for (place, response) in &alone {
            prop_assert_eq!(&shared[place], response, "at {:?}", place);
        }
        let mut seen = seen.borrow_mut();
        seen.extend(alone.values().filter_map(|response| response.reply.error.clone()));
        prop_assert!(alone.values().any(|response| response.replayed));
        Ok(())
    });
    outcome.unwrap();
    let seen = seen.into_inner();
    for error in ["malformed", "insufficient_funds", "unknown_wallet", "identity_reused", "already_final"] {
        assert!(seen.contains(error), "no {error} in {seen:?}");
    }
}

/// A message that the service cannot answer takes the calls that share it along, but only once.
#[tokio::test]
async fn one_that_cannot_be_answered_does_not_keep_the_others_from_their_answers() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let ledger = world.ledger().await;
    ledger.sql.batch_execute("ALTER TABLE postings ADD CHECK (amount <> 13)").await.unwrap();
    let options = ClientOptions {
        attempt_timeout: Duration::from_secs(2),
        timeout: Duration::from_secs(120),
        ..ClientOptions::default()
    };
    let client = Client::connect(&world.amqp_url, options).await.unwrap();
    let pay = async |amount: u32| {
        let request = Request::Invoice(MovementBody::new(1, "USD", amount.to_string().parse().unwrap()));
        let timeout = (amount == 13).then_some(Duration::from_secs(10));
        client.call(&request, CallOptions { timeout, ..CallOptions::default() }).await
    };
    // All are there before the client can send the first.
    let answers = join_all((1..=30).map(pay)).await;
    for (answer, amount) in answers.into_iter().zip(1..) {
        match answer {
            Ok(response) => assert_eq!((response.reply.code, amount != 13), (200, true), "{amount}"),
            Err(error) => assert!(matches!(error, Error::OutcomeUnknown { .. }) && amount == 13, "{error}"),
        }
    }
    assert_eq!(ledger.balances().await["1/USD"], ((1..=30).sum::<u32>() - 13).to_string());
    let metrics = service.get("/metrics").await;
    assert!(
        metrics.contains("{operation=\"batch\",status=\"200\",transport=\"amqp\"} 0\n"),
        "it was not answered: {metrics}"
    );
    assert!(!metrics.contains("florin_dead_lettered_total 1\n"), "more than the batch: {metrics}");
}
