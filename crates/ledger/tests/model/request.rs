//! Requests as the decoder makes them: their hash follows from what they ask for.

use std::hash::{DefaultHasher, Hash, Hasher};

use florin_ledger::{Command, Identity, OnExisting};
use uuid::Uuid;

/// An identity without its hash: see [`sealed`].
pub(crate) fn identity(transaction_id: Uuid) -> Identity {
    Identity { transaction_id, request_hash: [0; 16], on_existing: OnExisting::Replay, redelivered: false }
}

/// The command with the hash of what it asks for: equal for two that ask for the same.
pub(crate) fn sealed(mut command: Command) -> Command {
    let Some(own) = command.identity_mut() else { return command };
    let transaction_id = std::mem::replace(own, identity(Uuid::nil())).transaction_id;
    let content = format!("{command:?}");
    let mut request_hash = [0; 16];
    for (salt, half) in request_hash.chunks_mut(8).enumerate() {
        let mut hasher = DefaultHasher::new();
        (salt, &content).hash(&mut hasher);
        half.copy_from_slice(&hasher.finish().to_be_bytes());
    }
    if let Some(own) = command.identity_mut() {
        *own = Identity { request_hash, ..identity(transaction_id) };
    }
    command
}
