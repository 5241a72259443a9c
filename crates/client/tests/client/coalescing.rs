//! How calls share messages.

use std::time::Duration;

use florin_client::{
    BatchItem, BatchRequest, CallOptions, ClientOptions, Coalescing, Error, HistoryQueryBody, MovementBody,
    Reply, Request,
};
use florin_wire::{BatchBody, RawJson};
use futures_util::future::{FutureExt, try_join_all};

use crate::by_hand::{Service, assert_answered, balance, named, one_message, raw, start};
use crate::responder;

#[tokio::test]
async fn a_lone_call_is_a_plain_message_and_those_made_meanwhile_share_one() {
    let mut service = Service::start().await;
    let client = service.client(one_message()).await;
    for round in 0..2 {
        let lone_request = balance(0);
        let lone = start(client.call(&lone_request, named("lone")));
        let plain = service.next().await;
        assert_eq!((plain.operation.as_str(), plain.calls.clone()), ("balance", vec![("lone".into(), 0)]));
        assert_eq!(plain.delivery.data, br#"{"wallet_id":0}"#);

        let ids: Vec<String> = (1..=10).map(|i| format!("{round} \"{i}\"")).collect();
        let requests: Vec<Request> = (1..=10).map(balance).collect();
        let mut meanwhile = Vec::new();
        for (request, id) in requests.iter().zip(&ids) {
            meanwhile.push(start(client.call(request, named(id))));
            // The client has time to send it, and does not.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
        service.answer(&plain).await;
        let batch = service.next().await;
        assert_eq!(batch.operation, "batch");
        assert_eq!(batch.calls, ids.into_iter().zip(1..).collect::<Vec<_>>(), "in their order");
        // Every other one is an answer that is given again.
        let reply = responder::echo("batch", &batch.delivery.data);
        let mut results = reply.results().unwrap();
        results.iter_mut().step_by(2).for_each(|result| result.replayed = true);
        let body = serde_json::to_string(&BatchBody { results }).unwrap();
        service.send(&batch, Reply { body: Some(body), ..reply }.to_json()).await;

        assert_answered(lone, 0).await;
        for (response, wallet_id) in try_join_all(meanwhile).await.unwrap().into_iter().zip(1..) {
            assert_eq!(response.reply.body, Some(format!("{{\"wallet_id\":{wallet_id}}}")));
            assert_eq!(response.replayed, wallet_id % 2 == 1, "{wallet_id}");
        }
    }
}

#[tokio::test]
async fn messages_are_bounded_by_count_and_by_length() {
    let mut service = Service::start().await;
    let one_message_of = |max_calls, max_bytes| {
        let coalescing = Some(Coalescing { messages_in_flight: 1, max_calls, max_bytes });
        ClientOptions { coalescing, ..one_message() }
    };
    for options in [one_message_of(3, 100_000), one_message_of(1000, 1100)] {
        let client = service.client(options).await;
        let metadata = RawJson::new(&["x".repeat(240)]).unwrap();
        let request = |wallet_id| {
            let body = MovementBody::new(wallet_id, "USD", "1".parse().unwrap()).metadata(metadata.clone());
            Request::Invoice(body)
        };
        let requests: Vec<Request> = (0..8).map(request).collect();
        let first = start(client.call(&requests[0], named("0")));
        let mut seen = service.next().await;
        let others: Vec<_> =
            requests[1..].iter().map(|request| start(client.call(request, named("more")))).collect();
        let mut sizes = Vec::new();
        let mut wallets = Vec::new();
        loop {
            assert!(seen.delivery.data.len() <= 1100);
            sizes.push(seen.calls.len());
            wallets.extend(seen.wallets());
            service.answer(&seen).await;
            if wallets.len() == requests.len() {
                break;
            }
            seen = service.next().await;
        }
        // What is long and what is many comes to the same here.
        assert_eq!((sizes, wallets), (vec![1, 3, 3, 1], (0..8).collect()));
        first.await.unwrap();
        try_join_all(others).await.unwrap();
    }
}

#[tokio::test]
async fn what_has_to_travel_alone_does_so_in_its_turn() {
    let mut service = Service::start().await;
    let client = service.client(one_message()).await;
    let lone = start(client.balance(0));
    let first = service.next().await;
    let too_long = Request::Invoice(MovementBody::new(3, "x".repeat(70_000), "1".parse().unwrap()));
    let calls = vec![
        start(client.balance(1)),
        start(client.balance(2)),
        start(client.call(&too_long, CallOptions::default())),
        start(client.history(HistoryQueryBody::new(4))),
        start(raw(&client, 5)),
        start(client.balance(6)),
    ];
    service.answer(&first).await;
    let mut last_of_room = first;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let next = service.next().await;
        seen.push((next.operation.clone(), next.wallets()));
        if next.operation == "batch" {
            last_of_room = next;
        } else {
            service.answer(&next).await;
        }
    }
    let plain = |operation: &str, wallet_id| (operation.to_owned(), vec![wallet_id]);
    let expected =
        [("batch".to_owned(), vec![1, 2]), plain("invoice", 3), plain("history", 4), plain("balance", 5)];
    assert_eq!(seen, expected);
    service.answer(&last_of_room).await;
    let last = service.next().await;
    assert_eq!((last.operation.as_str(), last.wallets()), ("balance", vec![6]));
    service.answer(&last).await;
    lone.await.unwrap();
    try_join_all(calls).await.unwrap();
}

#[tokio::test]
async fn one_who_turns_away_takes_nobody_along() {
    let mut service = Service::start().await;
    let client = service.client(one_message()).await;
    let lone = start(client.balance(0));
    let first = service.next().await;
    let [one, two, three] = [1, 2, 3].map(|wallet_id| start(client.balance(wallet_id)));
    drop(two);
    service.answer(&first).await;
    lone.await.unwrap();
    let batch = service.next().await;
    assert_eq!(batch.wallets(), [1, 3]);
    drop(one);
    service.answer(&batch).await;
    assert_answered(three, 3).await;
}

#[tokio::test]
async fn one_who_turns_away_gives_the_place_back_while_the_others_wait() {
    let mut service = Service::start().await;
    let client = service.client(ClientOptions { max_in_flight: 3, ..one_message() }).await;
    let lone = start(client.balance(0));
    let first = service.next().await;
    let [one, two] = [1, 2].map(|wallet_id| start(client.balance(wallet_id)));
    service.answer(&first).await;
    lone.await.unwrap();
    let batch = service.next().await;
    assert_eq!(batch.wallets(), [1, 2]);
    let third = start(raw(&client, 3));
    service.next().await;
    let mut fourth = start(raw(&client, 4));
    drop(one);
    tokio::select! {
        seen = service.next() => assert_eq!(seen.wallets(), [4]),
        answered = &mut fourth => panic!("nobody answered it: {answered:?}"),
    }
    service.answer(&batch).await;
    assert_answered(two, 2).await;
    drop((third, fourth));
}

#[tokio::test]
async fn one_who_turns_away_before_there_is_room_gives_the_place_back() {
    let mut service = Service::start().await;
    let client = service.client(ClientOptions { max_in_flight: 3, ..one_message() }).await;
    let lone = start(client.balance(0));
    service.next().await;
    let [waiting, gone] = [1, 2].map(|wallet_id| start(client.balance(wallet_id)));
    drop(gone);
    // As long as there is no place, a call is not even made.
    let timeout = Some(Duration::from_millis(20));
    let request = balance(3);
    let made = async || client.call(&request, CallOptions { timeout, ..CallOptions::default() }).await;
    while matches!(made().await, Err(Error::Overloaded { .. })) {}
    drop((lone, waiting));
}

#[tokio::test]
async fn a_message_that_nobody_waits_for_any_more_holds_nobody_up() {
    let mut service = Service::start().await;
    let client = service.client(one_message()).await;
    let lone = start(client.balance(0));
    assert_eq!(service.next().await.wallets(), [0]);
    drop(lone);
    for _ in 0..2 {
        let calls = [1, 2].map(|wallet_id| start(client.balance(wallet_id)));
        let batch = service.next().await;
        assert_eq!(batch.wallets(), [1, 2]);
        drop(calls);
    }
}

#[tokio::test]
async fn switched_off_every_call_is_a_message() {
    let mut service = Service::start().await;
    let options = ClientOptions { coalescing: None, ..one_message() };
    let client = service.client(options).await;
    let calls = [0, 1, 2, 3, 4].map(|wallet_id| start(client.balance(wallet_id)));
    for wallet_id in 0..5 {
        let seen = service.next().await;
        assert_eq!((seen.operation.as_str(), seen.wallets()), ("balance", vec![wallet_id]));
        service.answer(&seen).await;
    }
    for (call, wallet_id) in calls.into_iter().zip(0..) {
        assert_answered(call, wallet_id).await;
    }
}

#[tokio::test]
async fn a_batch_of_the_callers_own_is_one_message_with_an_identity() {
    let mut service = Service::start().await;
    let client = service.client(one_message()).await;
    let operations =
        [1, 2].map(|wallet_id| BatchItem { id: Some("own".into()), request: balance(wallet_id) });
    let batch = BatchRequest { operations: operations.into(), atomic: true };
    let answers = [
        responder::echo("batch", &batch.to_json()).to_json(),
        br#"{"operation":"batch","code":413,"error":"too_large","reason":"too large"}"#.to_vec(),
    ];
    let mut responses = Vec::new();
    for answer in answers {
        let mut call = Box::pin(client.batch(&batch, named("batch-7")));
        assert!(call.as_mut().now_or_never().is_none());
        let seen = service.next().await;
        assert_eq!(seen.operation, "batch");
        assert_eq!(seen.delivery.data, batch.to_json());
        assert_eq!(seen.delivery.properties.message_id(), &Some("batch-7".into()));
        service.send(&seen, answer).await;
        responses.push(call.await.unwrap());
    }
    let [done, refused] = responses.try_into().unwrap();
    assert!(done.reply.is_done() && done.reply.body.is_none() && !done.replayed);
    let bodies: Vec<_> = done.results.into_iter().map(|response| response.reply.body.unwrap()).collect();
    assert_eq!(bodies, [r#"{"wallet_id":1}"#, r#"{"wallet_id":2}"#]);
    assert_eq!(refused.reply.error.as_deref(), Some("too_large"));
    assert!(refused.results.is_empty());
}
