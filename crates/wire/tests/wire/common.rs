//! What the tests share.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use florin_ledger::{
    Command, Decimal, ErrorCode, Identity, Movement, OnExisting, Operation, Scale, Status, Ticker,
    Transaction,
};
use florin_wire::names::SEED_EXCHANGE;
use florin_wire::{BATCH, Batch, Decoded, Envelope, Limits, Refusal, decode};
use uuid::Uuid;

pub(crate) const LIMITS: Limits = Limits { max_body_bytes: 64 * 1024, max_batch_body_bytes: 1024 * 1024 };
pub(crate) const ID: Uuid = Uuid::from_u128(7);
pub(crate) const ID_TEXT: &str = "00000000-0000-0000-0000-000000000007";

/// Decodes a request that comes alone.
pub(crate) fn decode_as(operation: &str, body: impl AsRef<[u8]>) -> Result<Command, Refusal> {
    decode_in(&Envelope { operation, ..Envelope::default() }, body)
}

/// Decodes a request that came by the exchange of the first clients, where unknown fields are ignored.
pub(crate) fn decode_from_seed(operation: &str, body: impl AsRef<[u8]>) -> Result<Command, Refusal> {
    decode_in(&Envelope { operation, exchange: SEED_EXCHANGE, ..Envelope::default() }, body)
}

pub(crate) fn decode_in(envelope: &Envelope<'_>, body: impl AsRef<[u8]>) -> Result<Command, Refusal> {
    match decode(envelope, body.as_ref(), &LIMITS)? {
        Decoded::One(command) => Ok(command),
        Decoded::Batch(batch) => panic!("not one command: {batch:?}"),
    }
}

/// Decodes a batch.
pub(crate) fn decode_batch(body: impl AsRef<[u8]>) -> Result<Batch, Refusal> {
    decode_batch_in(&Envelope { operation: BATCH, ..Envelope::default() }, body)
}

pub(crate) fn decode_batch_in(envelope: &Envelope<'_>, body: impl AsRef<[u8]>) -> Result<Batch, Refusal> {
    match decode(envelope, body.as_ref(), &LIMITS)? {
        Decoded::Batch(batch) => Ok(batch),
        Decoded::One(command) => panic!("no batch: {command:?}"),
    }
}

/// Each body is refused as malformed, with a reason that says this.
pub(crate) fn assert_malformed(operation: &str, rows: &[(&str, &str)]) {
    for (body, part) in rows {
        let refusal = decode_as(operation, body).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::Malformed, "{operation} {body:.80}");
        assert!(
            refusal.reason.contains(part),
            "{operation} {body:.80}: {} does not say {part}",
            refusal.reason
        );
        assert!(refusal.reason.len() < 200, "{operation} {body:.80}: {} is long", refusal.reason);
    }
}

pub(crate) fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// So many microseconds after 2026-01-31T08:15:30Z.
pub(crate) fn time(micros: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_847_330) + Duration::from_micros(micros)
}

pub(crate) fn movement(amount: &str) -> Movement {
    let identity = Identity {
        transaction_id: ID,
        request_hash: [0; 16],
        on_existing: OnExisting::Replay,
        redelivered: false,
    };
    let (ticker, amount) = ("USD".to_owned(), decimal(amount));
    Movement { identity, wallet_id: 3, ticker, amount, pending: None, metadata: None, requested_by: None }
}

/// A withdrawal of 1.50 USD that is done.
pub(crate) fn transaction() -> Transaction {
    Transaction {
        id: ID,
        operation: Operation::Withdraw,
        wallet_id: 3,
        to_wallet_id: None,
        ticker: Ticker { id: 1, name: Arc::from("USD"), scale: Scale::new(2).unwrap() },
        amount: 150,
        opened: Status::Success,
        refusal: None,
        created_at: time(0),
        expires_at: None,
        metadata: None,
        requested_by: None,
        request_hash: [0; 16],
        redelivered: false,
        resolution: None,
    }
}
