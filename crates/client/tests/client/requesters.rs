//! Who sends a message, and for whom.

use florin_client::{BatchItem, BatchRequest, CallOptions, ClientOptions, Error};
use florin_wire::ON_BEHALF_OF;
use lapin::types::{AMQPValue, ShortString};

use crate::by_hand::{Seen, Service, assert_answered, balance, named, one_message, start};

fn on_behalf_of(message_id: &str, name: &str) -> CallOptions {
    CallOptions { on_behalf_of: Some(name.into()), ..named(message_id) }
}

/// The user and the header of a message.
fn said(seen: &Seen) -> (Option<&str>, Option<String>) {
    let properties = &seen.delivery.properties;
    let headers = properties.headers().as_ref();
    let header = headers.and_then(|headers| headers.inner().get(ON_BEHALF_OF)).map(|value| match value {
        AMQPValue::LongString(name) => name.to_string(),
        other => panic!("{other:?}"),
    });
    (properties.user_id().as_ref().map(ShortString::as_str), header)
}

#[tokio::test]
async fn a_lone_call_says_it_in_a_header_and_a_gathered_one_in_its_place() {
    let mut service = Service::start().await;
    let (client, nameless) = (
        service.client(ClientOptions { send_user_id: true, ..one_message() }).await,
        service.client(one_message()).await,
    );
    let request = balance(1);
    let lone = start(client.call(&request, on_behalf_of("0", "key:a")));
    let seen = service.next().await;
    assert_eq!(said(&seen), (Some("florin"), Some("key:a".into())));
    let gathered = [
        start(client.call(&request, on_behalf_of("1", "key:b"))),
        start(client.call(&request, named("2"))),
        start(client.call(&request, on_behalf_of("3", "\"c\""))),
    ];
    service.answer(&seen).await;
    let seen = service.next().await;
    assert_eq!(said(&seen), (Some("florin"), None));
    let operations = [
        r#"{"operation":"balance","id":"1","on_behalf_of":"key:b","wallet_id":1}"#,
        r#"{"operation":"balance","id":"2","wallet_id":1}"#,
        r#"{"operation":"balance","id":"3","on_behalf_of":"\"c\"","wallet_id":1}"#,
    ];
    let body = String::from_utf8(seen.delivery.data.clone()).unwrap();
    assert_eq!(body, format!(r#"{{"operations":[{}]}}"#, operations.join(",")));
    drop((lone, gathered));

    let plain = start(nameless.call(&request, CallOptions::default()));
    let seen = service.next().await;
    assert_eq!(said(&seen), (None, None));
    service.answer(&seen).await;
    assert_answered(plain, 1).await;
}

#[tokio::test]
async fn a_batch_of_the_callers_own_says_it_in_a_header() {
    let mut service = Service::start().await;
    let client = service.client(one_message()).await;
    let operations = vec![BatchItem { id: Some("own".into()), request: balance(1) }];
    let batch = BatchRequest { operations, atomic: false };
    let (answer, seen) = tokio::join!(client.batch(&batch, on_behalf_of("0", "key:a")), async {
        let seen = service.next().await;
        service.answer(&seen).await;
        seen
    });
    answer.unwrap();
    assert_eq!(said(&seen), (None, Some("key:a".into())));
}

#[tokio::test]
async fn a_long_name_is_not_sent() {
    let service = Service::start().await;
    let client = service.client(one_message()).await;
    let refused = client.call(&balance(1), on_behalf_of("0", &"x".repeat(256))).await;
    assert!(matches!(refused, Err(Error::TooLong(_))), "{refused:?}");
}
