//! Requeues dead letters: sends them to the work queue again.

use std::time::Duration;

use florin_amqp::AddressError;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Confirmation, Connection};

use super::{CONNECTION_NAME, DeadLetter, Error};
use crate::connection::{RPC_TIMEOUT, connect, within};

/// How long the broker may take to confirm a message.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends letters to the work queue.
#[derive(Debug)]
pub struct Requeue {
    queue: ShortString,
    channel: Channel,
    /// The user that requeued requests are recorded for.
    user: ShortString,
    _connection: Connection,
}

impl Requeue {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When there is no broker, or no such queue.
    pub async fn open(url: &str, queue: &str) -> Result<Self, Error> {
        let queue = ShortString::try_new(queue).map_err(|_| Error::NotTaken(ShortString::default()))?;
        let connection = connect(url, CONNECTION_NAME).await?;
        let user = user(&connection)?;
        let channel = within(RPC_TIMEOUT, "open a channel", connection.create_channel()).await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declare = channel.queue_declare(queue.clone(), passive, FieldTable::default());
        within(RPC_TIMEOUT, "describe the queue", declare).await?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        within(RPC_TIMEOUT, "turn on confirms", confirms).await?;
        Ok(Self { queue, channel, user, _connection: connection })
    }

    /// Sends it, to be answered or not, and returns when the broker has it. It goes to the queue by its name,
    /// so that nothing else has to be there, and one at a time, for lapin may hand a returned message to the
    /// confirm of another one.
    ///
    /// # Errors
    ///
    /// When the queue did not take it, or that is not known.
    pub async fn send(&self, letter: &DeadLetter, with_reply: bool) -> Result<(), Error> {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let default_exchange = ShortString::default();
        let confirmed = async {
            let properties = letter.requeued(with_reply).with_user_id(self.user.clone());
            let publish = self.channel.basic_publish(
                default_exchange,
                self.queue.clone(),
                options,
                &letter.body,
                properties,
            );
            publish.await?.await
        };
        match within(CONFIRM_TIMEOUT, "confirm the message", confirmed).await? {
            Confirmation::Ack(None) | Confirmation::NotRequested => Ok(()),
            Confirmation::Ack(Some(_)) | Confirmation::Nack(_) => Err(Error::NotTaken(self.queue.clone())),
        }
    }
}

fn user(connection: &Connection) -> Result<ShortString, Error> {
    let too_long = |error| crate::Error::from(AddressError::Url(format!("the user: {error}")));
    Ok(ShortString::try_new(connection.status().username()).map_err(too_long)?)
}
