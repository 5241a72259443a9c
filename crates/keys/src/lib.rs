//! API keys: the format of a token, what a key allows, and how a token is verified.
//!
//! A token is `florin_<key id>_<secret>`. The database keeps a salted hash of the secret, so that nobody who
//! reads it can use the key. The secret has 244 random bits, too many to search: a slow hash would add
//! nothing.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::SystemTime;

use florin_ledger::WalletId;
use sha2::{Digest, Sha256};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};
use subtle::ConstantTimeEq;
use uuid::Uuid;

const PREFIX: &str = "florin";

/// What a key allows. Each role includes the ones before it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
#[strum(parse_err_ty = UnknownRole, parse_err_fn = UnknownRole::of)]
pub enum Role {
    /// Reads balances, history, transactions, wallets and tickers.
    Reader,
    /// Moves money: invoices, withdrawals, transfers, settlements, cancellations.
    Client,
    /// Creates wallets and tickers, resolves holds and handles dead letters.
    Operator,
}

impl Role {
    /// All roles, the least powerful first.
    pub const ALL: [Self; Self::VARIANTS.len()] =
        *Self::VARIANTS.first_chunk().expect("as many as there are");

    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The text is not the name of a role.
#[derive(Debug, thiserror::Error)]
#[error("the roles are reader, client and operator")]
pub struct UnknownRole;

impl UnknownRole {
    const fn of(_: &str) -> Self {
        Self
    }
}

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The public part of the token.
    pub id: String,
    /// Chosen by the operator: 1 to 64 letters, digits, `.`, `_` and `-`.
    pub name: String,
    pub role: Role,
    /// The wallets it is restricted to; none for no restriction.
    pub wallets: Option<RangeInclusive<WalletId>>,
    pub created_at: SystemTime,
    pub expires_at: Option<SystemTime>,
    pub revoked_at: Option<SystemTime>,
}

impl ApiKey {
    /// Whether the key is neither revoked nor expired at this time.
    #[must_use]
    pub fn is_active(&self, now: SystemTime) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    /// Whether the key may be used for this wallet.
    #[must_use]
    pub fn covers(&self, wallet_id: WalletId) -> bool {
        self.wallets.as_ref().is_none_or(|wallets| wallets.contains(&wallet_id))
    }
}

/// What a caller sends: the id of a key and its secret.
pub struct Token {
    id: String,
    secret: String,
}

/// Leaves out the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Token {
    #[must_use]
    pub fn generate() -> Self {
        let random = || Uuid::new_v4().simple().to_string();
        Self { id: random(), secret: random() + &random() }
    }

    /// Parses a token; none if the text has another format.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.strip_prefix('_')?.split_once('_')?;
        let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
        (is_hex(id, 32) && is_hex(secret, 64)).then(|| Self { id: id.to_owned(), secret: secret.to_owned() })
    }

    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The token with its secret: shown once, to the operator who creates the key.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}_{}_{}", self.id, self.secret)
    }

    #[must_use]
    pub fn seal(&self) -> Sealed {
        let salt = *Uuid::new_v4().as_bytes();
        Sealed { salt, hash: self.hash(&salt) }
    }

    /// Whether the secret is the one that was sealed, compared in constant time.
    #[must_use]
    pub fn opens(&self, sealed: &Sealed) -> bool {
        self.hash(&sealed.salt).ct_eq(&sealed.hash).into()
    }

    fn hash(&self, salt: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(salt).chain_update(self.secret.as_bytes()).finalize().into()
    }
}

/// The salted hash of a secret, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub salt: [u8; 16],
    /// SHA-256 of the salt followed by the secret.
    pub hash: [u8; 32],
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_token_opens_what_it_sealed_and_nothing_else() {
        let (token, other) = (Token::generate(), Token::generate());
        let sealed = token.seal();
        let read = Token::parse(&token.reveal()).unwrap();
        assert!(read.opens(&sealed));
        assert_eq!(read.id(), token.id());
        assert!(!other.opens(&sealed));
        assert_ne!(token.seal(), sealed, "the salt is fresh");
        assert!(!format!("{token:?}").contains(&token.secret));
    }

    #[test]
    fn what_is_no_token_is_none() {
        let good = Token::generate().reveal();
        for text in
            ["", "florin", "florin_", "florin__", &good[1..], &good[..good.len() - 1], &(good.clone() + "0")]
        {
            assert!(Token::parse(text).is_none(), "{text}");
        }
        assert!(Token::parse(&good.replace('_', "-")).is_none());
    }

    #[test]
    fn a_key_is_active_until_it_expires_or_is_revoked_and_covers_its_wallets() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let key = ApiKey {
            id: String::new(),
            name: "shop".into(),
            role: Role::Client,
            wallets: Some(1..=9),
            created_at: now,
            expires_at: Some(now + Duration::from_secs(1)),
            revoked_at: None,
        };
        assert!(key.is_active(now));
        assert!(!key.is_active(now + Duration::from_secs(1)));
        assert!(!ApiKey { revoked_at: Some(now), ..key.clone() }.is_active(now));
        assert!(key.covers(1) && key.covers(9) && !key.covers(0) && !key.covers(10));
        assert!(ApiKey { wallets: None, ..key }.covers(10));
    }

    #[test]
    fn roles_have_names_and_an_order() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse::<Role>().unwrap(), role);
        }
        assert!("root".parse::<Role>().is_err());
        assert!(Role::Reader < Role::Client && Role::Client < Role::Operator);
    }
}
