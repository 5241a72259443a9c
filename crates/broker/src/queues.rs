//! How the queues stand: asked of the broker without changing anything.

use florin_wire::names::DEAD_LETTERS;
use lapin::options::QueueDeclareOptions;
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection};

use super::connection::{Error, RPC_TIMEOUT, connect_as, within};

/// What the connection is called in the broker's lists.
const NAME: &str = "console";

/// A way to ask. It ends with the first failure: then another one is to be opened.
#[derive(Debug)]
pub struct Queues {
    work_queue: ShortString,
    channel: Channel,
    _connection: Connection,
}

/// How the queues stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depths {
    /// Requests in the work queue that no instance has taken yet.
    pub waiting: u32,
    /// Instances that listen to the work queue, those that stand by included.
    pub consumers: u32,
    /// Dead letters that nobody reads at the moment.
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
        let connection = connect_as(url, NAME).await?;
        let channel = within(RPC_TIMEOUT, "open a channel", connection.create_channel()).await?;
        Ok(Self { work_queue, channel, _connection: connection })
    }

    /// How the queues stand now.
    ///
    /// # Errors
    ///
    /// When the connection is lost or a queue is not there.
    pub async fn depths(&self) -> Result<Depths, Error> {
        let (waiting, consumers) = self.look(self.work_queue.clone()).await?;
        let (dead, _) = self.look(DEAD_LETTERS.into()).await?;
        Ok(Depths { waiting, consumers, dead })
    }

    async fn look(&self, queue: ShortString) -> Result<(u32, u32), Error> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declare = self.channel.queue_declare(queue, passive, FieldTable::default());
        let queue = within(RPC_TIMEOUT, "look at a queue", declare).await?;
        Ok((queue.message_count(), queue.consumer_count()))
    }
}
