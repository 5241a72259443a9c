//! The dead-letter queue, for those who look after it: reads it without changing it, sends messages to the work
//! queue again, removes them.
//!
//! A message that was read is held: nobody else gets it. When the connection ends, in whatever way, the broker
//! puts all that was not removed back to the front of the queue.

mod bare;
mod letter;
mod mend;
mod requeue;

use std::io;
use std::time::Duration;

use amq_protocol::protocol::basic::AMQPMethod as Basic;
use amq_protocol::protocol::queue::AMQPMethod as Queue;
use amq_protocol::protocol::{AMQPClass, basic, queue};
use florin_amqp::{Address, AddressError};
use florin_wire::names::DEAD_LETTERS;
use lapin::types::{FieldTable, ShortString};

use super::connection::connection_name;
use bare::{Bare, Event};
pub use letter::{DeadLetter, Death};
pub use requeue::Requeue;

/// After such a silence the broker is asked whether there is anything left.
const SILENCE: Duration = Duration::from_secs(1);
/// After so many silences it is given up.
const MAX_SILENCES: u32 = 30;
/// RabbitMQ takes so many acks of a channel at once. What is beyond waits in the channel, and is forgotten when
/// the channel is closed.
const ACKS_AT_ONCE: usize = 30;
/// What the connections are called in the broker's lists.
const NAME: &str = "dead letters";

/// What the queue is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To read it, and to remove a few at the most. Each consumer holds many, for the broker keeps the order of
    /// the messages of one consumer, and of up to 32 consumers, when it puts them back.
    Look,
    /// To remove most of what is read. What was removed is gone when the window of messages is full.
    Clear,
}

impl Purpose {
    /// How many messages one consumer holds.
    const fn window(self) -> u16 {
        match self {
            Self::Look => 2000,
            Self::Clear => 30,
        }
    }
}

/// Why the dead-letter queue cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL of the broker, or a certificate that it names, cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// There is no broker.
    #[error("no connection to the broker at {address}: {source}")]
    NoConnection {
        /// Host and port.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the broker broke: {0}")]
    Broken(#[source] io::Error),
    /// The broker ended the connection without a word.
    #[error("the broker closed the connection")]
    Closed,
    /// The broker refused something, and says why.
    #[error("the broker refuses: {0}")]
    Refused(ShortString),
    /// The queue was deleted meanwhile.
    #[error("the queue {DEAD_LETTERS} was deleted")]
    Deleted,
    /// The broker took too long.
    #[error("the broker did not {0} in time")]
    TimedOut(&'static str),
    /// What came is not what the protocol has at this place.
    #[error("the broker sent {0}")]
    Protocol(&'static str),
    /// Sending to the work queue failed.
    #[error(transparent)]
    Sending(#[from] super::Error),
    /// The work queue did not take a message.
    #[error("the queue {0} does not take it: it is gone, or full")]
    NotTaken(ShortString),
}

/// The dead-letter queue, open.
#[derive(Debug)]
pub struct DeadLetters {
    connection: Bare,
    window: u16,
    /// Messages that are still to be read.
    left: u32,
    /// Consumers so far. The last one is running.
    consumers: u32,
    /// Messages that the last consumer got.
    got: u16,
    /// Messages to be acknowledged.
    removed: Vec<u64>,
}

impl DeadLetters {
    /// Connects. What comes into the queue from now on is not read.
    ///
    /// # Errors
    ///
    /// When there is no broker, or no such queue.
    pub async fn open(url: &str, purpose: Purpose) -> Result<Self, Error> {
        let address = Address::parse(url)?;
        let mut connection = Bare::open(&address, &connection_name(NAME)).await?;
        let left = connection.call(ask_for_count(), "look at the queue", |answer| count(&answer)).await?;
        let window = purpose.window();
        Ok(Self { connection, window, left, consumers: 0, got: 0, removed: Vec::new() })
    }

    /// How many messages are still to be read.
    #[must_use]
    pub const fn left(&self) -> u32 {
        self.left
    }

    /// The next message, from the front of the queue. None when all that were there have been read.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub async fn next(&mut self) -> Result<Option<DeadLetter>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.consumers == 0 || self.got == self.window {
            self.next_consumer().await?;
        }
        let mut none_is_ready = false;
        for _ in 0..MAX_SILENCES {
            match self.connection.next(SILENCE).await? {
                Some(Event::Message(arrived)) => {
                    self.left -= 1;
                    self.got += 1;
                    return Ok(Some(DeadLetter::new(*arrived)));
                }
                Some(Event::Answer(answer)) => none_is_ready = count(&answer) == Some(0),
                // Somebody else holds the rest.
                None if none_is_ready => {
                    self.left = 0;
                    return Ok(None);
                }
                None => self.connection.send(ask_for_count()).await?,
            }
        }
        Err(Error::TimedOut("deliver the messages that it has"))
    }

    /// Removes a message for good: at once or a little later, but before [`Self::close`] returns.
    pub fn remove(&mut self, letter: &DeadLetter) {
        self.removed.push(letter.delivery_tag());
    }

    /// Ends the consumer that has all that it takes, and starts the next one. By then the broker has the acks
    /// before it: it does both in their order.
    async fn next_consumer(&mut self) -> Result<(), Error> {
        if self.consumers > 0 {
            self.cancel().await?;
        }
        let removed = std::mem::take(&mut self.removed);
        self.acknowledge(&removed).await?;
        self.consumers += 1;
        self.got = 0;
        let qos = basic::Qos { prefetch_count: self.window, global: false };
        self.connection
            .call(AMQPClass::Basic(Basic::Qos(qos)), "set the prefetch", |answer| {
                matches!(answer, AMQPClass::Basic(Basic::QosOk(_))).then_some(())
            })
            .await?;
        let consume = basic::Consume {
            queue: DEAD_LETTERS.into(),
            consumer_tag: self.consumer_tag(),
            no_local: false,
            no_ack: false,
            exclusive: false,
            nowait: false,
            arguments: FieldTable::default(),
        };
        self.connection
            .call(AMQPClass::Basic(Basic::Consume(consume)), "start the consumer", |answer| {
                matches!(answer, AMQPClass::Basic(Basic::ConsumeOk(_))).then_some(())
            })
            .await
    }

    /// What it got stays with this connection.
    async fn cancel(&mut self) -> Result<(), Error> {
        let cancel = basic::Cancel { consumer_tag: self.consumer_tag(), nowait: false };
        self.connection
            .call(AMQPClass::Basic(Basic::Cancel(cancel)), "end the consumer", |answer| {
                matches!(answer, AMQPClass::Basic(Basic::CancelOk(_))).then_some(())
            })
            .await
    }

    /// The broker puts messages back consumer by consumer, in the order of these.
    fn consumer_tag(&self) -> ShortString {
        format!("{:04}", self.consumers).into()
    }

    /// Takes leave of the broker: what was removed is gone, and all else is in the queue again soon after.
    ///
    /// # Errors
    ///
    /// When the connection is lost: some of what was removed may be in the queue again, too.
    pub async fn close(mut self) -> Result<(), Error> {
        if self.consumers > 0 {
            self.cancel().await?;
        }
        let removed = std::mem::take(&mut self.removed);
        for some in removed.chunks(ACKS_AT_ONCE) {
            self.acknowledge(some).await?;
            self.connection.until_done(DEAD_LETTERS.into()).await?;
        }
        self.connection.close().await
    }

    async fn acknowledge(&mut self, delivery_tags: &[u64]) -> Result<(), Error> {
        for delivery_tag in delivery_tags {
            let ack = basic::Ack { delivery_tag: *delivery_tag, multiple: false };
            self.connection.send(AMQPClass::Basic(Basic::Ack(ack))).await?;
        }
        Ok(())
    }
}

fn ask_for_count() -> AMQPClass {
    AMQPClass::Queue(Queue::Declare(queue::Declare {
        queue: DEAD_LETTERS.into(),
        passive: true,
        durable: false,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: FieldTable::default(),
    }))
}

/// How many messages nobody holds.
fn count(answer: &AMQPClass) -> Option<u32> {
    match answer {
        AMQPClass::Queue(Queue::DeclareOk(queue::DeclareOk { message_count, .. })) => Some(*message_count),
        _ => None,
    }
}
