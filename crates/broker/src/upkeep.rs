//! Keeps exchanges and queues: one that was deleted under the running service is declared again.
//!
//! The broker tells a consumer that its queue is gone, and nobody that an exchange is. So this looks from time to time.

use std::ops::Range;
use std::time::Duration;

use florin_metrics::{Condition, Health};
use lapin::{Connection, ErrorKind};

use crate::Topology;
use crate::connection::Error;
use crate::declare::Declarer;

/// How often to look. Random, so that instances do not look at the same time.
const PERIOD_MS: Range<u64> = 8_000..12_000;

/// What is declared, and what was said about it.
pub(crate) struct Upkeep {
    topology: Topology,
    health: Health,
    /// Differences that the log has.
    adopted: Vec<String>,
}

impl Upkeep {
    pub(crate) const fn new(topology: Topology, health: Health) -> Self {
        Self { topology, health, adopted: Vec::new() }
    }

    /// Declares everything.
    pub(crate) async fn declare(&mut self, connection: &Connection) -> Result<(), Error> {
        let mut declarer = Declarer::new(connection).await?;
        declarer.all(&self.topology).await?;
        if declarer.adopted != self.adopted {
            for difference in &declarer.adopted {
                tracing::warn!(
                    difference,
                    "declared with other settings: used as it is, until it is deleted"
                );
            }
            self.adopted = declarer.adopted;
        }
        self.health.clear(Condition::TopologyMissing);
        Ok(())
    }

    /// Looks from time to time, until the connection fails.
    pub(crate) async fn keep(&mut self, connection: &Connection) -> Error {
        loop {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(PERIOD_MS))).await;
            match self.check(connection).await {
                Ok(()) => {}
                // Missing permissions, for example. The next look tries again; the requests that come are executed.
                Err(error) if is_refusal(&error) => {
                    tracing::warn!(%error, "cannot check exchanges and queues");
                }
                Err(error) => return error,
            }
        }
    }

    async fn check(&mut self, connection: &Connection) -> Result<(), Error> {
        let mut declarer = Declarer::new(connection).await?;
        let missing = declarer.missing(&self.topology).await?.join(", ");
        if missing.is_empty() {
            return declarer.bindings(&self.topology).await;
        }
        tracing::warn!(missing, "deleted while the service was running: declaring it again");
        self.health.set(Condition::TopologyMissing, format!("deleted in RabbitMQ: {missing}"));
        self.declare(connection).await?;
        tracing::info!(missing, "declared again");
        Ok(())
    }
}

fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Broker(error) if matches!(error.kind(), ErrorKind::ProtocolError(_)))
}
