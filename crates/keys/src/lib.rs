//! API keys: what a token looks like, what a key allows, and how a token is checked.
//!
//! A token is `florin_<key id>_<secret>`. The database keeps a salted hash of the secret, so that nobody who reads
//! it can use the key. The secret has 244 random bits, which no search finds: a slow hash would add nothing.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::SystemTime;

use florin_ledger::WalletId;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

const PREFIX: &str = "florin";

/// What a key may do. Each role may do all that the roles before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads balances, histories, transactions, wallets and tickers.
    Reader,
    /// Moves money.
    Client,
    /// Makes wallets and tickers, sees to what waits and to dead letters.
    Operator,
}

impl Role {
    /// All roles, the least powerful first.
    pub const ALL: [Self; 3] = [Self::Reader, Self::Client, Self::Operator];

    /// The name that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Client => "client",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A role that there is not.
#[derive(Debug, thiserror::Error)]
#[error("the roles are reader, client and operator")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == name).ok_or(UnknownRole)
    }
}

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The public part of the token.
    pub id: String,
    /// What people call it: 1 to 64 letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The wallets that it covers; all when none are given.
    pub wallets: Option<RangeInclusive<WalletId>>,
    /// When it was made.
    pub created_at: SystemTime,
    /// When it expires, if ever.
    pub expires_at: Option<SystemTime>,
    /// When it was revoked.
    pub revoked_at: Option<SystemTime>,
}

impl ApiKey {
    /// Neither revoked nor expired.
    #[must_use]
    pub fn is_active(&self, now: SystemTime) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    /// Whether the key may see to this wallet.
    #[must_use]
    pub fn covers(&self, wallet_id: WalletId) -> bool {
        self.wallets.as_ref().is_none_or(|wallets| wallets.contains(&wallet_id))
    }
}

/// What the caller sends: the id of a key and its secret.
pub struct Token {
    id: String,
    secret: String,
}

/// Never shows the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Token {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        let random = || Uuid::new_v4().simple().to_string();
        Self { id: random(), secret: random() + &random() }
    }

    /// Reads a token; none when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.strip_prefix('_')?.split_once('_')?;
        let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
        (is_hex(id, 32) && is_hex(secret, 64)).then(|| Self { id: id.to_owned(), secret: secret.to_owned() })
    }

    /// The public part.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The whole of it: shown once, to the one who made it.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}_{}_{}", self.id, self.secret)
    }

    /// What is kept of the secret.
    #[must_use]
    pub fn seal(&self) -> Sealed {
        let salt = *Uuid::new_v4().as_bytes();
        Sealed { salt, hash: self.hash(&salt) }
    }

    /// Whether this is the secret that was sealed, in a time that does not tell how much of it is right.
    #[must_use]
    pub fn opens(&self, sealed: &Sealed) -> bool {
        self.hash(&sealed.salt).ct_eq(&sealed.hash).into()
    }

    fn hash(&self, salt: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(salt).chain_update(self.secret.as_bytes()).finalize().into()
    }
}

/// What is kept of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Makes equal secrets look different.
    pub salt: [u8; 16],
    /// SHA-256 of the salt and the secret.
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
