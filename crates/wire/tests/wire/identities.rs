//! What makes a retry the same request, alone and within a batch. The ids and hashes are those of a calculation by
//! other means: they must never change, for the tables hold them.

use std::time::SystemTime;

use florin_ledger::{Identity, OnExisting, RequestHash};
use florin_wire::{BATCH, Envelope, MAX_BATCH_OPERATIONS};
use proptest::prelude::*;
use uuid::Uuid;

use crate::common::{ID, ID_TEXT, decode_as, decode_batch_in, decode_in, time};

const BODY: &str = r#"{"wallet_id":1,"ticker":"USD","amount":10.5}"#;
const ELEMENT: &str = r#"{"operation":"invoice","wallet_id":1,"ticker":"USD","amount":10.5}"#;

fn of_single(envelope: &Envelope<'_>) -> Identity {
    decode_in(envelope, BODY).unwrap().movement().unwrap().identity
}

fn of_batch(envelope: &Envelope<'_>, body: &str) -> Vec<Identity> {
    let batch = decode_batch_in(&Envelope { operation: BATCH, ..*envelope }, body).unwrap();
    batch.items.iter().map(|item| item.command.as_ref().unwrap().movement().unwrap().identity).collect()
}

/// The text of a batch of these elements.
fn batch(elements: &[&str]) -> String {
    format!(r#"{{"operations":[{}]}}"#, elements.join(","))
}

fn with_id(id: &str) -> String {
    format!(r#"{{"id":{id},"operation":"invoice","wallet_id":1,"ticker":"USD","amount":10.5}}"#)
}

fn ids(identities: &[Identity]) -> Vec<String> {
    identities.iter().map(|identity| identity.transaction_id.to_string()).collect()
}

/// A request that was delivered for the first time, from a client that says who it is.
fn first<'a>(message_id: Option<&'a str>) -> Envelope<'a> {
    Envelope {
        operation: "invoice",
        message_id,
        reply_to: Some("r"),
        correlation_id: Some("c"),
        first_received_at: Some(time(0)),
        ..Envelope::default()
    }
}

const RENEW: OnExisting = OnExisting::Renew { received_at: SystemTime::UNIX_EPOCH };

/// What it means when the identity exists, with the time left out, and whether it may have been delivered before.
fn rule(identity: Identity) -> (OnExisting, bool) {
    let on_existing = match identity.on_existing {
        OnExisting::Renew { received_at } => {
            assert_eq!(received_at, time(0));
            RENEW
        }
        OnExisting::Replay => OnExisting::Replay,
    };
    (on_existing, identity.redelivered)
}

#[test]
fn a_message_id_is_the_identity() {
    let upper = ID_TEXT.to_uppercase();
    let rows = [
        (ID_TEXT, ID_TEXT),
        (&upper, ID_TEXT),
        ("0190A5B0-7C1E-7D3C-8C3E-0123456789AB", "0190a5b0-7c1e-7d3c-8c3e-0123456789ab"),
        ("order-17", "5ad321f7-8905-8f80-b508-277b63a74946"),
    ];
    for (message_id, expected) in rows {
        let identity = of_single(&first(Some(message_id)));
        assert_eq!(identity.transaction_id.to_string(), expected, "{message_id}");
        assert_eq!(rule(identity), (OnExisting::Replay, false));
        let again = of_single(&Envelope { first_received_at: None, ..first(Some(message_id)) });
        assert_eq!(
            (again.transaction_id, rule(again)),
            (identity.transaction_id, (OnExisting::Replay, true))
        );
    }
    for other in [ID_TEXT.replace('-', ""), format!("{{{ID_TEXT}}}"), format!("{ID_TEXT} ")] {
        let id = of_single(&first(Some(&other))).transaction_id;
        assert_eq!(id.get_version_num(), 8, "{other}");
        assert_ne!(id, ID);
    }
}

#[test]
fn without_one_all_that_was_sent_counts_and_the_redelivery_flag_decides() {
    let identity = of_single(&first(None));
    assert_eq!(identity.transaction_id.to_string(), "76505c67-96c7-8e82-baf1-8f0b324df5e5");
    assert_eq!(rule(identity), (RENEW, false));
    let again = of_single(&Envelope { first_received_at: None, ..first(None) });
    assert_eq!((again.transaction_id, rule(again)), (identity.transaction_id, (OnExisting::Replay, true)));
    let others = [
        Envelope { reply_to: Some("rc"), correlation_id: None, ..first(None) },
        Envelope { reply_to: Some("s"), ..first(None) },
        Envelope { correlation_id: Some("d"), ..first(None) },
        Envelope { operation: "withdraw", ..first(None) },
    ];
    for other in others {
        assert_ne!(of_single(&other).transaction_id, identity.transaction_id, "{other:?}");
    }
    let spaced = decode_in(&first(None), BODY.replace(':', ": ")).unwrap();
    assert_ne!(spaced.movement().unwrap().identity.transaction_id, identity.transaction_id);
}

#[test]
fn an_element_with_an_id_is_the_single_request_with_that_message_id() {
    for id in ["order-17", ID_TEXT, "0190A5B0-7C1E-7D3C-8C3E-0123456789AB", "é", " "] {
        let single = of_single(&first(Some(id)));
        for message_id in [None, Some("m")] {
            let body = batch(&[ELEMENT, &with_id(&format!("{id:?}"))]);
            assert_eq!(of_batch(&first(message_id), &body)[1], single, "{id}");
        }
    }
    let body = batch(&[&with_id(r#""\u006frder-\u0031\u0037""#)]);
    assert_eq!(of_batch(&first(None), &body), [of_single(&first(Some("order-17")))]);
    let redelivered = Envelope { first_received_at: None, ..first(Some("order-17")) };
    assert_eq!(of_batch(&Envelope { message_id: None, ..redelivered }, &body), [of_single(&redelivered)]);
}

#[test]
fn elements_without_an_id_have_it_from_the_batch_and_their_place() {
    let body = batch(&[ELEMENT, ELEMENT]);
    let named = of_batch(&first(Some("order-17")), &body);
    let expected = ["ec71ad3a-a886-890d-8d86-ff24dc38c587", "f4abcdc3-83ce-869a-856f-e45a213466d0"];
    assert_eq!(ids(&named), expected);
    assert!(named.iter().all(|identity| rule(*identity) == (OnExisting::Replay, false)));
    // What else is in the batch does not matter: its message_id says what it is.
    let longer = batch(&[ELEMENT, ELEMENT, ELEMENT]);
    assert_eq!(ids(&of_batch(&first(Some("order-17")), &longer))[..2], expected);

    let derived = of_batch(&first(None), &body);
    let expected = ["78d99bc7-439a-8c22-9f36-4bf9436cf048", "f6421c6c-bd65-8a06-bd4f-a85e79b93760"];
    assert_eq!(ids(&derived), expected);
    assert!(derived.iter().all(|identity| rule(*identity) == (RENEW, false)));
    let again = of_batch(&Envelope { first_received_at: None, ..first(None) }, &body);
    assert_eq!(ids(&again), expected);
    assert!(again.iter().all(|identity| rule(*identity) == (OnExisting::Replay, true)));

    let others = [
        of_batch(&first(None), &longer),
        of_batch(&first(Some("order-18")), &body),
        of_batch(&Envelope { correlation_id: Some("d"), ..first(None) }, &body),
        of_batch(&Envelope { reply_to: None, ..first(None) }, &body),
        vec![of_single(&first(Some("order-17"))), of_single(&first(None))],
    ];
    let mut all = [ids(&named), ids(&derived), ids(&others.concat())].concat();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn every_place_of_a_full_batch_has_an_id_of_its_own() {
    for message_id in [None, Some("order-17")] {
        let mut ids = ids(&of_batch(&first(message_id), &batch(&[ELEMENT; MAX_BATCH_OPERATIONS])));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), MAX_BATCH_OPERATIONS);
    }
}

fn hash(operation: &str, fields: &str) -> RequestHash {
    let command = decode_as(operation, format!(r#"{{"wallet_id":1,"ticker":"USD",{fields}}}"#)).unwrap();
    command.movement().unwrap().identity.request_hash
}

#[test]
fn the_request_hash_is_as_it_was_and_grows_with_what_is_asked() {
    let rows = [
        ("invoice", r#""amount":10.5"#, "3398252590c2a096c7362863adeafa97"),
        (
            "invoice",
            r#""amount":"10.50","pending":false,"metadata":null"#,
            "3398252590c2a096c7362863adeafa97",
        ),
        ("transfer", r#""amount":10.5,"to_wallet_id":2"#, "06aaebc3ff5e07bd065e95e551ffed66"),
        ("invoice", r#""amount":10.5,"pending":true"#, "9946aba5c681b82784c07bcd00dc4743"),
        ("invoice", r#""amount":10.5,"pending":true,"timeout":"60""#, "eee05ca220ed0bc6d69913a3eaf02fa4"),
        ("invoice", r#""amount":10.5,"metadata":{"a": 1}"#, "4b17f94bf066914dc5b469f52bf8f9ff"),
    ];
    for (operation, fields, expected) in rows {
        let text: String = hash(operation, fields).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, expected, "{operation} {fields}");
    }
}

#[test]
fn requests_that_ask_for_something_else_have_other_hashes() {
    let mut all = vec![
        hash("invoice", r#""amount":10.5"#),
        hash("withdraw", r#""amount":10.5"#),
        hash("invoice", r#""amount":10.51"#),
        hash("invoice", r#""amount":-10.5"#),
        hash("invoice", r#""amount":10.5,"pending":true"#),
        hash("invoice", r#""amount":10.5,"pending":true,"timeout":1"#),
        hash("invoice", r#""amount":10.5,"pending":true,"timeout":2"#),
        hash("invoice", r#""amount":10.5,"pending":true,"metadata":{}"#),
        hash("invoice", r#""amount":10.5,"metadata":{}"#),
        hash("invoice", r#""amount":10.5,"metadata":{"a":{}}"#),
        hash("invoice", r#""amount":10.5,"metadata":{"a":[]}"#),
        hash("invoice", r#""amount":10.5,"metadata":{"a":null}"#),
        hash("invoice", r#""amount":10.5,"metadata":{"a":"null"}"#),
        hash("invoice", r#""amount":10.5,"metadata":{"a":1}"#),
        hash("invoice", r#""amount":10.5,"metadata":{"a":"1"}"#),
        hash("invoice", r#""amount":10.5,"metadata":{"a":[1]}"#),
        hash("invoice", r#""amount":10.5,"metadata":{"a":[1,2]}"#),
        hash("invoice", r#""amount":10.5,"metadata":{"a":[2,1]}"#),
        hash("invoice", r#""amount":10.5,"metadata":{"a":0.1}"#),
        hash("invoice", r#""amount":10.5,"metadata":{"a":0.10000000000000001}"#),
        hash("invoice", r#""amount":10.5,"metadata":{"a":1,"a":2}"#),
        hash("invoice", r#""amount":10.5,"metadata":{"a":2,"a":1}"#),
        hash("invoice", r#""amount":10.5,"metadata":{"a":"b,c"}"#),
        hash("invoice", r#""amount":10.5,"metadata":{"a":"b","c":""}"#),
        hash("invoice", r#""amount":10.5,"metadata":{"a":1e99999999999999999999}"#),
        hash("invoice", r#""amount":10.5,"metadata":{"a":1e99999999999999999998}"#),
        hash("transfer", r#""amount":10.5,"to_wallet_id":2"#),
        hash("transfer", r#""amount":10.5,"to_wallet_id":3"#),
        hash("transfer", r#""amount":10.5,"to_wallet_id":2,"pending":true"#),
    ];
    for body in
        [r#"{"wallet_id":2,"ticker":"USD","amount":10.5}"#, r#"{"wallet_id":1,"ticker":"EUR","amount":10.5}"#]
    {
        all.push(decode_as("invoice", body).unwrap().movement().unwrap().identity.request_hash);
    }
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn metadata_that_mean_the_same_hash_alike() {
    let of = |metadata: &str| hash("invoice", &format!(r#""amount":10.5,"metadata":{metadata}"#));
    let alike = [
        r#"{"order":17,"note":"café/\"1\"","tags":["a",null,true,{"x":-10.5,"y":{}}]}"#,
        r#" {"note" : "caf\u00e9\/\u00221\"" , "tags":[ "\u0061",null,true,{"y":{},"x":-105e-1}],"order":17.0}"#,
    ];
    assert_eq!(of(alike[0]), of(alike[1]));
    assert_eq!(of(r#"{"\ud83d\ude00":1}"#), of(r#"{"😀":1.00}"#));
    assert_eq!(of("{}"), of("{ \n}"));
}

/// The nil UUID in any notation, and the empty text, are sent by clients that never set an identity.
#[test]
fn the_nil_uuid_is_no_identity() {
    let nil = Uuid::nil();
    let (hyphenated, simple) = (nil.to_string(), nil.simple().to_string());
    let (braced, urn) = (nil.braced().to_string(), nil.urn().to_string());
    let texts = [
        "",
        &hyphenated,
        &simple,
        &braced,
        &urn,
        &urn.to_uppercase(),
        &format!("({hyphenated})"),
        &format!(" {hyphenated} "),
        &format!("{{{simple}}}"),
    ];
    let without = of_single(&first(None));
    assert_eq!(rule(without), (RENEW, false));
    for text in texts {
        assert_eq!(of_single(&first(Some(text))), without, "{text:?}");
        let batch_without = of_batch(&first(None), &batch(&[ELEMENT]));
        assert_eq!(of_batch(&first(Some(text)), &batch(&[ELEMENT])), batch_without, "{text:?}");
        assert!(!florin_wire::is_identity(text), "{text:?}");
        if !text.is_empty() {
            let element = with_id(&format!("{text:?}"));
            let own = of_batch(&first(Some("m")), &batch(&[&element]));
            assert_eq!(own, of_batch(&first(Some("m")), &batch(&[ELEMENT])), "{text:?}");
        }
    }
    for text in ["0", "00000000-0000-0000-0000-000000000001", &"0".repeat(31), &"0".repeat(33), "urn:uuid:"] {
        assert!(florin_wire::is_identity(text), "{text:?}");
        assert_eq!(rule(of_single(&first(Some(text)))), (OnExisting::Replay, false), "{text:?}");
    }
}

/// Two wallets never share a name, whichever operation it is and wherever it stands.
#[test]
fn an_identity_belongs_to_the_wallet_that_the_request_is_about() {
    let of = |operation, wallet_id: i64| {
        let body = format!(r#"{{"wallet_id":{wallet_id},"to_wallet_id":9,"ticker":"USD","amount":10.5}}"#);
        let body = if operation == "transfer" { body } else { body.replace(r#""to_wallet_id":9,"#, "") };
        let command = decode_in(&Envelope { operation, ..first(Some("order-17")) }, body).unwrap();
        command.movement().unwrap().identity.transaction_id
    };
    for operation in ["invoice", "withdraw", "transfer"] {
        assert_eq!(of(operation, 1).to_string(), "5ad321f7-8905-8f80-b508-277b63a74946", "{operation}");
        assert_eq!(of(operation, 2).to_string(), "58258839-6514-8348-aaec-c87c167cd8fd", "{operation}");
    }
}

/// The vectors of docs/reference/identity.md, for programs that calculate ids themselves.
#[test]
fn the_documented_vectors_hold() {
    let page = include_str!("../../../../docs/reference/identity.md");
    let (mut singles, mut elements) = (0, 0);
    for line in page.lines().filter(|line| line.starts_with("| `") && line.ends_with("` |")) {
        let cells: Vec<&str> =
            line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let wallet = |element: &str, wallet_id: &str| {
            element.replace(r#""wallet_id":1"#, &format!(r#""wallet_id":{wallet_id}"#))
        };
        match cells[..] {
            [message_id, wallet_id, expected] => {
                let command = decode_in(&first(Some(message_id)), wallet(BODY, wallet_id)).unwrap();
                let id = command.movement().unwrap().identity.transaction_id;
                assert_eq!(id.to_string(), expected, "{line}");
                singles += 1;
            }
            [message_id, place, wallet_id, expected] => {
                let place: usize = place.parse().unwrap();
                let own = wallet(ELEMENT, wallet_id);
                let body = batch(&[vec![ELEMENT; place], vec![&own]].concat());
                let ids = ids(&of_batch(&first(Some(message_id)), &body));
                assert_eq!(ids[place], expected, "{line}");
                elements += 1;
            }
            _ => panic!("not a vector: {line}"),
        }
    }
    assert_eq!((singles, elements), (6, 3));
}

/// A JSON value as text, in two ways that mean the same, and its meaning: numbers are multiples of 10^-9.
type Json = [String; 3];

fn json() -> impl Strategy<Value = Json> {
    let number = (-999_999_i128..=999_999, -9_i32..=9).prop_map(|(digits, exponent)| {
        let meaning = digits * 10_i128.pow((exponent + 9).cast_unsigned());
        [format!("{digits}e{exponent}"), format!("{digits}00.0E{:+}", exponent - 2), meaning.to_string()]
    });
    let text = "\\PC{0,8}".prop_map(|text: String| {
        let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        [serde_json::to_string(&text).unwrap(), format!("\"{escaped}\""), format!("{text:?}")]
    });
    let word = prop::sample::select(&["null", "true", "false"][..]);
    let word = word.prop_map(|word| [word.to_owned(), format!(" {word}\n"), word.to_owned()]);
    prop_oneof![number, text, word].prop_recursive(4, 24, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4).prop_map(|values| {
            let [one, other, meaning] =
                [0, 1, 2].map(|way| values.iter().map(|value| value[way].as_str()).collect::<Vec<_>>());
            [
                format!("[{}]", one.join(",")),
                format!("[ {} ]", other.join(" , ")),
                format!("[{}]", meaning.join(";")),
            ]
        });
        prop_oneof![list, object(inner)]
    })
}

fn object(value: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
    prop::collection::btree_map("[a-zé\"\\\\]{0,4}", value, 0..4).prop_map(|members| {
        let member = |name: &String, colon: &str, value: &String| {
            format!("{}{colon}{value}", serde_json::to_string(name).unwrap())
        };
        let one: Vec<_> = members.iter().map(|(name, json)| member(name, ":", &json[0])).collect();
        let other: Vec<_> = members.iter().rev().map(|(name, json)| member(name, " : ", &json[1])).collect();
        let meaning: Vec<_> = members.iter().map(|(name, json)| member(name, "=", &json[2])).collect();
        [
            format!("{{{}}}", one.join(",")),
            format!("{{ {}}}", other.join("\t,")),
            format!("{{{}}}", meaning.join(";")),
        ]
    })
}

proptest! {
    /// However a library writes a request, it is the same; and what means something else is another.
    #[test]
    fn the_hash_is_of_the_meaning([one, other, meaning] in object(json()), [third, _, another] in object(json())) {
        prop_assume!([&one, &other, &third].iter().all(|json| json.len() <= 4096));
        let of = |metadata: &str| hash("invoice", &format!(r#""amount":10.5,"metadata":{metadata}"#));
        prop_assert_eq!(of(&one), of(&other));
        prop_assert_eq!(of(&one) == of(&third), meaning == another, "{} and {}", one, third);
    }

    /// Whatever the id is, an element has the identity of the single request.
    #[test]
    fn ids_and_message_ids_are_one(id in "\\PC{1,60}") {
        let body = batch(&[&with_id(&serde_json::to_string(&id).unwrap())]);
        prop_assert_eq!(of_batch(&first(None), &body), vec![of_single(&first(Some(&id)))]);
    }

    #[test]
    fn any_uuid_is_the_id_itself(id in (1..=u128::MAX).prop_map(Uuid::from_u128)) {
        prop_assert_eq!(of_single(&first(Some(&id.to_string()))).transaction_id, id);
        let body = batch(&[&with_id(&format!("\"{id}\""))]);
        prop_assert_eq!(of_batch(&first(Some("m")), &body)[0].transaction_id, id);
    }
}
