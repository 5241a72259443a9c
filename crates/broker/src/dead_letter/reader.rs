//! Reads the dead-letter queue letter by letter, and holds what it read.

use std::time::Duration;

use florin_wire::names::DEAD_LETTERS;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicQosOptions,
    QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer};
use tokio::time::timeout;

use super::{CONNECTION_NAME, Error};
use crate::connection::{REPLY_SUCCESS, RPC_TIMEOUT, connect, within};

/// After so long without a delivery, the number of ready letters is checked.
const SILENCE: Duration = Duration::from_secs(1);
const MAX_SILENCES: u64 = 30;
/// RabbitMQ handles this many acks of a channel at once. The rest wait in the channel, and are lost when it
/// closes.
const ACKS_AT_ONCE: usize = 30;

/// Reads deliveries and holds them.
#[derive(Debug)]
pub(super) struct Reader {
    connection: Connection,
    channel: Channel,
    consumer: Option<Consumer>,
    window: u16,
    left_in_window: u16,
    left: u32,
    consumers: u32,
    removed: Vec<u64>,
}

impl Reader {
    /// A reader of all letters that are in the queue now.
    pub(super) async fn open(url: &str, window: u16) -> Result<Self, Error> {
        let connection = connect(url, CONNECTION_NAME).await?;
        let channel = within(RPC_TIMEOUT, "open a channel", connection.create_channel()).await?;
        let mut reader = Self {
            connection,
            channel,
            consumer: None,
            window,
            left_in_window: 0,
            left: 0,
            consumers: 0,
            removed: Vec::new(),
        };
        reader.left = reader.ready().await?;
        Ok(reader)
    }

    pub(super) const fn left(&self) -> u32 {
        self.left
    }

    /// Removes a letter for good, before [`Self::close`] returns.
    pub(super) fn remove(&mut self, delivery_tag: u64) {
        self.removed.push(delivery_tag);
    }

    /// How many letters nobody holds.
    async fn ready(&self) -> Result<u32, Error> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declare = self.channel.queue_declare(DEAD_LETTERS.into(), passive, FieldTable::default());
        Ok(within(RPC_TIMEOUT, "describe the queue", declare).await?.message_count())
    }

    pub(super) async fn next(&mut self) -> Result<Option<Delivery>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.left_in_window == 0 {
            self.next_consumer().await?;
        }
        let Some(mut consumer) = self.consumer.clone() else { return Ok(None) };
        let mut none_is_ready = false;
        for _ in 0..MAX_SILENCES {
            match timeout(SILENCE, consumer.next()).await {
                Ok(Some(delivery)) => {
                    let delivery = delivery?;
                    self.left -= 1;
                    self.left_in_window -= 1;
                    return Ok(Some(delivery));
                }
                Ok(None) => return Err(Error::Deleted),
                // Another consumer holds the rest.
                Err(_) if none_is_ready => {
                    self.left = 0;
                    return Ok(None);
                }
                Err(_) => none_is_ready = self.ready().await? == 0,
            }
        }
        Err(Error::NotDelivered(SILENCE.as_secs() * MAX_SILENCES))
    }

    /// Cancels the consumer that holds all that it may, and starts the next one: never for more letters than
    /// are still to be read. By then the broker has handled the acks sent before: it handles both in order.
    async fn next_consumer(&mut self) -> Result<(), Error> {
        self.cancel().await?;
        let removed = std::mem::take(&mut self.removed);
        self.acknowledge(&removed).await?;
        self.consumers += 1;
        self.left_in_window = u16::try_from(self.left).unwrap_or(u16::MAX).min(self.window);
        let qos = self.channel.basic_qos(self.left_in_window, BasicQosOptions::default());
        within(RPC_TIMEOUT, "set the prefetch", qos).await?;
        // The broker puts letters back consumer by consumer, in the order of their tags.
        let tag: ShortString = format!("{:04}", self.consumers).into();
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let consume = self.channel.basic_consume(DEAD_LETTERS.into(), tag, options, none);
        self.consumer = Some(within(RPC_TIMEOUT, "start the consumer", consume).await?);
        Ok(())
    }

    /// What the consumer was delivered stays with this connection.
    async fn cancel(&mut self) -> Result<(), Error> {
        if let Some(consumer) = self.consumer.take() {
            let cancel = self.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
            within(RPC_TIMEOUT, "cancel the consumer", cancel).await?;
        }
        self.left_in_window = 0;
        Ok(())
    }

    async fn acknowledge(&self, delivery_tags: &[u64]) -> Result<(), Error> {
        for delivery_tag in delivery_tags {
            let ack = self.channel.basic_ack(*delivery_tag, BasicAckOptions::default());
            within(RPC_TIMEOUT, "take the acks", ack).await?;
        }
        Ok(())
    }

    /// Ends the connection. RabbitMQ then puts the letters back in their order; after a nack of many it does
    /// not.
    pub(super) async fn close(mut self) -> Result<(), Error> {
        self.cancel().await?;
        let removed = std::mem::take(&mut self.removed);
        for some in removed.chunks(ACKS_AT_ONCE) {
            self.acknowledge(some).await?;
            self.until_acknowledged().await?;
        }
        within(RPC_TIMEOUT, "close the channel", self.channel.close(REPLY_SUCCESS, "done".into())).await?;
        let close = self.connection.close(REPLY_SUCCESS, "done".into());
        Ok(within(RPC_TIMEOUT, "close the connection", close).await?)
    }

    /// Returns when the broker has handled all acks, by getting one more letter: the answer follows them.
    async fn until_acknowledged(&self) -> Result<(), Error> {
        let get = self.channel.basic_get(DEAD_LETTERS.into(), BasicGetOptions::default());
        within(RPC_TIMEOUT, "deliver a letter", get).await?;
        Ok(())
    }
}
