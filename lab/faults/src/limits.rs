//! Servers at their limits: memory and disk alarms of RabbitMQ, PostgreSQL out of connections.
//!
//! The calls to RabbitMQ run `rabbitmqctl` and block for a second or two. A restart of the broker ends its
//! alarms.

use std::time::Duration;

use devstack::Rabbit;
use tokio::time::sleep;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use crate::world::World;

/// More connections than any server of ours allows.
const MAX_CONNECTIONS: usize = 1000;
/// Attempts to clear an alarm: another fault may have suspended the broker.
const END_ATTEMPTS: u32 = 5;

/// Why a server could not be brought to its limit, or back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker did not take the new limit.
    #[error(transparent)]
    Broker(#[from] devstack::Error),
    /// The database failed otherwise than by refusing another connection.
    #[error("the database failed while its connections were taken: {0}")]
    Database(#[from] tokio_postgres::Error),
    #[error("the database still allows more after {MAX_CONNECTIONS} connections")]
    NoLimit,
}

/// A resource alarm of RabbitMQ: while it is on, publishers are blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// More memory is used than allowed.
    Memory,
    /// Less disk space is free than demanded.
    Disk,
}

impl Alarm {
    /// Sets a limit that is exceeded at once.
    pub fn ring(self, rabbit: &Rabbit) -> Result<(), Error> {
        self.set(rabbit, "0", "1000000GB")
    }

    /// Sets the limit back to the broker's default.
    pub fn end(self, rabbit: &Rabbit) -> Result<(), Error> {
        self.set(rabbit, "0.4", "50MB")
    }

    /// Raises it for this long, and clears it whatever happens: no queue can be drained while it is on.
    pub async fn sound(self, world: &World, lasts: Duration) -> Result<(), Error> {
        let rung = world.servers.with_node(0, move |rabbit| self.ring(rabbit)).await;
        sleep(lasts).await;
        let mut ended = world.servers.with_node(0, move |rabbit| self.end(rabbit)).await;
        for _ in 1..END_ATTEMPTS {
            if ended.is_ok() {
                break;
            }
            ended = world.servers.with_node(0, move |rabbit| self.end(rabbit)).await;
        }
        rung.and(ended)
    }

    fn set(self, rabbit: &Rabbit, memory: &str, disk: &str) -> Result<(), Error> {
        match self {
            Self::Memory => rabbit.ctl(&["set_vm_memory_high_watermark", memory])?,
            Self::Disk => rabbit.ctl(&["set_disk_free_limit", disk])?,
        };
        Ok(())
    }
}

/// All connections that PostgreSQL had left. Dropping it releases them.
pub struct Crowd {
    members: Vec<Client>,
}

impl Crowd {
    /// Takes connections until one is refused. Then it ends all other sessions and takes their places too, so
    /// that nobody else has a connection.
    pub async fn gather(database_url: &str) -> Result<Self, Error> {
        let mut crowd = Self { members: Vec::new() };
        crowd.take_all(database_url).await?;
        if let Some(first) = crowd.members.first() {
            let ours: Vec<i32> = {
                let mut ids = Vec::with_capacity(crowd.members.len());
                for member in &crowd.members {
                    ids.push(member.query_one("SELECT pg_backend_pid()", &[]).await?.get(0));
                }
                ids
            };
            let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                           WHERE backend_type = 'client backend' AND pid <> ALL($1)";
            first.query(others, &[&ours]).await?;
        }
        crowd.take_all(database_url).await?;
        Ok(crowd)
    }

    #[must_use]
    pub const fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there was none left to take.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    async fn take_all(&mut self, database_url: &str) -> Result<(), Error> {
        while self.members.len() < MAX_CONNECTIONS {
            match tokio_postgres::connect(database_url, NoTls).await {
                Ok((member, connection)) => {
                    // It ends when the member is dropped.
                    tokio::spawn(connection);
                    self.members.push(member);
                }
                Err(error) if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::NoLimit)
    }
}

impl std::fmt::Debug for Crowd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crowd").field("members", &self.members.len()).finish()
    }
}
