//! Reads the dead-letter queue and removes letters from it.
//!
//! A letter that was read is held by this connection: no other consumer gets it. When the connection ends,
//! in whatever way, the broker puts everything that was not removed back to the front of the queue.

use super::reader::Reader;
use super::unreadable::{SetAside, Unreadable, set_aside};
use super::{DeadLetter, Error};

/// What the queue is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To read letters and remove a few. Each consumer holds many, because the broker keeps the order of
    /// the letters of one consumer, and of up to 32 consumers, when it puts them back.
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
pub struct DeadLetters {
    reader: Reader,
    unreadable: SetAside,
}

impl DeadLetters {
    /// Connects. Letters that come into the queue from now on are not read.
    ///
    /// Letters that cannot be decoded are set aside: no consumer gets them until this is closed.
    ///
    /// # Errors
    ///
    /// When there is no broker, or no such queue.
    pub async fn open(url: &str, purpose: Purpose) -> Result<Self, Error> {
        let (reader, unreadable) = set_aside(url, purpose.window(), Unreadable::Keep).await?;
        Ok(Self { reader, unreadable })
    }

    /// As [`Self::open`], but removes all letters that cannot be decoded.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub async fn open_dropping_unreadable(url: &str, purpose: Purpose) -> Result<Self, Error> {
        let (reader, unreadable) = set_aside(url, purpose.window(), Unreadable::Drop).await?;
        Ok(Self { reader, unreadable })
    }

    /// How many letters are still to be read.
    #[must_use]
    pub const fn left(&self) -> u32 {
        self.reader.left()
    }

    /// The positions in the queue, from 1, of the letters that cannot be decoded.
    #[must_use]
    pub fn unreadable(&self) -> &[usize] {
        self.unreadable.places()
    }

    /// The next letter, from the front of the queue. None when all have been read.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub async fn next(&mut self) -> Result<Option<DeadLetter>, Error> {
        Ok(self.reader.next().await?.map(DeadLetter::new))
    }

    /// Removes a letter for good, before [`Self::close`] returns.
    pub fn remove(&mut self, letter: &DeadLetter) {
        self.reader.remove(letter.delivery_tag());
    }

    /// Ends the connection: what was removed is gone, and all else is in the queue again soon after.
    ///
    /// # Errors
    ///
    /// When the connection is lost: removed letters may be in the queue again, too.
    pub async fn close(self) -> Result<(), Error> {
        self.reader.close().await
    }
}
