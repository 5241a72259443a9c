//! Proof that a message was sent by the service itself.
//!
//! HTTP is a client of the broker like any other, and says in its messages for which API key it asks. The broker
//! only vouches for a user, and where everybody connects as the same one (`guest`, unless configured) that says
//! nothing. So the service signs its messages, with a key that all instances of a ledger read from its database.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header with the proof, in hexadecimal digits.
pub const PROOF: &str = "florin-proof";

/// Keeps these codes apart from any others that may be made with the key one day.
const PURPOSE: &[u8] = b"florin-on-behalf-of";

/// The key of one ledger's proofs.
#[derive(Clone, PartialEq, Eq)]
pub struct ProofKey([u8; 32]);

/// What is proven: who asks for what. A batch names its requesters in the body.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The operation, or `batch`.
    pub operation: &'a str,
    /// The property of this name; a missing one is like an empty one.
    pub message_id: Option<&'a str>,
    /// The header [`ON_BEHALF_OF`](crate::ON_BEHALF_OF); a missing one is like an empty one.
    pub on_behalf_of: Option<&'a [u8]>,
    /// The body, to the byte.
    pub body: &'a [u8],
}

impl ProofKey {
    /// The key made of this secret.
    #[must_use]
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The proof of a claim, for the header [`PROOF`].
    #[must_use]
    pub fn prove(&self, claim: &Claim<'_>) -> String {
        let code = self.code(claim).finalize().into_bytes();
        code.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether this is the proof of a claim. Takes as long for a proof that is nearly right.
    #[must_use]
    pub fn accepts(&self, claim: &Claim<'_>, proof: &[u8]) -> bool {
        let Some(code) = from_hex(proof) else { return false };
        self.code(claim).verify_slice(&code).is_ok()
    }

    /// Each part is preceded by its length, so that no two claims give the same bytes.
    fn code(&self, claim: &Claim<'_>) -> Hmac<Sha256> {
        let Claim { operation, message_id, on_behalf_of, body } = claim;
        let mut code = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key may have any length");
        let message_id = message_id.unwrap_or_default().as_bytes();
        for part in [PURPOSE, operation.as_bytes(), message_id, on_behalf_of.unwrap_or_default(), body] {
            code.update(&(part.len() as u64).to_be_bytes());
            code.update(part);
        }
        code
    }
}

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProofKey(...)")
    }
}

fn from_hex(text: &[u8]) -> Option<[u8; 32]> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 64 && text.is_ascii())?;
    let mut code = [0; 32];
    for (index, byte) in code.iter_mut().enumerate() {
        let digits = &text[2 * index..2 * index + 2];
        *byte = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
    }
    Some(code)
}
