//! `florin dead` shows everything, changes nothing unasked, and says what is wrong.

use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;

use super::{
    DEAD, READ, WORK, await_ready, dead, declare, fill, list, message_id, take_all, without_a_service,
};
use crate::common::{RawAmqp, RawProperties, Run, World, nested_headers};

/// What the AMQP library cannot decode is left out of them.
#[tokio::test]
async fn unreadable_messages_are_messages_like_the_others() {
    let world = World::new().await;
    let client = without_a_service(&world).await;
    let mut raw = RawAmqp::connect(&world.amqp_url).await;
    let plain = RawProperties { correlation_id: b"plain", reply_to: b"r", ..RawProperties::default() };
    let strings =
        RawProperties { correlation_id: b"\xff\xfe", reply_to: b"r\xc3", ..RawProperties::default() };
    // A name that is not UTF-8.
    let names = RawProperties { headers: b"\x01\xffV", ..plain };
    let deep = nested_headers(20_000);
    let nested = RawProperties { headers: &deep, ..plain };
    raw.publish(DEAD, "balance", &plain, READ).await;
    raw.publish(DEAD, "balance", &strings, READ).await;
    raw.publish(DEAD, "balance", &names, b"{}").await;
    raw.publish(DEAD, "bal\u{f6}nce", &plain, b"\xff\x00").await;
    raw.publish(DEAD, "balance", &nested, b"[]").await;
    await_ready(&client, DEAD, 5).await;

    let messages = list(&world).await;
    assert!(messages.iter().all(|message| message["error"] == "unknown"), "{messages:?}");
    await_ready(&client, DEAD, 5).await;
    let mut shown = Vec::new();
    for message in &messages {
        shown.push(dead(&world, &["show", message["id"].as_str().unwrap(), "--json"]).await.json());
        await_ready(&client, DEAD, 5).await;
    }
    assert_eq!(shown[0]["headers"]["florin-undecodable"], Value::Null);
    assert_eq!(shown[1]["headers"]["florin-undecodable"], "correlation_id, reply_to");
    assert_eq!(shown[2]["headers"]["florin-undecodable"], "headers");
    assert_eq!((&shown[3]["body"], &shown[3]["body_hex"]), (&Value::Null, &"ff00".into()));
    let headers = shown[4]["headers"].as_object().unwrap();
    assert_eq!((&headers["tenant"], &headers["x"]), (&"blue".into(), &Value::Null));

    let requeued = dead(&world, &["requeue", "--all", "--json"]).await.json();
    assert_eq!(requeued["requeued"], 5);
    await_ready(&client, WORK, 5).await;
    await_ready(&client, DEAD, 0).await;
    raw.publish(DEAD, "balance", &strings, READ).await;
    await_ready(&client, DEAD, 1).await;
    assert_eq!(dead(&world, &["drop", "--yes", "--all"]).await.stdout, "messages dropped: 1\n");
    await_ready(&client, DEAD, 0).await;
}

/// RabbitMQ 3.10 keeps the order of what one consumer held, and of what up to 32 held.
#[tokio::test]
async fn looking_changes_nothing() {
    let world = World::new().await;
    let client = without_a_service(&world).await;
    fill(&client, 2100).await;
    for arguments in [&["list"][..], &["show", "m7"], &["list", "--limit", "10"], &["show", "none"]] {
        dead(&world, arguments).await;
        await_ready(&client, DEAD, 2100).await;
    }
    let page = dead(&world, &["list", "--limit", "10"]).await.stdout;
    assert!(page.contains("the oldest 10 of 2100: --limit shows more"), "{page}");
    await_ready(&client, DEAD, 2100).await;
    let ids: Vec<String> = take_all(&client, DEAD).await.iter().map(message_id).collect();
    assert!(ids.iter().enumerate().all(|(number, id)| *id == format!("m{number}")), "{ids:?}");
    assert_eq!(dead(&world, &["list"]).await.stdout, "no messages in florin.dead\n");
}

/// Many acknowledgements at once: RabbitMQ forgets those that it has not begun when a channel is closed.
#[tokio::test]
async fn what_is_dropped_stays_away() {
    let world = World::new().await;
    let client = without_a_service(&world).await;
    fill(&client, 1000).await;
    let names: Vec<String> = (0..300).map(|number| format!("m{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let dropped = dead(&world, &[&["drop", "--yes"], &names[..]].concat()).await;
    assert_eq!(dropped.stdout, "messages dropped: 300\n", "{dropped:?}");
    await_ready(&client, DEAD, 700).await;
    let dropped = dead(&world, &["drop", "--yes", "--all", "--json"]).await.json();
    assert_eq!(dropped["dropped"], 700);
    await_ready(&client, DEAD, 0).await;
    // Nothing comes back later: what was held would, once the connection is over.
    fill(&client, 1).await;
    assert_eq!(list(&world).await.len(), 1);
}

#[tokio::test]
async fn what_the_broker_refuses_is_said_and_stays() {
    let world = World::new().await;
    let none = dead(&world, &["list"]).await;
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.contains("error: cannot open the queue florin.dead: "));
    let nowhere = Run::florin("amqp://127.0.0.1:1", &["dead", "list"]).await;
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.stderr.contains("cannot connect to RabbitMQ at 127.0.0.1:1 as guest: "), "{nowhere:?}");
    let stranger = world.amqp_url.replace("florin:florin@", "florin:wrong@");
    let stranger = Run::florin(&stranger, &["dead", "list"]).await;
    assert!(
        stranger.code == Some(1) && stranger.stderr.contains("access refused (user name or password)"),
        "{stranger:?}"
    );

    let client = without_a_service(&world).await;
    fill(&client, 3).await;
    let gone = dead(&world, &["requeue", "--all", "--queue", "none"]).await;
    assert!(gone.code == Some(1) && gone.stderr.contains("NOT_FOUND - no queue 'none'"), "{gone:?}");
    let full = FieldTable::from(std::collections::BTreeMap::from([
        ("x-max-length".into(), AMQPValue::LongInt(1)),
        ("x-overflow".into(), AMQPValue::LongString("reject-publish".into())),
    ]));
    declare(&client, "full", full).await;
    let refused = dead(&world, &["requeue", "--all", "--queue", "full"]).await;
    assert_eq!(refused.code, Some(1));
    let words = "1 messages were requeued, the others are still here: cannot requeue ";
    assert!(
        refused.stderr.contains(words) && refused.stderr.contains("it does not exist, or is full"),
        "{refused:?}"
    );
    await_ready(&client, DEAD, 2).await;
}

#[tokio::test]
async fn names_must_mean_one_message_and_dropping_is_confirmed() {
    let world = World::new().await;
    let client = without_a_service(&world).await;
    fill(&client, 40).await;
    let id = list(&world).await[0]["id"].as_str().unwrap().to_owned();
    let cases: [(&[&str], i32, &str); 7] = [
        (&["show", "zzz"], 1, "error: there is no dead letter \"zzz\""),
        (&["requeue", "m1", "zzz"], 1, "error: 0 messages were requeued, the others are still here: there"),
        (&["drop", "--yes", ""], 1, "error: \"\" is ambiguous: it matches 40 messages: "),
        (&["drop", "m1"], 2, "error: refusing to drop without confirmation: not a terminal; pass --yes"),
        (&["drop", "--all"], 2, "pass --yes"),
        (&["drop", "--all", "--yes", "m1"], 2, "cannot be used with"),
        (&["requeue"], 2, "required arguments were not provided"),
    ];
    for (arguments, code, message) in cases {
        let run = dead(&world, arguments).await;
        assert_eq!(run.code, Some(code), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(message), "{arguments:?}: {run:?}");
        await_ready(&client, DEAD, 40).await;
    }
    let table = dead(&world, &["list", "--limit", "1"]).await.stdout;
    let words: Vec<&str> = table.split_whitespace().collect();
    assert_eq!(
        words[..10],
        ["#", "ID", "DIED", "AT", "OPERATION", "MESSAGE", "ID", "REASON", "BYTES", "BODY"]
    );
    assert_eq!(words[10..17], ["1", &id, "-", "invoice", "m0", "unknown", "41"], "{table}");
}
