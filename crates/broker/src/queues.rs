//! Queue depths, by passive declares.

use florin_wire::names::DEAD_LETTERS;
use lapin::options::QueueDeclareOptions;
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection};

use crate::connection::{Error, RPC_TIMEOUT, connect, within};

/// The name of the connection.
const NAME: &str = "console";

/// A connection for reading queue depths. After a failure, open another one.
#[derive(Debug)]
pub struct Queues {
    work_queue: ShortString,
    channel: Channel,
    _connection: Connection,
}

/// Messages and consumers of the queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depths {
    /// Requests in the work queue that are not delivered yet.
    pub waiting: u32,
    /// Instances connected to the work queue, active and standby.
    pub consumers: u32,
    /// Dead letters that are ready: held by no consumer.
    pub dead: u32,
}

impl Queues {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When there is no broker.
    pub async fn open(url: &str, work_queue: &str) -> Result<Self, Error> {
        let work_queue = work_queue.into();
        let connection = connect(url, NAME).await?;
        let channel = within(RPC_TIMEOUT, "open a channel", connection.create_channel()).await?;
        Ok(Self { work_queue, channel, _connection: connection })
    }

    /// The current depths.
    ///
    /// # Errors
    ///
    /// When the connection is lost or a queue does not exist.
    pub async fn depths(&self) -> Result<Depths, Error> {
        let (waiting, consumers) = self.look(self.work_queue.clone()).await?;
        let (dead, _) = self.look(DEAD_LETTERS.into()).await?;
        Ok(Depths { waiting, consumers, dead })
    }

    async fn look(&self, queue: ShortString) -> Result<(u32, u32), Error> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declare = self.channel.queue_declare(queue, passive, FieldTable::default());
        let queue = within(RPC_TIMEOUT, "describe a queue", declare).await?;
        Ok((queue.message_count(), queue.consumer_count()))
    }
}
