//! What makes a retry the same request: the identity, which is the transaction id as well.
//!
//! A `message_id` that is a UUID is the id itself. Any other is hashed to one together with the wallet that the
//! request is about, so that two wallets never share an identity: nobody can take the order numbers of another
//! in advance, or find out which are taken. Without a `message_id` the id is the hash of the message, and then
//! only the broker's redelivery flag tells a redelivery from a second request with the same content.
//!
//! `docs/reference/identity.md` has the derivation with test vectors. It must not change: the tables hold ids.

use std::cell::OnceCell;

use florin_ledger::{Decimal, Identity, OnExisting, Operation, RequestHash, WalletId};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::envelope::Envelope;
use crate::metadata;

/// Whether a `message_id` is an identity. The empty one and the all-zero UUID are none: what clients send that
/// never set it would be the same for everybody.
#[must_use]
pub fn is_identity(message_id: &str) -> bool {
    !message_id.is_empty() && !is_nil(message_id)
}

/// The all-zero UUID in any notation: with or without hyphens, in braces or parentheses, as a URN.
fn is_nil(text: &str) -> bool {
    const DIGITS: usize = 32;
    const URN: &str = "urn:uuid:";
    let text = text.trim();
    let bare = match text.split_at_checked(URN.len()) {
        Some((prefix, bare)) if prefix.eq_ignore_ascii_case(URN) => bare,
        _ => text,
    };
    let of_nil = |byte| matches!(byte, b'0' | b'-' | b'{' | b'}' | b'(' | b')');
    bare.bytes().all(of_nil) && bare.bytes().filter(|byte| *byte == b'0').count() == DIGITS
}

/// The identity of a single request.
pub(crate) fn identity(
    envelope: &Envelope<'_>,
    body: &str,
    wallet_id: WalletId,
    request_hash: RequestHash,
) -> Identity {
    match given(envelope) {
        Some(message_id) => named(envelope, named_id(message_id, wallet_id), request_hash),
        None => derived(envelope, id_of(sent(envelope, body)), request_hash),
    }
}

fn given<'a>(envelope: &Envelope<'a>) -> Option<&'a str> {
    envelope.message_id.filter(|message_id| is_identity(message_id))
}

/// The identities of the operations of one batch.
pub(crate) struct BatchIdentities<'a> {
    envelope: &'a Envelope<'a>,
    body: &'a str,
    /// The hash of what they have in common, computed when the first one needs it: a large body is hashed
    /// once.
    common: OnceCell<Sha256>,
}

impl<'a> BatchIdentities<'a> {
    pub(crate) const fn new(envelope: &'a Envelope<'a>, body: &'a str) -> Self {
        Self { envelope, body, common: OnceCell::new() }
    }

    /// The identity of the operation at this index, which may have an `id`.
    pub(crate) fn at(
        &self,
        index: usize,
        id: Option<&str>,
        wallet_id: WalletId,
        request_hash: RequestHash,
    ) -> Identity {
        let envelope = self.envelope;
        if let Some(id) = id.filter(|id| is_identity(id)) {
            return named(envelope, named_id(id, wallet_id), request_hash);
        }
        let message_id = given(envelope);
        let common = self.common.get_or_init(|| match message_id {
            Some(message_id) => hash(&[b"batch", message_id.as_bytes()]),
            None => sent(envelope, self.body),
        });
        let mut hash = common.clone();
        add(&mut hash, &(index as u64).to_be_bytes());
        match message_id {
            Some(_) => {
                add(&mut hash, &wallet_id.to_be_bytes());
                named(envelope, id_of(hash), request_hash)
            }
            None => derived(envelope, id_of(hash), request_hash),
        }
    }
}

/// The client sent an identity.
const fn named(envelope: &Envelope<'_>, transaction_id: Uuid, request_hash: RequestHash) -> Identity {
    let redelivered = envelope.first_received_at.is_none();
    Identity { transaction_id, request_hash, on_existing: OnExisting::Replay, redelivered }
}

/// The client sent no identity: only the broker's redelivery flag tells a redelivery.
fn derived(envelope: &Envelope<'_>, transaction_id: Uuid, request_hash: RequestHash) -> Identity {
    let on_existing = match envelope.first_received_at {
        Some(received_at) => OnExisting::Renew { received_at },
        None => OnExisting::Replay,
    };
    Identity { on_existing, ..named(envelope, transaction_id, request_hash) }
}

/// The id that a `message_id` stands for, in a request about this wallet.
fn named_id(message_id: &str, wallet_id: WalletId) -> Uuid {
    hyphenated(message_id).unwrap_or_else(|| {
        let parts: [&[u8]; 3] = [b"message_id", &wallet_id.to_be_bytes(), message_id.as_bytes()];
        id_of(hash(&parts))
    })
}

/// A UUID with hyphens. `Uuid::parse_str` accepts other notations too.
#[must_use]
pub fn hyphenated(text: &str) -> Option<Uuid> {
    const LENGTH: usize = 36;
    (text.len() == LENGTH).then(|| Uuid::parse_str(text).ok()).flatten()
}

/// The hash of the whole message.
fn sent(envelope: &Envelope<'_>, body: &str) -> Sha256 {
    let reply_to = envelope.reply_to.unwrap_or_default().as_bytes();
    let correlation_id = envelope.correlation_id.unwrap_or_default().as_bytes();
    hash(&[b"request", reply_to, correlation_id, envelope.operation.as_bytes(), body.as_bytes()])
}

/// What a request asks for, without where it comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meaning<'a> {
    pub(crate) operation: Operation,
    pub(crate) wallet_id: WalletId,
    pub(crate) ticker: &'a str,
    pub(crate) amount: Decimal,
    pub(crate) to_wallet_id: Option<WalletId>,
    pub(crate) pending: bool,
    pub(crate) timeout_seconds: Option<u64>,
    /// The text as it was sent.
    pub(crate) metadata: Option<&'a str>,
}

impl Meaning<'_> {
    /// What means the same hashes alike: amounts count by their value, metadata by what is in them. The fields
    /// that came later are only hashed if one of them is given, so that the hashes of plain requests stay as
    /// they were recorded.
    pub(crate) fn hash(&self) -> RequestHash {
        let wallet_id = self.wallet_id.to_be_bytes();
        let amount = self.amount.to_string();
        let operation = self.operation.as_str().as_bytes();
        let mut hash = hash(&[operation, &wallet_id, self.ticker.as_bytes(), amount.as_bytes()]);
        if self.to_wallet_id.is_some() || self.pending || self.metadata.is_some() {
            let to_wallet_id = self.to_wallet_id.map(WalletId::to_be_bytes);
            let timeout = self.timeout_seconds.map(u64::to_be_bytes);
            add(&mut hash, to_wallet_id.as_ref().map_or(&[], <[u8; 8]>::as_slice));
            add(&mut hash, &[u8::from(self.pending)]);
            add(&mut hash, timeout.as_ref().map_or(&[], <[u8; 8]>::as_slice));
            let metadata = self.metadata.map(metadata::canonical);
            add(&mut hash, metadata.unwrap_or_default().as_bytes());
        }
        first_half(hash)
    }
}

fn id_of(hash: Sha256) -> Uuid {
    Uuid::new_v8(first_half(hash))
}

fn hash(parts: &[&[u8]]) -> Sha256 {
    let mut hash = Sha256::new();
    for part in parts {
        add(&mut hash, part);
    }
    hash
}

/// Each part is preceded by its length, so that no two lists of parts give the same bytes.
fn add(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_be_bytes());
    hash.update(part);
}

fn first_half(hash: Sha256) -> [u8; 16] {
    let hash: [u8; 32] = hash.finalize().into();
    *hash.first_chunk().expect("32 bytes have a first half")
}
