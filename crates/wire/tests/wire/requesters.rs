//! Who is recorded: the user whom the broker vouches for, or the one for whom a trusted user asks.

use florin_ledger::{Command, ErrorCode};
use florin_wire::names::SEED_EXCHANGE;
use florin_wire::{BATCH, BatchWriter, Body, Envelope, Refusal};

use crate::common::{ID_TEXT, decode_batch_in, decode_in};

const OPENING: &str = r#"{"wallet_id":1,"ticker":"USD","amount":1,"on_behalf_of":"key:body"}"#;

/// A message of this user, who may or may not be trusted, with this header.
fn from<'a>(user_id: Option<&'a str>, trusted: bool, header: Option<&'a str>) -> Envelope<'a> {
    Envelope {
        operation: "invoice",
        // Elsewhere a body that says for whom it asks is refused.
        exchange: SEED_EXCHANGE,
        message_id: Some("order-17"),
        user_id,
        on_behalf_of: header.map(str::as_bytes),
        speaks_for_others: trusted,
        ..Envelope::default()
    }
}

fn recorded(command: &Command) -> Option<&str> {
    match command {
        Command::Resolve { requested_by, .. } => requested_by.as_deref(),
        other => other.movement().unwrap().requested_by.as_deref(),
    }
}

#[test]
fn a_message_is_of_its_user_or_of_whom_a_trusted_one_names() {
    let rows = [
        (from(None, false, None), None),
        (from(Some("shop"), false, None), Some("amqp:shop")),
        (from(Some("shop"), false, Some("key:boss")), Some("amqp:shop")),
        (from(None, false, Some("key:boss")), None),
        // Not even looked at.
        (from(Some("shop"), false, Some("")), Some("amqp:shop")),
        (from(Some("florin"), true, None), Some("amqp:florin")),
        (from(Some("florin"), true, Some("key:shop-1")), Some("key:shop-1")),
        (from(Some("florin"), true, Some(" ~")), Some(" ~")),
    ];
    for (envelope, expected) in rows {
        let end = format!(r#"{{"transaction_id":"{ID_TEXT}"}}"#);
        let rows = [("invoice", OPENING), ("withdraw", OPENING), ("settle", &end), ("cancel", &end)];
        for (operation, body) in rows {
            let command = decode_in(&Envelope { operation, ..envelope }, body).unwrap();
            assert_eq!(recorded(&command), expected, "{envelope:?}");
        }
        let read = Envelope { operation: "balance", ..envelope };
        assert!(decode_in(&read, r#"{"wallet_id":1}"#).is_ok());
    }
}

#[test]
fn what_cannot_be_recorded_is_malformed() {
    let (fits, long, user) = ("x".repeat(255), "x".repeat(256), "é".repeat(125));
    let said = |header: &str| decode_in(&from(Some("florin"), true, Some(header)), OPENING);
    assert_eq!(recorded(&said(&fits).unwrap()), Some(fits.as_str()));
    for header in ["", &long, "é", "a\nb", "\u{7f}", "\0"] {
        let refusal = said(header).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::Malformed, "{header:?}");
        assert!(refusal.reason.contains("florin-on-behalf-of"), "{}", refusal.reason);
    }
    let bytes = Envelope { on_behalf_of: Some(b"\xff"), ..from(Some("florin"), true, None) };
    assert_eq!(decode_in(&bytes, OPENING).unwrap_err().code, ErrorCode::Malformed);

    let of_user = |user_id: &str| decode_in(&from(Some(user_id), false, None), OPENING);
    assert_eq!(recorded(&of_user(&user).unwrap()), Some(format!("amqp:{user}").as_str()));
    for user_id in [format!("{user}x"), "a\0".to_owned()] {
        assert!(of_user(&user_id).unwrap_err().reason.contains("user_id"));
    }
}

/// The operations of a batch that its sender coalesced, each for another, and what is recorded of them.
fn of_batch(envelope: &Envelope<'_>, named: &[Option<&str>]) -> Vec<Result<Option<String>, Refusal>> {
    let mut writer = BatchWriter::new();
    let body = Body::read(br#"{"wallet_id":1,"ticker":"USD","amount":1}"#).unwrap();
    for on_behalf_of in named {
        writer.push("invoice", None, *on_behalf_of, &body);
    }
    let batch = decode_batch_in(&Envelope { operation: BATCH, ..*envelope }, writer.finish(false)).unwrap();
    let items = batch.items.into_iter();
    items.map(|item| item.command.map(|command| recorded(&command).map(ToOwned::to_owned))).collect()
}

#[test]
fn operations_of_a_batch_keep_their_own() {
    let some = |name: &str| Ok(Some(name.to_owned()));
    let named = [Some("key:shop-1"), None, Some("key:\"2\"")];
    let trusted = of_batch(&from(Some("florin"), true, None), &named);
    assert_eq!(trusted, [some("key:shop-1"), some("amqp:florin"), some("key:\"2\"")]);
    let with_header = of_batch(&from(Some("florin"), true, Some("key:all")), &named);
    assert_eq!(with_header, vec![some("key:all"); 3], "it speaks for all of them");
    let untrusted = of_batch(&from(Some("shop"), false, Some("key:all")), &named);
    assert_eq!(untrusted, vec![some("amqp:shop"); 3]);
    assert_eq!(of_batch(&from(None, false, None), &named), vec![Ok(None); 3]);

    // One that is wrong is refused alone, and only where it is looked at.
    let long = "x".repeat(256);
    let named = [Some("key:shop-1"), Some(&*long), Some("é"), Some("")];
    let results = of_batch(&from(Some("florin"), true, None), &named);
    assert_eq!(results[0], some("key:shop-1"));
    for result in &results[1..] {
        let refusal = result.as_ref().unwrap_err();
        assert_eq!(refusal.code, ErrorCode::Malformed);
        assert!(refusal.reason.contains("on_behalf_of"), "{}", refusal.reason);
    }
    assert_eq!(of_batch(&from(Some("shop"), false, None), &named), vec![some("amqp:shop"); 4]);
    assert_eq!(of_batch(&from(Some("florin"), true, None), &[None]), [some("amqp:florin")]);
}

/// A retry by another is the same request.
#[test]
fn who_asks_is_no_part_of_what_is_asked() {
    let identity =
        |envelope: &Envelope<'_>, body: &str| decode_in(envelope, body).unwrap().movement().unwrap().identity;
    for message_id in [Some("order-17"), None] {
        let of = |user_id, header| Envelope { message_id, ..from(user_id, true, header) };
        let nobody = identity(&of(None, None), OPENING);
        assert_eq!(identity(&of(Some("shop"), None), OPENING), nobody);
        assert_eq!(identity(&of(Some("florin"), Some("key:shop-1")), OPENING), nobody);
    }
}

/// A body that came from somebody else cannot say for whom the operation is asked.
#[test]
fn a_body_has_no_say_in_it() {
    let refusal = Body::read(OPENING.as_bytes()).unwrap_err();
    assert!(refusal.reason.contains("on_behalf_of"), "{}", refusal.reason);
}
