//! The kinds of faults.

use std::ops::RangeInclusive;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An instance of the service is killed (SIGKILL) and started again.
    KillService,
    /// PostgreSQL and all its processes are killed and started again.
    KillPostgres,
    /// RabbitMQ is killed and started again.
    KillRabbitmq,
    /// An instance of the service is stopped in its tracks (SIGSTOP) and goes on later.
    FreezeService,
    /// All processes of PostgreSQL are stopped in their tracks and go on later.
    FreezePostgres,
    /// RabbitMQ is stopped in its tracks and goes on later.
    FreezeRabbitmq,
    /// The connections between service and PostgreSQL are cut, and new ones refused.
    CutDatabase,
    /// The bytes between service and PostgreSQL are late.
    DelayDatabase,
    /// Few bytes a second pass between service and PostgreSQL.
    ThrottleDatabase,
    /// Nothing passes between service and PostgreSQL, and nobody is told.
    SilenceDatabase,
    /// The connections between service and RabbitMQ are cut, and new ones refused.
    CutBroker,
    /// The bytes between service and RabbitMQ are late.
    DelayBroker,
    /// Few bytes a second pass between service and RabbitMQ.
    ThrottleBroker,
    /// Nothing passes between service and RabbitMQ, and nobody is told.
    SilenceBroker,
    /// The connections between clients and RabbitMQ are cut, and new ones refused.
    CutClients,
    /// The bytes between clients and RabbitMQ are late.
    DelayClients,
    /// Few bytes a second pass between clients and RabbitMQ.
    ThrottleClients,
    /// Nothing passes between clients and RabbitMQ, and nobody is told.
    SilenceClients,
    /// The connection to PostgreSQL is cut between a COMMIT that is done and its answer.
    CommitInDoubt,
    /// The connection to PostgreSQL is cut right before a COMMIT arrives.
    CommitLost,
    /// A client's connection is cut right behind a request that it sent.
    CutAfterSend,
    /// Clients send copies of requests that were answered long ago, in any order.
    Copies,
    /// The service's connections to RabbitMQ are cut again and again, before it has acknowledged: all that it had
    /// comes again.
    Redelivery,
    /// The disk of PostgreSQL's data is full.
    DataDiskFull,
    /// The disk of PostgreSQL's write-ahead log is full.
    WalDiskFull,
    /// The disk of RabbitMQ is full.
    BrokerDiskFull,
    /// RabbitMQ says that its memory is used up, and takes no messages.
    MemoryAlarm,
    /// RabbitMQ says that its disk is nearly full, and takes no messages.
    DiskAlarm,
    /// PostgreSQL has no connection left to give.
    ConnectionLimit,
    /// The clock of an instance of the service jumps, forth or back.
    ClockStep,
    /// An instance of the service is asked to stop (SIGTERM), and a new one is started.
    Deploy,
    /// The power of PostgreSQL's disk fails: what was not synced is gone.
    PostgresPowerCut,
    /// The power of RabbitMQ's disk fails: what was not synced is gone.
    RabbitmqPowerCut,
}

impl Kind {
    /// Its name on the command line and in files.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What it does, in one sentence.
    #[must_use]
    pub fn about(self) -> String {
        let value = self.to_possible_value();
        value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }

    /// Whether it needs a small disk of its own, and so the right to mount one.
    #[must_use]
    pub const fn needs_disks(self) -> bool {
        matches!(
            self,
            Self::DataDiskFull
                | Self::WalDiskFull
                | Self::BrokerDiskFull
                | Self::PostgresPowerCut
                | Self::RabbitmqPowerCut
        )
    }

    /// How long it lasts, in milliseconds.
    #[must_use]
    pub const fn lasts(self) -> RangeInclusive<u64> {
        match self {
            // Down for so long.
            Self::KillService | Self::KillPostgres | Self::KillRabbitmq | Self::Deploy => 0..=1500,
            Self::PostgresPowerCut | Self::RabbitmqPowerCut => 100..=1000,
            // Long enough for heartbeats and time limits to matter, now and then.
            Self::FreezeService | Self::FreezePostgres | Self::FreezeRabbitmq => 500..=9000,
            Self::SilenceDatabase | Self::SilenceBroker | Self::SilenceClients => 500..=9000,
            Self::ConnectionLimit | Self::MemoryAlarm | Self::DiskAlarm => 2000..=6000,
            Self::DataDiskFull | Self::WalDiskFull => 2000..=6000,
            // RabbitMQ looks at its disk every ten seconds.
            Self::BrokerDiskFull => 11_000..=15_000,
            _ => 1000..=5000,
        }
    }

    /// How long the servers take to come back from it, in milliseconds: so long the next one waits, as a rule.
    #[must_use]
    pub const fn settles(self) -> u64 {
        match self {
            Self::KillRabbitmq | Self::RabbitmqPowerCut => 14_000,
            Self::KillPostgres | Self::PostgresPowerCut | Self::WalDiskFull => 7000,
            Self::MemoryAlarm | Self::DiskAlarm | Self::BrokerDiskFull => 3000,
            Self::FreezeRabbitmq | Self::SilenceBroker | Self::DataDiskFull => 3000,
            _ => 2000,
        }
    }
}
