//! Replies to direct reply-to addresses of a kind that the broker has not taken yet.
//!
//! They go over a connection of their own, one at a time and few a second, because the broker may close it
//! over each of them. The first address that is known is the scout's own, so the clients of its node need no
//! scout.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::{Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use florin_amqp::Addresses;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::Mutex;
use tokio::time::timeout;
use uuid::Uuid;

use crate::connection::{Error, lost, open};
use crate::direct_reply::{Kind, PREFIX};
use crate::outgoing::Message;
use crate::publisher::{open_channel, publish};

const NAME: &str = "direct replies";
/// How long everybody may wait for one such reply.
const LIMIT: Duration = Duration::from_secs(2);
/// A cluster has few nodes. Whoever makes up more is found out again.
const MAX_KNOWN: usize = 256;
/// New kinds a second. The broker logs each that it cannot decode, at length.
const NEW_PER_SECOND: NonZeroU32 = NonZeroU32::new(1).expect("not zero");
const NEW_AT_ONCE: NonZeroU32 = NonZeroU32::new(5).expect("not zero");

/// Sends replies to addresses that the broker may object to.
#[derive(Debug)]
pub(crate) struct Scout {
    addresses: Addresses,
    known: SyncMutex<HashSet<Kind>>,
    pace: DefaultDirectRateLimiter,
    session: Mutex<Option<(Connection, Channel)>>,
}

impl Scout {
    pub(crate) fn new(addresses: Addresses) -> Self {
        let quota = Quota::per_second(NEW_PER_SECOND).allow_burst(NEW_AT_ONCE);
        Self {
            addresses,
            known: SyncMutex::default(),
            pace: RateLimiter::direct(quota),
            session: Mutex::default(),
        }
    }

    /// The kind of an address that the broker may object to.
    pub(crate) fn unknown_kind(&self, reply_to: &str) -> Option<Kind> {
        if !reply_to.starts_with(PREFIX) {
            return None;
        }
        let kind = Kind::of(reply_to)?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        (!known.contains(&kind)).then_some(kind)
    }

    /// Publishes a reply to an address of this kind. An error says why it could not be published.
    pub(crate) async fn publish(&self, kind: Kind, reply: &Message) -> Result<Confirmation, String> {
        if self.pace.check().is_err() {
            return Err("not tried: too many addresses of unknown nodes of the broker at once".to_owned());
        }
        match timeout(LIMIT, self.try_publish(reply)).await {
            Ok(Ok(confirmation)) => {
                self.learn(kind);
                Ok(confirmation)
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
        }
    }

    async fn try_publish(&self, reply: &Message) -> Result<Confirmation, Error> {
        let mut session = self.session.lock().await;
        // Whatever fails, or is given up half-way, ends the session.
        let (connection, channel) = match session.take() {
            Some(open) if open.0.status().connected() => open,
            _ => self.open().await?,
        };
        let confirmation = {
            let mut lost = std::pin::pin!(lost(connection.events_listener()));
            tokio::select! {
                confirmation = publish(&channel, reply, true) => confirmation?,
                error = &mut lost => return Err(error),
            }
        };
        *session = Some((connection, channel));
        Ok(confirmation)
    }

    async fn open(&self) -> Result<(Connection, Channel), Error> {
        let connection = open(&self.addresses, NAME).await?;
        let channel = open_channel(&connection).await?;
        if let Some(kind) = own_kind(&channel).await? {
            self.learn(kind);
        }
        Ok((connection, channel))
    }

    fn learn(&self, kind: Kind) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(kind);
    }
}

/// The kind of the channel's own address. The broker writes the address into a message that is published, and
/// returns the message if no queue takes it.
async fn own_kind(channel: &Channel) -> Result<Option<Kind>, Error> {
    let no_ack = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let consume = channel.basic_consume(PREFIX.into(), ShortString::default(), no_ack, FieldTable::default());
    // Cancelled when it is dropped, and there is no address without it.
    let _replies = consume.await?;
    let nowhere = format!("florin.reply.{}", Uuid::new_v4()).into();
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = BasicProperties::default().with_reply_to(PREFIX.into());
    let sent = channel.basic_publish(ShortString::default(), nowhere, mandatory, &[], properties);
    let Confirmation::Ack(Some(returned)) = sent.await?.await? else { return Ok(None) };
    let address = returned.delivery.properties.reply_to().as_ref();
    Ok(address.and_then(|address| Kind::of(address.as_str())))
}
