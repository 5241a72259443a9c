//! What makes a retry the same request: the identity, which is the transaction id as well.
//!
//! A `message_id` that is a UUID is the id itself; any other is hashed to one. Without a `message_id` the id
//! is the hash of what was sent, and then only the broker's redelivery flag tells a repetition from a second
//! request that looks the same.

use florin_ledger::{Decimal, Identity, OnExisting, Operation, RequestHash, WalletId};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::request::Envelope;

/// The identity of a request whose meaning hashes to `request_hash`.
pub(crate) fn identity(envelope: &Envelope<'_>, body: &[u8], request_hash: RequestHash) -> Identity {
    let (transaction_id, on_existing) = match (envelope.message_id, envelope.first_received_at) {
        (Some(message_id), _) => (named_id(message_id), OnExisting::Replay),
        (None, Some(received_at)) => (derived_id(envelope, body), OnExisting::Renew { received_at }),
        (None, None) => (derived_id(envelope, body), OnExisting::Replay),
    };
    let redelivered = envelope.first_received_at.is_none();
    Identity { transaction_id, request_hash, on_existing, redelivered }
}

/// The id that a `message_id` stands for.
fn named_id(message_id: &str) -> Uuid {
    /// `Uuid::parse_str` takes other notations too; only the usual one is taken as the id itself.
    const HYPHENATED: usize = 36;
    if message_id.len() == HYPHENATED
        && let Ok(id) = Uuid::parse_str(message_id)
    {
        return id;
    }
    hashed_id(&[b"message_id", message_id.as_bytes()])
}

/// The id of a request without a `message_id`.
fn derived_id(envelope: &Envelope<'_>, body: &[u8]) -> Uuid {
    let reply_to = envelope.reply_to.unwrap_or_default().as_bytes();
    let correlation_id = envelope.correlation_id.unwrap_or_default().as_bytes();
    hashed_id(&[b"request", reply_to, correlation_id, envelope.operation.as_bytes(), body])
}

/// The hash of what a money request asks for. Two texts of one amount ask for the same.
pub(crate) fn request_hash(
    operation: Operation,
    wallet_id: WalletId,
    ticker: &str,
    amount: Decimal,
) -> RequestHash {
    let wallet_id = wallet_id.to_be_bytes();
    let amount = amount.to_string();
    first_half(&sha256(&[operation.as_str().as_bytes(), &wallet_id, ticker.as_bytes(), amount.as_bytes()]))
}

fn hashed_id(parts: &[&[u8]]) -> Uuid {
    Uuid::new_v8(first_half(&sha256(parts)))
}

/// Each part is preceded by its length, so that no two lists of parts give the same bytes.
fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn first_half(hash: &[u8; 32]) -> [u8; 16] {
    *hash.first_chunk().expect("32 bytes have a first half")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    const UUID: &str = "0190a5b0-7c1e-7d3c-8c3e-0123456789ab";

    fn envelope(message_id: Option<&str>) -> Envelope<'_> {
        Envelope { operation: "invoice", message_id, ..Envelope::default() }
    }

    #[test]
    fn a_uuid_is_the_id_itself() {
        let id = |text: &str| identity(&envelope(Some(text)), b"", [0; 16]).transaction_id;
        assert_eq!(id(UUID), Uuid::parse_str(UUID).unwrap());
        assert_eq!(id(&UUID.to_uppercase()), Uuid::parse_str(UUID).unwrap());
        for other in ["order-17", "", &UUID.replace('-', ""), &format!("{{{UUID}}}")] {
            assert_eq!(id(other).get_version_num(), 8, "{other}");
            assert_ne!(id(other), Uuid::parse_str(UUID).unwrap(), "{other}");
        }
    }

    #[test]
    fn without_one_every_part_counts_and_the_redelivery_flag_decides() {
        let id = |reply_to, correlation_id, operation, body: &[u8]| {
            let (reply_to, correlation_id) = (Some(reply_to), Some(correlation_id));
            derived_id(&Envelope { operation, reply_to, correlation_id, ..Envelope::default() }, body)
        };
        let base = id("r", "c", "invoice", b"{}");
        let others = [
            id("rc", "", "invoice", b"{}"),
            id("r", "d", "invoice", b"{}"),
            id("r", "c", "withdraw", b"{}"),
            id("r", "c", "invoice", b"{ }"),
        ];
        assert!(others.iter().all(|other| *other != base));
        let received_at = SystemTime::UNIX_EPOCH;
        let first = Envelope { first_received_at: Some(received_at), ..envelope(None) };
        assert_eq!(identity(&first, b"", [0; 16]).on_existing, OnExisting::Renew { received_at });
        assert_eq!(identity(&envelope(None), b"", [0; 16]).on_existing, OnExisting::Replay);
        assert_eq!(identity(&envelope(Some("x")), b"", [0; 16]).on_existing, OnExisting::Replay);
    }

    #[test]
    fn the_same_amount_in_another_text_is_the_same_request() {
        let hash =
            |amount: &str| request_hash(Operation::Invoice, 1, "USD", amount.parse().expect("an amount"));
        assert_eq!(hash("10.5"), hash("10.50"));
        assert_eq!(hash("10.5"), hash("105e-1"));
        assert_ne!(hash("10.5"), hash("10.51"));
    }

    #[test]
    fn another_operation_wallet_or_ticker_is_another_request() {
        let hash =
            |operation, wallet_id, ticker| request_hash(operation, wallet_id, ticker, "1".parse().unwrap());
        let one = hash(Operation::Invoice, 1, "USD");
        assert_ne!(one, hash(Operation::Withdraw, 1, "USD"));
        assert_ne!(one, hash(Operation::Invoice, 2, "USD"));
        assert_ne!(one, hash(Operation::Invoice, 1, "EUR"));
    }
}
