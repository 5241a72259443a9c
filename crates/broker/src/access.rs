//! Who may ask, for whom, and where the answer may go.
//!
//! The broker sees to it that nobody takes another's name (`user_id`). It does not see to it that the queue of
//! `reply_to` is the client's own: whoever may publish requests could have the service write to any queue, this one's
//! included. What is not allowed is not worked on and not answered, but put aside with the reason.

use florin_wire::names::{OWN_QUEUES, REPLY_QUEUES};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, ShortString};
use uuid::{Uuid, Version};

use super::given_up::is_requeued;
use crate::job::Rejection;

/// Names that the broker makes up, so that nobody else can know them: of direct reply-to, and of queues that were
/// declared without a name.
const MADE_BY_THE_BROKER: [&str; 2] = ["amq.rabbitmq.reply-to", "amq.gen-"];
/// What names the queues of one user begin with; the user and a dot follow.
const OF_USER: &str = "reply.";

/// What is demanded of those who send requests.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Users of the broker who may ask for others.
    pub trusted_users: Vec<String>,
    /// Whether every request must say which user sent it.
    pub require_user_id: bool,
    /// Whether answers go only to queues that cannot be another client's.
    pub own_replies_only: bool,
}

impl Access {
    /// Why a request with these properties must not be worked on.
    pub(super) fn bar(&self, properties: &BasicProperties, work_queue: &str) -> Option<Rejection> {
        let user_id = properties.user_id().as_ref().map(ShortString::as_str);
        if self.require_user_id && user_id.is_none() {
            let reason = "the request does not say which user sent it: it has no user_id".to_owned();
            return Some(Rejection::Barred { error: "user_id_missing", reason });
        }
        let reply_to = properties.reply_to().as_ref().map(ShortString::as_str).unwrap_or_default();
        let why = if is_of_the_service(reply_to, work_queue) {
            "the name is reserved for the service"
        } else if self.own_replies_only && !reply_to.is_empty() && !is_own(reply_to, user_id) {
            "it may be another client's queue"
        } else {
            return None;
        };
        let reason = format!("the answer must not go to reply_to {reply_to:?}: {why}");
        Some(Rejection::Barred { error: "reply_to_not_allowed", reason })
    }

    /// Whether whoever sent this message may ask for others. What an operator sends once more is the operator's.
    pub(super) fn speaks_for_others(&self, properties: &BasicProperties) -> bool {
        let user_id = properties.user_id().as_ref();
        user_id.is_some_and(|user_id| self.trusted_users.iter().any(|trusted| trusted == user_id.as_str()))
            && !is_requeued(properties)
    }
}

/// The header that says for whom a message asks; empty when it is no text.
pub(super) fn on_behalf_of(properties: &BasicProperties) -> Option<&[u8]> {
    match properties.headers().as_ref()?.inner().get(florin_wire::ON_BEHALF_OF)? {
        AMQPValue::LongString(name) => Some(name.as_bytes()),
        _ => Some(b""),
    }
}

fn is_of_the_service(reply_to: &str, work_queue: &str) -> bool {
    reply_to == work_queue || reply_to.starts_with(OWN_QUEUES) && !reply_to.starts_with(REPLY_QUEUES)
}

/// Whether no other client has a queue of this name that could be known. The last part has no dot, so that no user
/// can be taken for another whose name begins the same.
fn is_own(reply_to: &str, user_id: Option<&str>) -> bool {
    let of_user = |user_id| reply_to.strip_prefix(OF_USER)?.strip_prefix(user_id)?.strip_prefix('.');
    MADE_BY_THE_BROKER.iter().any(|begin| reply_to.starts_with(begin))
        || reply_to.strip_prefix(REPLY_QUEUES).is_some_and(is_random)
        || user_id.and_then(of_user).is_some_and(|name| !name.is_empty() && !name.contains('.'))
}

/// Whether it is a UUID of random bits.
fn is_random(text: &str) -> bool {
    const LENGTH: usize = 36;
    text.len() == LENGTH
        && Uuid::try_parse(text).is_ok_and(|uuid| uuid.get_version() == Some(Version::Random))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM: &str = "florin.reply.3f2504e0-4f89-41d3-9a0c-0305e82c3301";
    const BY_TIME: &str = "florin.reply.0190a5b0-7c1e-7d3c-8c3e-0123456789ab";

    fn barred(access: &Access, properties: &BasicProperties) -> Option<&'static str> {
        match access.bar(properties, "work")? {
            Rejection::Barred { error, .. } => Some(error),
            Rejection::Refused(refusal) => panic!("answered: {refusal}"),
        }
    }

    /// A reply address, who names it, and whether answers go there: by default, and to own queues only.
    #[test]
    fn where_answers_may_go() {
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
                assert_eq!(barred(&access, &properties), expected, "{reply_to} of {user_id:?}");
            }
        }
    }

    #[test]
    fn a_user_can_be_demanded() {
        let nobody = BasicProperties::default();
        let somebody = nobody.clone().with_user_id("shop".into());
        for (require_user_id, expected) in [(false, None), (true, Some("user_id_missing"))] {
            let access = Access { require_user_id, ..Access::default() };
            assert_eq!(barred(&access, &nobody), expected);
            assert_eq!(barred(&access, &somebody), None);
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
            assert_eq!(access.speaks_for_others(&properties), trusted, "{properties:?}");
        }
        let mut headers = lapin::types::FieldTable::default();
        headers.insert(super::super::given_up::REQUEUED.into(), AMQPValue::Boolean(true));
        assert!(!access.speaks_for_others(&of("florin").with_headers(headers)));
    }
}
