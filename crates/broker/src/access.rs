//! Who may send requests, on whose behalf, and where the reply may go.
//!
//! The broker checks that `user_id` is the user of the connection. It does not check that the queue in `reply_to`
//! belongs to the client: a client could have the service write to any queue, the service's own included. A request
//! that is not allowed is neither executed nor answered: it is dead-lettered with the reason.

use florin_wire::names::{OWN_QUEUES, REPLY_QUEUES};
use florin_wire::{Claim, ON_BEHALF_OF, PROOF, ProofKey, hyphenated};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, ShortString};
use uuid::Version;

use crate::dead_letter::is_requeued;
use crate::job::Rejection;

/// Prefixes of names that the broker generates, so that no other client knows them: direct reply-to, and queues declared
/// without a name.
const GENERATED: [&str; 2] = ["amq.rabbitmq.reply-to", "amq.gen-"];
/// The prefix of a user's own queues; the user name and a dot follow.
const OF_USER: &str = "reply.";

/// The conditions that a request must meet.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Users of the broker who may send requests on behalf of others.
    pub trusted_users: Vec<String>,
    /// Whether every request must have a `user_id`.
    pub require_user_id: bool,
    /// Whether replies go only to queues that cannot be another client's.
    pub own_replies_only: bool,
    /// The key of the proofs that a message is the service's own; without one there are none.
    pub proof_key: Option<ProofKey>,
}

impl Access {
    /// Why a request with these properties is not allowed, if it is not.
    pub(super) fn check(&self, properties: &BasicProperties, work_queue: &str) -> Option<Rejection> {
        let user_id = properties.user_id().as_ref().map(ShortString::as_str);
        if self.require_user_id && user_id.is_none() {
            let reason = "the request has no user_id, and this service requires one".to_owned();
            return Some(Rejection::NotAllowed { error: "user_id_missing", reason });
        }
        let reply_to = properties.reply_to().as_ref().map(ShortString::as_str).unwrap_or_default();
        let why = if is_of_the_service(reply_to, work_queue) {
            "the name is reserved for the service"
        } else if self.own_replies_only && !reply_to.is_empty() && !is_own(reply_to, user_id) {
            "it may be another client's queue"
        } else {
            return None;
        };
        let reason = format!("reply_to {reply_to:?} is not allowed: {why}");
        Some(Rejection::NotAllowed { error: "reply_to_not_allowed", reason })
    }

    /// Whether the sender of this message may act on behalf of others: a trusted user, or the service itself, which
    /// proves it. A requeued message is the operator's.
    pub(super) fn speaks_for_others(&self, properties: &BasicProperties, claim: &Claim<'_>) -> bool {
        let user_id = properties.user_id().as_ref();
        let is_trusted = || {
            user_id
                .is_some_and(|user_id| self.trusted_users.iter().any(|trusted| trusted == user_id.as_str()))
        };
        (is_trusted() || self.is_proven(properties, claim)) && !is_requeued(properties)
    }

    fn is_proven(&self, properties: &BasicProperties, claim: &Claim<'_>) -> bool {
        let Some(key) = &self.proof_key else { return false };
        header(properties, PROOF).is_some_and(|proof| key.accepts(claim, proof))
    }
}

/// The header that says on whose behalf a message is sent; empty when it is not text.
pub(super) fn on_behalf_of(properties: &BasicProperties) -> Option<&[u8]> {
    header(properties, ON_BEHALF_OF)
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a [u8]> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.as_bytes()),
        _ => Some(b""),
    }
}

fn is_of_the_service(reply_to: &str, work_queue: &str) -> bool {
    reply_to == work_queue || reply_to.starts_with(OWN_QUEUES) && !reply_to.starts_with(REPLY_QUEUES)
}

/// Whether no other client can have a queue of this name. The last part has no dot, so that a user cannot pass for
/// another whose name starts with his.
fn is_own(reply_to: &str, user_id: Option<&str>) -> bool {
    let of_user = |user_id| reply_to.strip_prefix(OF_USER)?.strip_prefix(user_id)?.strip_prefix('.');
    GENERATED.iter().any(|begin| reply_to.starts_with(begin))
        || reply_to.strip_prefix(REPLY_QUEUES).is_some_and(is_random)
        || user_id.and_then(of_user).is_some_and(|name| !name.is_empty() && !name.contains('.'))
}

fn is_random(text: &str) -> bool {
    hyphenated(text).is_some_and(|uuid| uuid.get_version() == Some(Version::Random))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM: &str = "florin.reply.3f2504e0-4f89-41d3-9a0c-0305e82c3301";
    const BY_TIME: &str = "florin.reply.0190a5b0-7c1e-7d3c-8c3e-0123456789ab";

    fn rejected(access: &Access, properties: &BasicProperties) -> Option<&'static str> {
        match access.check(properties, "work")? {
            Rejection::NotAllowed { error, .. } => Some(error),
            Rejection::Refused(refusal) => panic!("answered: {refusal}"),
        }
    }

    /// A reply address, its user, and whether replies go there: by default, and with own queues only.
    #[test]
    fn where_replies_may_go() {
        let rows = [
            ("", None, true, true),
            ("amq.rabbitmq.reply-to.g1h2AA", None, true, true),
            ("amq.gen-x", None, true, true),
            (RANDOM, None, true, true),
            (BY_TIME, None, true, false),
            ("florin.reply.mine", Some("mine"), true, false),
            ("mine", Some("mine"), true, false),
            ("reply.mine.1", Some("mine"), true, true),
            ("reply.mine.1", None, true, false),
            ("reply.mine.", Some("mine"), true, false),
            ("reply.mine", Some("mine"), true, false),
            ("reply.mine.too.1", Some("mine"), true, false),
            ("reply.mine.too.1", Some("mine.too"), true, true),
            ("reply.other.1", Some("mine"), true, false),
            ("work", Some("mine"), false, false),
            ("florin.work", None, false, false),
            ("florin.dead", Some("mine"), false, false),
            ("florin.events", None, false, false),
            ("florin.anything", None, false, false),
            ("Florin.work", None, true, false),
        ];
        for (reply_to, user_id, any, own) in rows {
            let mut properties = BasicProperties::default().with_reply_to(reply_to.into());
            if let Some(user_id) = user_id {
                properties = properties.with_user_id(user_id.into());
            }
            for (own_replies_only, allowed) in [(false, any), (true, own)] {
                let access = Access { own_replies_only, ..Access::default() };
                let expected = (!allowed).then_some("reply_to_not_allowed");
                assert_eq!(rejected(&access, &properties), expected, "{reply_to} of {user_id:?}");
            }
        }
    }

    #[test]
    fn a_user_can_be_required() {
        let nobody = BasicProperties::default();
        let somebody = nobody.clone().with_user_id("shop".into());
        for (require_user_id, expected) in [(false, None), (true, Some("user_id_missing"))] {
            let access = Access { require_user_id, ..Access::default() };
            assert_eq!(rejected(&access, &nobody), expected);
            assert_eq!(rejected(&access, &somebody), None);
        }
    }

    #[test]
    fn only_trusted_users_speak_for_others() {
        let access = Access { trusted_users: vec!["florin".into(), "http".into()], ..Access::default() };
        let of = |user: &str| BasicProperties::default().with_user_id(user.into());
        for (properties, trusted) in [
            (BasicProperties::default(), false),
            (of("shop"), false),
            (of("florin"), true),
            (of("http"), true),
        ] {
            assert_eq!(access.speaks_for_others(&properties, &CLAIM), trusted, "{properties:?}");
        }
        let requeued = with_headers(of("florin"), &[(crate::dead_letter::REQUEUED, "true")]);
        assert!(!access.speaks_for_others(&requeued, &CLAIM));
    }

    const CLAIM: Claim<'_> = Claim {
        operation: "invoice",
        message_id: Some("order-17"),
        on_behalf_of: Some(b"key:shop-1"),
        body: b"{}",
    };

    fn with_headers(properties: BasicProperties, headers: &[(&str, &str)]) -> BasicProperties {
        let mut table = lapin::types::FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), AMQPValue::LongString((*value).into()));
        }
        properties.with_headers(table)
    }

    #[test]
    fn the_service_proves_that_a_message_is_its_own() {
        let (key, other) = (ProofKey::new([1; 32]), ProofKey::new([2; 32]));
        let access = Access { proof_key: Some(key.clone()), ..Access::default() };
        let proven = |proof: &str| with_headers(BasicProperties::default(), &[(PROOF, proof)]);
        let proof = key.prove(&CLAIM);
        assert!(access.speaks_for_others(&proven(&proof), &CLAIM));
        let claims = [
            Claim { operation: "withdraw", ..CLAIM },
            Claim { message_id: None, ..CLAIM },
            Claim { on_behalf_of: Some(b"key:shop-2"), ..CLAIM },
            Claim { on_behalf_of: None, ..CLAIM },
            Claim { body: b"{ }", ..CLAIM },
        ];
        for claim in claims {
            assert!(!access.speaks_for_others(&proven(&proof), &claim), "{claim:?}");
        }
        let long = format!("{proof}00");
        for wrong in ["", "0", &proof[..62], &long, &proof.replace('a', "g"), &other.prove(&CLAIM)] {
            assert!(!access.speaks_for_others(&proven(wrong), &CLAIM), "{wrong}");
        }
        assert!(!access.speaks_for_others(&BasicProperties::default(), &CLAIM));
        assert!(!Access::default().speaks_for_others(&proven(&proof), &CLAIM), "no key, no proof");
        let headers = [(PROOF, proof.as_str()), (crate::dead_letter::REQUEUED, "true")];
        assert!(!access.speaks_for_others(&with_headers(BasicProperties::default(), &headers), &CLAIM));
    }
}
