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
    /// An instance of the service is suspended (SIGSTOP) and resumed later.
    FreezeService,
    /// All processes of PostgreSQL are suspended and resumed later.
    FreezePostgres,
    /// RabbitMQ is suspended and resumed later.
    FreezeRabbitmq,
    /// The connections between service and PostgreSQL are cut, and new ones refused.
    CutDatabase,
    /// Traffic between service and PostgreSQL is delayed.
    DelayDatabase,
    /// Traffic between service and PostgreSQL is throttled to a few bytes a second.
    ThrottleDatabase,
    /// Traffic between service and PostgreSQL is dropped; the connections stay open.
    SilenceDatabase,
    /// The connections between service and RabbitMQ are cut, and new ones refused.
    CutBroker,
    /// Traffic between service and RabbitMQ is delayed.
    DelayBroker,
    /// Traffic between service and RabbitMQ is throttled to a few bytes a second.
    ThrottleBroker,
    /// Traffic between service and RabbitMQ is dropped; the connections stay open.
    SilenceBroker,
    /// The connections between clients and RabbitMQ are cut, and new ones refused.
    CutClients,
    /// Traffic between clients and RabbitMQ is delayed.
    DelayClients,
    /// Traffic between clients and RabbitMQ is throttled to a few bytes a second.
    ThrottleClients,
    /// Traffic between clients and RabbitMQ is dropped; the connections stay open.
    SilenceClients,
    /// The connection to PostgreSQL is cut after a COMMIT succeeded and before its answer arrives.
    CommitInDoubt,
    /// The connection to PostgreSQL is cut right before a COMMIT arrives.
    CommitLost,
    /// A client's connection is cut right after it sent a request.
    CutAfterSend,
    /// Clients send duplicates of requests that were answered long ago, in any order.
    Copies,
    /// The service's connections to RabbitMQ are cut again and again before it acks: all its unacked
    /// deliveries are redelivered.
    Redelivery,
    /// The disk of PostgreSQL's data is full.
    DataDiskFull,
    /// The disk of PostgreSQL's write-ahead log is full.
    WalDiskFull,
    /// The disk of RabbitMQ is full.
    BrokerDiskFull,
    /// RabbitMQ raises its memory alarm and blocks publishers.
    MemoryAlarm,
    /// RabbitMQ raises its disk alarm and blocks publishers.
    DiskAlarm,
    /// PostgreSQL has no connection left.
    ConnectionLimit,
    /// The clock of an instance of the service jumps, forward or back.
    ClockStep,
    /// An instance of the service is asked to stop (SIGTERM), and a new one is started.
    Deploy,
    /// PostgreSQL's disk loses power: what was not synced is gone.
    PostgresPowerCut,
    /// RabbitMQ's disk loses power: what was not synced is gone.
    RabbitmqPowerCut,
    /// A node of the RabbitMQ cluster is killed and started again.
    KillNode,
    /// A node of the RabbitMQ cluster is asked to stop (SIGTERM) and started again.
    RestartNode,
    /// A node of the RabbitMQ cluster is suspended and resumed later.
    FreezeNode,
    /// A node of the RabbitMQ cluster is cut off from the other two, not from its clients.
    CutNode,
    /// Two of the three nodes of the RabbitMQ cluster are killed and started again.
    KillTwoNodes,
    /// PostgreSQL's primary is killed and its standby promoted; the old one comes back as a standby.
    LosePrimary,
    /// PostgreSQL's standby is killed and started again; commits wait for it meanwhile.
    KillStandby,
    /// PostgreSQL's standby is killed, commits wait for it no longer; it is started again, and they do.
    DropStandby,
}

/// What servers there are.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// One RabbitMQ and one PostgreSQL.
    #[default]
    Single,
    /// Three nodes of RabbitMQ, and a PostgreSQL with a synchronous standby.
    Cluster,
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

    /// Whether others take over what it hits: then the service recovers while it lasts.
    #[must_use]
    pub const fn is_replaced(self) -> bool {
        matches!(
            self,
            Self::KillService
                | Self::KillNode
                | Self::RestartNode
                | Self::FreezeNode
                | Self::CutNode
                | Self::LosePrimary
                | Self::DropStandby
        )
    }

    /// Whether it can happen to these servers.
    #[must_use]
    pub const fn fits(self, topology: Topology) -> bool {
        let of_cluster = matches!(
            self,
            Self::KillNode
                | Self::RestartNode
                | Self::FreezeNode
                | Self::CutNode
                | Self::KillTwoNodes
                | Self::LosePrimary
                | Self::KillStandby
                | Self::DropStandby
        );
        let of_single = self.needs_disks()
            || matches!(
                self,
                Self::KillPostgres
                    | Self::KillRabbitmq
                    | Self::FreezePostgres
                    | Self::FreezeRabbitmq
                    | Self::MemoryAlarm
                    | Self::DiskAlarm
            );
        match topology {
            Topology::Single => !of_cluster,
            Topology::Cluster => !of_single,
        }
    }

    /// Whether it needs a small disk of its own, and so the privilege to mount one.
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

    /// The range of its duration, in milliseconds.
    #[must_use]
    pub const fn lasts(self) -> RangeInclusive<u64> {
        match self {
            // The downtime.
            Self::KillService | Self::KillPostgres | Self::KillRabbitmq | Self::Deploy => 0..=1500,
            Self::PostgresPowerCut | Self::RabbitmqPowerCut => 100..=1000,
            Self::KillNode | Self::RestartNode | Self::KillTwoNodes => 0..=3000,
            Self::LosePrimary | Self::KillStandby | Self::DropStandby => 0..=3000,
            // Long enough for heartbeats and time limits to matter, now and then.
            Self::FreezeService | Self::FreezePostgres | Self::FreezeRabbitmq | Self::FreezeNode => {
                500..=9000
            }
            Self::SilenceDatabase | Self::SilenceBroker | Self::SilenceClients | Self::CutNode => 500..=9000,
            Self::ConnectionLimit | Self::MemoryAlarm | Self::DiskAlarm => 2000..=6000,
            Self::DataDiskFull | Self::WalDiskFull => 2000..=6000,
            // RabbitMQ checks its disk every ten seconds.
            Self::BrokerDiskFull => 11_000..=15_000,
            _ => 1000..=5000,
        }
    }

    /// How long recovery takes, in milliseconds. The next fault usually waits for it.
    #[must_use]
    pub const fn recovery_ms(self) -> u64 {
        match self {
            Self::KillRabbitmq | Self::RabbitmqPowerCut | Self::KillTwoNodes => 14_000,
            // The server that was lost is started again meanwhile.
            Self::KillNode | Self::RestartNode | Self::LosePrimary => 12_000,
            Self::FreezeNode | Self::CutNode => 8000,
            Self::KillStandby | Self::DropStandby => 5000,
            Self::KillPostgres | Self::PostgresPowerCut | Self::WalDiskFull => 7000,
            Self::MemoryAlarm | Self::DiskAlarm | Self::BrokerDiskFull => 3000,
            Self::FreezeRabbitmq | Self::SilenceBroker | Self::DataDiskFull => 3000,
            _ => 2000,
        }
    }
}
