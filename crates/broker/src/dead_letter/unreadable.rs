//! Dead letters that the AMQP library cannot decode (decision 13).
//!
//! RabbitMQ passes on property values that are not UTF-8 and header types that are unknown to it. lapin
//! ends the connection over such a message and does not say what it was, not even its delivery tag; the
//! broker puts it back, to the front. To read the letters behind it, something has to hold it: the
//! connection that failed over it. lapin closes its handle of the socket, but here is a second one, so for
//! the broker the connection stays open, and the letter is delivered, until this handle is dropped or the
//! heartbeat (60 s by default) is missed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use florin_amqp::Address;
use florin_wire::names::DEAD_LETTERS;
use lapin::message::Delivery;
use lapin::options::{BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::tcp::{AMQPUriTcpExt, AsyncTcpStream, RustlsConnector};
use lapin::types::ShortString;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Confirmation, Connection};

use super::headers::own_properties;
use super::reader::{Reader, get};
use super::{CONNECTION_NAME, Error};
use crate::connection::{RPC_TIMEOUT, connected, properties, within};

/// More letters than this are not set aside: each takes a connection.
const MAX_SET_ASIDE: usize = 50;
/// How many letters one consumer holds while it looks for letters that cannot be decoded.
const WINDOW: u16 = 500;

/// What happens to letters that the AMQP library cannot decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    Keep,
    Drop,
}

/// Letters that cannot be decoded, held for as long as this lives.
#[derive(Debug, Default)]
pub(super) struct SetAside {
    places: Vec<usize>,
    sockets: Vec<OwnedFd>,
}

impl SetAside {
    /// Their positions in the queue, from 1.
    pub(super) fn places(&self) -> &[usize] {
        &self.places
    }
}

/// Opens a reader of the letters that can be decoded. Each letter is read once before: only that shows
/// which cannot.
///
/// What was read is held until all are known, and released in the order of the queue: so it keeps its
/// order, and the positions are right.
pub(super) async fn set_aside(
    url: &str,
    window: u16,
    unreadable: Unreadable,
) -> Result<(Reader, SetAside), Error> {
    let mut aside = SetAside::default();
    let mut holders: Vec<Reader> = Vec::new();
    let mut readable = 0;
    let mut expected = 0;
    while aside.sockets.len() <= MAX_SET_ASIDE {
        let mut reader = Reader::open(url, WINDOW).await?;
        // Some may still be on their way back from the connection before.
        let total = reader.left().max(expected);
        reader.expect(total);
        let outcome = read_all(&mut reader).await;
        let before = reader.read();
        readable += before;
        match outcome {
            Ok(()) => {
                holders.push(reader);
                for holder in holders {
                    holder.close().await?;
                }
                let mut reader = Reader::open(url, window).await?;
                reader.expect(readable);
                return Ok((reader, aside));
            }
            Err(error) if error.is_unreadable() => {}
            Err(error) => return Err(error),
        }
        // Its connection is gone: all that it had read went back.
        drop(reader);
        let mut holder = Reader::open(url, WINDOW).await?;
        holder.expect(before);
        read_all(&mut holder).await?;
        readable += aside.take_next(url, &mut holder, total - before, unreadable).await?;
        aside.places.push(readable as usize + aside.places.len() + 1);
        match unreadable {
            Unreadable::Keep => {
                expected = (total - before).saturating_sub(1);
                holders.push(holder);
            }
            // It is removed, so the rest can be read from the front again, without a connection for each
            // such letter.
            Unreadable::Drop => {
                expected = total.saturating_sub(1);
                readable = 0;
                holder.close().await?;
            }
        }
    }
    Err(Error::TooManyUnreadable(MAX_SET_ASIDE))
}

async fn read_all(reader: &mut Reader) -> Result<(), Error> {
    while reader.next().await?.is_some() {}
    Ok(())
}

impl SetAside {
    /// Takes the next letter that cannot be decoded, of `left` letters. `holder` has those before it;
    /// returns how many more it has now.
    async fn take_next(
        &mut self,
        url: &str,
        holder: &mut Reader,
        left: u32,
        unreadable: Unreadable,
    ) -> Result<u32, Error> {
        let probe = Probe::open(url).await?;
        let (mut held, mut decoded) = (0, 0);
        while probe.can_decode_next(unreadable).await? {
            // Another command changed the queue, or lapin had decoded more than it had passed on.
            decoded += 1;
            match unreadable {
                Unreadable::Keep => {
                    holder.expect(1);
                    read_all(holder).await?;
                    held += 1;
                }
                // Letters are published back to the end: from here on the same ones would come again.
                Unreadable::Drop if decoded >= left => return Err(Error::Changed),
                Unreadable::Drop => {}
            }
        }
        if unreadable == Unreadable::Keep {
            self.sockets.push(probe.socket);
        }
        Ok(held)
    }
}

/// A connection for one letter that probably cannot be decoded.
struct Probe {
    channel: Channel,
    socket: OwnedFd,
    connection: Connection,
}

impl Probe {
    async fn open(url: &str) -> Result<Self, Error> {
        let address = Address::parse(url).map_err(crate::Error::from)?;
        let (connection, socket) = connected(&address, connect(&address)).await?;
        let channel = within(RPC_TIMEOUT, "open a channel", connection.create_channel()).await?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        within(RPC_TIMEOUT, "turn on confirms", confirms).await?;
        Ok(Self { channel, socket, connection })
    }

    /// Gets a letter: to keep it, or without an ack, so that the broker has removed it when it is sent. One
    /// that can be decoded is put back.
    async fn can_decode_next(&self, unreadable: Unreadable) -> Result<bool, Error> {
        let drops = unreadable == Unreadable::Drop;
        match get(&self.connection, &self.channel, BasicGetOptions { no_ack: drops }).await {
            Ok(Some(letter)) if drops => self.publish(&letter).await?,
            Ok(Some(letter)) => {
                let requeue = BasicNackOptions { requeue: true, multiple: false };
                within(RPC_TIMEOUT, "requeue a letter", letter.acker.nack(requeue)).await?;
            }
            Ok(None) => return Err(Error::Changed),
            Err(error) if error.is_unreadable() => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Through the exchange that it came through, so that a client's headers are not taken for the service's.
    async fn publish(&self, letter: &Delivery) -> Result<(), Error> {
        let headers = letter.properties.headers().clone().unwrap_or_default();
        let properties = own_properties(&letter.properties).with_headers(headers);
        let (exchange, routing_key) = match letter.exchange.as_str() {
            "" => (ShortString::default(), DEAD_LETTERS.into()),
            _ => (DEAD_LETTERS.into(), letter.routing_key.clone()),
        };
        let options = BasicPublishOptions::default();
        let confirmed = async {
            self.channel.basic_publish(exchange, routing_key, options, &letter.data, properties).await?.await
        };
        match within(RPC_TIMEOUT, "confirm a letter", confirmed).await? {
            Confirmation::Nack(_) => Err(Error::NotTaken(DEAD_LETTERS.into())),
            Confirmation::Ack(_) | Confirmation::NotRequested => Ok(()),
        }
    }
}

/// Connects, and keeps a second handle of the socket.
async fn connect(address: &Address) -> lapin::Result<(Connection, OwnedFd)> {
    let connector = address.tls_config().map_err(io::Error::other)?.map(RustlsConnector::from);
    let socket = Arc::new(Mutex::new(None));
    let handle = Arc::clone(&socket);
    let runtime = lapin::runtime::default_runtime()?;
    let own_runtime = runtime.clone();
    let handshake = async move |uri: AMQPUri, _| {
        let plain = AMQPUri { scheme: AMQPScheme::AMQP, ..uri.clone() };
        let stream = plain.connect_async(&own_runtime).await?;
        if let AsyncTcpStream::Plain(tcp) = &stream {
            let second = tcp.get_ref().as_fd().try_clone_to_owned()?;
            *handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(second);
        }
        match &connector {
            Some(connector) => Ok(stream.into_rustls(connector, &uri.authority.host).await?),
            None => Ok(stream),
        }
    };
    let connection =
        Connection::connector(address.uri().clone(), runtime, handshake, properties(CONNECTION_NAME)).await?;
    let socket = socket.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok((connection, socket.ok_or_else(|| io::Error::other("the connection has no socket"))?))
}
