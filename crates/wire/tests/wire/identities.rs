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
        ("order-17", "422d1891-1f10-89cc-b4e1-4b1d3285b275"),
        ("", "1427cf32-6e49-8d30-8306-1feaef806d58"),
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
    // However it is written.
    let body = batch(&[&with_id(r#""\u006frder-\u0031\u0037""#)]);
    assert_eq!(of_batch(&first(None), &body), [of_single(&first(Some("order-17")))]);
    let redelivered = Envelope { first_received_at: None, ..first(Some("order-17")) };
    assert_eq!(of_batch(&Envelope { message_id: None, ..redelivered }, &body), [of_single(&redelivered)]);
}

#[test]
fn elements_without_an_id_have_it_from_the_batch_and_their_place() {
    let body = batch(&[ELEMENT, ELEMENT]);
    let named = of_batch(&first(Some("order-17")), &body);
    let expected = ["085cd580-b416-8d10-8496-c93e22c240e7", "ca400138-5a70-859c-a446-cb55a0ea05dc"];
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
        ("invoice", r#""amount":10.5,"metadata":{"a": 1}"#, "a3a1fe88a4d11193f07d5104be090a81"),
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
        hash("invoice", r#""amount":10.5,"metadata":{ }"#),
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

proptest! {
    /// Whatever the id is, an element has the identity of the single request.
    #[test]
    fn ids_and_message_ids_are_one(id in "\\PC{1,60}") {
        let body = batch(&[&with_id(&serde_json::to_string(&id).unwrap())]);
        prop_assert_eq!(of_batch(&first(None), &body), vec![of_single(&first(Some(&id)))]);
    }

    #[test]
    fn any_uuid_is_the_id_itself(id in any::<u128>().prop_map(Uuid::from_u128)) {
        prop_assert_eq!(of_single(&first(Some(&id.to_string()))).transaction_id, id);
        let body = batch(&[&with_id(&format!("\"{id}\""))]);
        prop_assert_eq!(of_batch(&first(Some("m")), &body)[0].transaction_id, id);
    }
}
