//! Requests: whatever a message holds, it is decoded or refused in few words, and always the same.
//!
//! The first byte picks the operation; the rest is the body.

#![no_main]

use florin_ledger::{Command, Operation};
use florin_wire::{BATCH, Body, Decoded, Envelope, Limits, decode};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { max_body_bytes: 64 * 1024, max_batch_body_bytes: 1 << 20 };
const LONGEST_REASON: usize = 300;

fuzz_target!(|data: &[u8]| {
    let Some((pick, body)) = data.split_first() else { return };
    let operations = Operation::ALL.map(Operation::as_str);
    let operation = operations.get(usize::from(*pick)).copied().unwrap_or(BATCH);
    let envelope = Envelope { operation, message_id: Some("order 17"), ..Envelope::default() };
    let decoded = decode(&envelope, body, &LIMITS);
    match &decoded {
        Ok(Decoded::One(command)) => check(command),
        Ok(Decoded::Batch(batch)) => {
            for item in &batch.items {
                match &item.command {
                    Ok(command) => check(command),
                    Err(refusal) => assert!(refusal.reason.len() < LONGEST_REASON),
                }
            }
        }
        Err(refusal) => assert!(refusal.reason.len() < LONGEST_REASON),
    }
    assert_eq!(decode(&envelope, body, &LIMITS), decoded);
    // A caller's body, before it is put into a batch.
    let _ = Body::read(body);
});

/// What is taken can be asked about.
fn check(command: &Command) {
    let _ = command.movement();
    assert!(command.wallet_ids().into_iter().count() <= 2);
}
