//! What becomes of calls that shared a message when that is lost or refused.

use std::time::Duration;

use florin_client::{Client, ClientOptions, Error, Reply, Route};
use futures_util::future::try_join_all;
use lapin::ExchangeKind;
use lapin::message::Delivery;
use lapin::options::{BasicGetOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::broker::{amqp_url, fresh_name, observer};
use crate::by_hand::{Seen, Service, bodies, one_message, raw, start, wallets};
use crate::responder;

const SHORT: Duration = Duration::from_secs(1);

#[tokio::test]
async fn calls_whose_answer_never_comes_go_out_again_each_on_its_own() {
    let mut service = Service::start().await;
    let client = service.client(ClientOptions { attempt_timeout: SHORT, ..one_message() }).await;
    let lone = start(client.balance(0));
    let first = service.next().await;
    let lost = [1, 2, 3].map(|wallet_id| start(client.balance(wallet_id)));
    service.answer(&first).await;
    lone.await.unwrap();
    let batch = service.next().await;
    assert_eq!(batch.wallets(), [1, 2, 3]);
    let others = [4, 5].map(|wallet_id| start(client.balance(wallet_id)));

    // On a slow machine a call goes out more than once before it is answered: whatever comes is answered.
    let mut seen = Vec::new();
    let answers = tokio::select! {
        never = service.answer_all(&mut seen) => match never {},
        answers = try_join_all(lost.into_iter().chain(others)) => answers,
    };
    assert_eq!(bodies(answers.unwrap()), wallets(1..=5));
    for call in batch.calls {
        let again = ("balance".to_owned(), call);
        assert!(seen.contains(&again), "{again:?} is not in {seen:?}");
    }
}

#[tokio::test]
async fn a_batch_that_is_refused_as_a_whole_goes_out_one_by_one() {
    let refused = |error: &str| {
        let error = Some(error.to_owned());
        let reason = Some("no batches here".to_owned());
        let operation = "batch".to_owned();
        Reply { operation, code: 400, body: None, reason, error, transaction_id: None }.to_json()
    };
    let too_few = responder::echo("batch", br#"{"operations":[{"operation":"balance","id":"1"}]}"#);
    let answers = [
        refused("unknown_operation"),
        refused("too_large"),
        refused("malformed"),
        b"no JSON".to_vec(),
        too_few.to_json(),
    ];
    for answer in answers {
        let mut service = Service::start().await;
        let client = service.client(one_message()).await;
        let lone = start(client.balance(0));
        let first = service.next().await;
        let calls = [1, 2, 3].map(|wallet_id| start(client.balance(wallet_id)));
        service.answer(&first).await;
        let batch = service.next().await;
        service.send(&batch, answer).await;
        lone.await.unwrap();
        let answering = async {
            let mut again = Vec::new();
            for _ in 0..3 {
                let seen = service.next().await;
                assert_eq!(seen.operation, "balance");
                service.answer(&seen).await;
                again.extend(seen.calls);
            }
            again
        };
        let (again, answers) = tokio::join!(answering, try_join_all(calls));
        assert_eq!(bodies(answers.unwrap()), wallets(1..=3));
        assert_eq!(again, batch.calls, "under the same identities");
    }
}

#[tokio::test]
async fn once_a_batch_was_refused_every_call_is_a_message_for_a_while() {
    let mut service = Service::start().await;
    let client = service.client(one_message()).await;
    let lone = start(client.balance(0));
    let first = service.next().await;
    let calls = [1, 2].map(|wallet_id| start(client.balance(wallet_id)));
    service.answer(&first).await;
    let batch = service.next().await;
    service.send(&batch, br#"{"operation":"batch","code":400,"error":"unknown_operation"}"#.to_vec()).await;
    let (operations, answers) = tokio::join!(service.answer_calls(2), try_join_all(calls));
    assert_eq!((operations, answers.unwrap().len()), (vec!["balance".to_owned(); 2], 2));
    lone.await.unwrap();
    let calls = [3, 4, 5].map(|wallet_id| start(client.balance(wallet_id)));
    // Nobody had to be answered for the last to come.
    let seen = [service.next().await, service.next().await, service.next().await];
    assert_eq!(seen.each_ref().map(Seen::wallets), [[3], [4], [5]]);
    for seen in seen {
        service.answer(&seen).await;
    }
    try_join_all(calls).await.unwrap();
}

#[tokio::test]
async fn a_batch_that_no_queue_takes_goes_out_one_by_one() {
    let mut service = Service::start().await;
    // Only some operations come through.
    let exchange = fresh_name();
    let topic = ExchangeDeclareOptions::default();
    let channel = &service.channel;
    channel
        .exchange_declare(exchange.as_str().into(), ExchangeKind::Topic, topic, FieldTable::default())
        .await
        .unwrap();
    let (queue, source) = (service.queue.as_str().into(), exchange.as_str().into());
    let options = QueueBindOptions::default();
    channel.queue_bind(queue, source, "balance".into(), options, FieldTable::default()).await.unwrap();
    let options = ClientOptions { route: Route::Exchange(exchange), ..one_message() };
    let client = Client::connect(amqp_url(), options).await.unwrap();

    let lone = start(client.balance(0));
    let first = service.next().await;
    let one = start(client.balance(1));
    let lost = start(client.invoice(2, "USD", "1".parse().unwrap()));
    let three = start(client.balance(3));
    service.answer(&first).await;
    lone.await.unwrap();
    let (operations, one, lost, three) = tokio::join!(service.answer_calls(2), one, lost, three);
    assert!(matches!(lost, Err(Error::Unroutable { .. })), "{lost:?}");
    assert!(one.unwrap().reply.is_done() && three.unwrap().reply.is_done());
    assert_eq!(operations, ["balance"; 2]);
}

#[tokio::test]
async fn a_batch_that_the_queue_refuses_is_tried_again_one_by_one() {
    let (_connection, channel) = observer().await;
    let queue = fresh_name();
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.as_str().into(), durable, arguments).await.unwrap();
    let route = Route::Queue(queue.clone());
    let client = Client::connect(amqp_url(), ClientOptions { route, ..one_message() }).await.unwrap();
    let get = async || {
        let no_ack = BasicGetOptions { no_ack: true };
        loop {
            if let Some(message) = channel.basic_get(queue.as_str().into(), no_ack).await.unwrap() {
                return message.delivery;
            }
        }
    };
    let answer = async |delivery: &Delivery| {
        let reply = responder::echo(responder::operation(delivery), &delivery.data);
        responder::send(&channel, delivery, reply.to_json()).await.unwrap();
    };
    let lone = start(client.balance(0));
    let first = get().await;
    // It fills the queue as long as nobody takes it.
    let filler = start(raw(&client, 9));
    let calls = [1, 2].map(|wallet_id| start(client.balance(wallet_id)));
    answer(&first).await;
    lone.await.unwrap();
    let serving = async {
        // The broker answers in order: by now it has refused the batch as well.
        let refused = raw(&client, 8).await;
        assert!(matches!(refused, Err(Error::OutcomeUnknown { .. })), "{refused:?}");
        answer(&get().await).await;
        for _ in 0..2 {
            let delivery = get().await;
            assert_eq!(responder::operation(&delivery), "balance");
            answer(&delivery).await;
        }
    };
    let (answers, ()) = tokio::join!(try_join_all(calls), serving);
    assert_eq!(bodies(answers.unwrap()), wallets(1..=2));
    filler.await.unwrap();
}
