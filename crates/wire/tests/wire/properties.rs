//! Whatever comes is answered, and a batch is nothing but its requests.

use std::borrow::Cow;

use florin_ledger::{
    Answer, BalanceLine, Command, Decimal, ErrorCode, LIMIT, Operation, Outcome, Scale, Status,
};
use florin_wire::{
    Answered, BATCH, BatchReply, BatchWriter, Body, Envelope, MovementBody, RawJson, Reply, Request,
    ResultBody, decode,
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::common::{LIMITS, decode_as, decode_batch, movement};

fn operation() -> impl Strategy<Value = &'static str> {
    let names = Operation::ALL.map(Operation::as_str);
    prop::sample::select([&names[..], &[BATCH, "x", ""]].concat())
}

/// Values of every JSON type, some of them right, and some that are no JSON.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("1".to_owned()),
        Just(r#""USD""#.to_owned()),
        Just(r#""00000000-0000-0000-0000-000000000007""#.to_owned()),
        Just(r#""2026-01-31T08:15:30.25Z""#.to_owned()),
        Just(r#"{"a":"\u0000"}"#.to_owned()),
        Just(r#"[{"operation":"invoice"},{"operation":"batch"},5]"#.to_owned()),
        "-?[0-9]{1,40}(\\.[0-9]{1,30})?([eE][-+]?[0-9]{1,20})?",
        "\"\\PC{0,10}\"",
        "\"[0-9a-f]{40}\"",
        "\"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?Z\"",
        "(null|true|false|\\[\\]|\\{\\}|\\[\\[1\\]\\]|NaN|)",
    ]
}

const NAMES: [&str; 18] = [
    "operation",
    "id",
    "wallet_id",
    "to_wallet_id",
    "ticker",
    "amount",
    "pending",
    "timeout",
    "metadata",
    "transaction_id",
    "at",
    "status",
    "from",
    "until",
    "before",
    "limit",
    "operations",
    "atomic",
];

/// An object of known names with any values.
fn object() -> impl Strategy<Value = String> {
    let field = (prop::sample::select(&NAMES[..]), value());
    prop::collection::vec(field, 0..8).prop_map(|fields| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    })
}

fn amount() -> impl Strategy<Value = Decimal> {
    (1..LIMIT, 0_u8..=18).prop_map(|(units, places)| Decimal::from_minor(units, Scale::new(places).unwrap()))
}

fn answer() -> impl Strategy<Value = Answer> {
    let id = any::<u128>().prop_map(Uuid::from_u128);
    let line = ("[A-Z]{1,5}", amount(), amount());
    let line = line.prop_map(|(ticker, actual, frozen)| BalanceLine { ticker, actual, frozen });
    prop_oneof![
        (id.clone(), prop::sample::select(&Status::ALL[..2]))
            .prop_map(|(transaction_id, status)| Answer::Opened { transaction_id, status }),
        (id.clone(), prop::option::of(amount())).prop_map(|(transaction_id, settled)| Answer::Resolved {
            transaction_id,
            settled,
            error: settled.is_none().then_some(ErrorCode::Expired),
        }),
        prop::collection::vec(line, 0..4).prop_map(Answer::Balance),
        (prop::sample::select(&ErrorCode::ALL[..]), prop::option::of(id))
            .prop_map(|(code, transaction_id)| Answer::Refused { code, transaction_id }),
    ]
}

/// The outcome of an invoice or of an operation that could not be read.
fn answered() -> impl Strategy<Value = Answered> {
    let decided = (amount(), "\\PC{0,8}", answer(), any::<bool>());
    let decided = decided.prop_map(|(amount, ticker, answer, replayed)| {
        let command = Command::Withdraw(florin_ledger::Movement { ticker, amount, ..movement("1") });
        Answered {
            operation: Cow::Borrowed("withdraw"),
            result: Ok((command, Some(Outcome { replayed, answer }))),
        }
    });
    let refused = ("\\PC{0,20}", "\\PC{0,40}").prop_map(|(operation, reason)| Answered {
        operation: Cow::Owned(operation),
        result: Err(florin_wire::Refusal { code: ErrorCode::Malformed, reason }),
    });
    prop_oneof![4 => decided, 1 => refused]
}

/// What a single request would have been answered.
fn alone(answered: &Answered) -> (Reply, bool) {
    match &answered.result {
        Ok((command, outcome)) => {
            let outcome = outcome.as_ref().unwrap();
            (Reply::to_command(command, outcome), outcome.replayed)
        }
        Err(refusal) => (Reply::refused(&answered.operation, refusal), false),
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(operation in operation(), body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&Envelope { operation, ..Envelope::default() }, &body, &LIMITS);
        let _ = Body::read(&body);
    }

    #[test]
    fn nearly_right_bodies_do_not_panic(operation in operation(), body in object()) {
        if let Err(refusal) = decode(&Envelope { operation, ..Envelope::default() }, body.as_bytes(), &LIMITS) {
            let known = operation == BATCH || operation.parse::<Operation>().is_ok();
            let expected = if known { ErrorCode::Malformed } else { ErrorCode::UnknownOperation };
            prop_assert_eq!(refusal.code, expected);
            prop_assert!(refusal.reason.len() < 200);
        }
    }

    #[test]
    fn nearly_right_batches_do_not_panic(elements in prop::collection::vec(object(), 0..4), atomic in value()) {
        let _ = decode_batch(format!(r#"{{"operations":[{}],"atomic":{atomic}}}"#, elements.join(",")));
    }

    /// What is taken as a body is read in a batch as it is read alone, and beside any other.
    #[test]
    fn a_batch_is_nothing_but_its_requests(requests in prop::collection::vec((operation(), object()), 1..6)) {
        let mut writer = BatchWriter::new();
        let mut expected = Vec::new();
        for (operation, text) in &requests {
            if let Ok(body) = Body::read(text.as_bytes())
                && !matches!(*operation, BATCH | "")
            {
                writer.push(operation, None, None, &body);
                expected.push(decode_as(operation, text));
            }
        }
        prop_assume!(!expected.is_empty());
        let batch = decode_batch(writer.finish(false)).unwrap();
        prop_assert_eq!(batch.items.len(), expected.len());
        for (item, mut single) in batch.items.into_iter().zip(expected) {
            let mut command = item.command;
            for command in [&mut command, &mut single].into_iter().flatten() {
                if let Some(identity) = command.identity_mut() {
                    identity.transaction_id = Uuid::nil();
                }
            }
            // There it is told more names.
            for refusal in [&mut command, &mut single].into_iter().filter_map(|command| command.as_mut().err()) {
                if refusal.reason.starts_with("unknown field") {
                    refusal.reason.truncate(refusal.reason.find("; ").unwrap());
                }
            }
            prop_assert_eq!(command, single);
        }
    }

    #[test]
    fn what_the_client_writes_is_what_the_service_reads(
        wallet_id: i64,
        ticker in "\\PC{0,8}",
        amount in amount(),
        note in "\\PC{0,20}",
    ) {
        prop_assume!(!note.contains('\0'));
        let metadata = RawJson::new(&std::collections::BTreeMap::from([("note", &note)])).unwrap();
        let text = metadata.as_str().to_owned();
        let request = Request::Withdraw(MovementBody::new(wallet_id, ticker.clone(), amount).metadata(metadata));
        let Command::Withdraw(read) = decode_as("withdraw", request.to_json()).unwrap() else {
            panic!("not a withdrawal")
        };
        prop_assert_eq!((read.wallet_id, read.ticker, read.amount), (wallet_id, ticker, amount));
        prop_assert_eq!(read.metadata.as_deref(), Some(text.as_str()));
    }

    /// A client that gathers the calls of many into one message gives each the reply that it would have got alone.
    #[test]
    fn a_result_is_the_reply_of_the_single_request(answered in prop::collection::vec(answered(), 1..6)) {
        let BatchReply { reply, replayed } = BatchReply::new(false, &answered);
        let reply = Reply::from_json(&reply.to_json()).unwrap();
        prop_assert_eq!((reply.operation.as_str(), reply.code), (BATCH, 200));
        let got: Vec<_> = reply.results().unwrap().into_iter().map(ResultBody::into_reply).collect();
        let expected: Vec<_> = answered.iter().map(alone).collect();
        prop_assert_eq!(replayed, expected.iter().all(|(_, replayed)| *replayed));
        prop_assert_eq!(got, expected);
    }

    /// Whatever is refused, one operation is named for it, and the others that it took along say the same.
    #[test]
    fn an_atomic_batch_fails_for_a_reason(answered in prop::collection::vec(answered(), 1..6)) {
        let BatchReply { reply, .. } = BatchReply::new(true, &answered);
        let results = reply.results().unwrap();
        prop_assert_eq!(results.len(), answered.len());
        let refused = results.iter().filter(|result| result.error.is_some()).count();
        prop_assert_eq!(reply.is_done(), refused == 0);
        prop_assert_eq!(reply.error.as_deref(), (refused > 0).then_some("batch_failed"));
        prop_assert_eq!(reply.reason.is_some(), refused > 0);
    }
}
