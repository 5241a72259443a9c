//! What stands between the service and its work, for `/readyz` and for people.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use strum::{IntoStaticStr, VariantArray};

/// A state that operators should know of. Its name is stable: alerts compare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Condition {
    /// The service was told to end: it answers what it has taken.
    Stopping,
    /// There is no connection to RabbitMQ.
    BrokerUnreachable,
    /// RabbitMQ takes no messages because of an alarm for memory or disk.
    BrokerBlocked,
    /// An exchange or a queue is missing and cannot be declared.
    TopologyMissing,
    /// A listener's queue refuses events: they are parked.
    EventsRefused,
    /// There is no connection to PostgreSQL.
    DatabaseUnreachable,
    /// PostgreSQL is connected and does not answer.
    DatabaseFrozen,
    /// PostgreSQL takes no writes.
    DatabaseReadOnly,
    /// No batch is committed.
    CommitsFailing,
    /// The schema lacks a migration that this program needs.
    SchemaOlder,
    /// The schema has a migration that this program does not know.
    SchemaNewer,
}

impl Condition {
    /// The name for machines.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }

    /// Where to look for the cause.
    #[must_use]
    pub const fn part(self) -> &'static str {
        match self {
            Self::Stopping => "service",
            Self::BrokerUnreachable | Self::BrokerBlocked | Self::TopologyMissing | Self::EventsRefused => {
                "broker"
            }
            _ => "database",
        }
    }

    /// Whether requests are executed all the same. A schema that is ahead must not end readiness: during a
    /// rolling upgrade the older program goes on.
    #[must_use]
    pub const fn is_harmless(self) -> bool {
        matches!(self, Self::EventsRefused | Self::SchemaNewer)
    }
}

/// The conditions that parts of the service have found, each with a sentence for people. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<RwLock<BTreeMap<Condition, String>>>);

impl Health {
    /// From now on this holds. Returns whether it did not before.
    pub fn set(&self, condition: Condition, text: impl Into<String>) -> bool {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(condition, text.into()).is_none()
    }

    /// It holds no more. Returns whether it did.
    pub fn clear(&self, condition: Condition) -> bool {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&condition).is_some()
    }

    /// All that hold now.
    #[must_use]
    pub fn conditions(&self) -> Vec<(Condition, String)> {
        let conditions = self.0.read().unwrap_or_else(PoisonError::into_inner);
        conditions.iter().map(|(condition, text)| (*condition, text.clone())).collect()
    }

    /// Whether one of them keeps requests from being executed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.conditions().iter().any(|(condition, _)| !condition.is_harmless())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Alerts name the codes, so the guide has every one of them.
    #[test]
    fn every_condition_is_documented() {
        let guide = include_str!("../../../docs/guides/monitoring.md");
        for condition in Condition::VARIANTS {
            let row = guide.lines().find(|line| line.starts_with(&format!("| `{}` |", condition.code())));
            let row = row.unwrap_or_else(|| panic!("{} is not in the guide", condition.code()));
            assert_eq!(row.contains("| yes |"), condition.is_harmless(), "{row}");
        }
    }

    #[test]
    fn harmless_conditions_do_not_fail() {
        let health = Health::default();
        health.set(Condition::EventsRefused, "a queue is full");
        assert!(!health.is_failing());
        health.set(Condition::CommitsFailing, "no space left");
        assert!(health.is_failing());
        assert!(health.clear(Condition::CommitsFailing) && !health.clear(Condition::CommitsFailing));
        assert_eq!(health.conditions(), [(Condition::EventsRefused, "a queue is full".to_owned())]);
    }
}
