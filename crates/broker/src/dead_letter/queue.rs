//! Reads the dead-letter queue and removes letters from it.
//!
//! A letter that was read is held by this connection: nobody else gets it. When the connection ends, in
//! whatever way, the broker puts everything that was not removed back to the front of the queue.

use super::reader::Reader;
use super::{DeadLetter, Error};

/// What the queue is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To read letters and remove a few. Each consumer holds many, because the broker keeps the order of the
    /// letters of one consumer, and of up to 32 consumers, when it puts them back.
    Look,
    /// To remove most letters. Removed letters are gone for good when the window of the consumer is full.
    Clear,
}

impl Purpose {
    /// How many letters one consumer holds.
    const fn window(self) -> u16 {
        match self {
            Self::Look => 500,
            Self::Clear => 30,
        }
    }
}

/// The dead-letter queue, open.
#[derive(Debug)]
pub struct DeadLetters(Reader);

impl DeadLetters {
    /// Connects. Letters that come into the queue from now on are not read.
    ///
    /// # Errors
    ///
    /// When there is no broker, or no such queue.
    pub async fn open(url: &str, purpose: Purpose) -> Result<Self, Error> {
        Ok(Self(Reader::open(url, purpose.window()).await?))
    }

    /// How many letters are still to be read.
    #[must_use]
    pub const fn left(&self) -> u32 {
        self.0.left()
    }

    /// The next letter, from the front of the queue. None when all have been read.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub async fn next(&mut self) -> Result<Option<DeadLetter>, Error> {
        Ok(self.0.next().await?.map(DeadLetter::new))
    }

    /// Removes a letter for good, before [`Self::close`] returns.
    pub fn remove(&mut self, letter: &DeadLetter) {
        self.0.remove(letter.delivery_tag());
    }

    /// Ends the connection: what was removed is gone, and all else is in the queue again soon after.
    ///
    /// # Errors
    ///
    /// When the connection is lost: removed letters may be in the queue again, too.
    pub async fn close(self) -> Result<(), Error> {
        self.0.close().await
    }
}
