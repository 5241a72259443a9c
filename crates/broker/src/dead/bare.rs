//! A connection that reads every message, also those that lapin gives the connection up over.
//!
//! RabbitMQ passes on what it got: names that are not UTF-8, headers of types that nobody knows. What ends in
//! the dead-letter queue is often just that, and has to be read. The frames are those of the codec under lapin;
//! what that refuses is mended first.
//!
//! Nothing is read ahead: what was not asked for waits in the broker and on the wire, so one message is in memory
//! at a time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use amq_protocol::auth::{Credentials, SASLMechanism};
use amq_protocol::frame::{AMQPFrame, ProtocolVersion, WriteContext, gen_frame};
use amq_protocol::protocol::basic::AMQPMethod as Basic;
use amq_protocol::protocol::channel::{self, AMQPMethod as OfChannel};
use amq_protocol::protocol::connection::{self, AMQPMethod as OfConnection};
use amq_protocol::protocol::constants::{FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_METHOD, REPLY_SUCCESS};
use amq_protocol::protocol::{AMQPClass, basic};
use florin_amqp::{Address, AddressError};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::either::Either;

use super::Error;
use super::mend::{self, Envelope, Method};
use crate::connection::RPC_TIMEOUT;

/// Methods about the connection as a whole go here.
const NO_CHANNEL: u16 = 0;
/// The one channel.
const CHANNEL: u16 = 1;
/// More than RabbitMQ puts into one frame.
const MAX_FRAME_BYTES: u32 = 16 * 1024 * 1024;

/// A connection with one channel.
#[derive(Debug)]
pub(super) struct Bare {
    stream: BufReader<Stream>,
}

/// Plain, or encrypted.
type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// A message as it was delivered.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) delivery_tag: u64,
    pub(crate) exchange: ShortString,
    pub(crate) routing_key: ShortString,
    pub(crate) properties: BasicProperties,
    pub(crate) body: Vec<u8>,
    /// What had to be mended to read it: nothing in most messages.
    pub(crate) mended: Vec<&'static str>,
}

/// What the broker sends.
#[derive(Debug)]
pub(super) enum Event {
    Message(Box<Arrived>),
    Answer(AMQPClass),
}

struct Frame {
    kind: u8,
    payload: Vec<u8>,
}

async fn connect(address: &Address) -> io::Result<Stream> {
    let authority = &address.uri().authority;
    let config = address.tls_config().map_err(io::Error::other)?;
    let stream = TcpStream::connect((authority.host.as_str(), authority.port)).await?;
    let Some(config) = config else { return Ok(Either::Left(stream)) };
    let name = ServerName::try_from(authority.host.clone()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(Either::Right(stream))
}

impl Bare {
    /// Connects and opens the channel.
    pub(super) async fn open(address: &Address, name: &str) -> Result<Self, Error> {
        let uri = address.uri();
        let stream = timeout(RPC_TIMEOUT, connect(address)).await;
        let stream = stream.map_err(|_| Error::TimedOut("accept the connection"))?.map_err(|error| {
            let address = format!("{}:{}", uri.authority.host, uri.authority.port);
            Error::NoConnection { address, source: Address::explain(error) }
        })?;
        let mut bare = Self { stream: BufReader::new(stream) };
        bare.log_in(uri, name).await?;
        let open = AMQPClass::Channel(OfChannel::Open(channel::Open {}));
        bare.call(open, "open a channel", |answer| {
            matches!(answer, AMQPClass::Channel(OfChannel::OpenOk(_))).then_some(())
        })
        .await?;
        Ok(bare)
    }

    async fn log_in(&mut self, uri: &AMQPUri, name: &str) -> Result<(), Error> {
        let virtual_host = ShortString::try_new(uri.vhost.as_str())
            .map_err(|error| AddressError::Url(format!("the virtual host: {error}")))?;
        self.write(&AMQPFrame::ProtocolHeader(ProtocolVersion::amqp_0_9_1())).await?;
        self.answer("greet", |answer| {
            matches!(answer, AMQPClass::Connection(OfConnection::Start(_))).then_some(())
        })
        .await?;
        let start_ok = connection::StartOk {
            client_properties: client_properties(name),
            mechanism: "PLAIN".into(),
            response: Credentials::from(uri.authority.userinfo.clone())
                .sasl_auth_string(SASLMechanism::Plain),
            locale: "en_US".into(),
        };
        self.write_of_connection(OfConnection::StartOk(start_ok)).await?;
        let connection::Tune { channel_max, frame_max, .. } = self
            .answer("accept the user", |answer| match answer {
                AMQPClass::Connection(OfConnection::Tune(tune)) => Some(tune),
                _ => None,
            })
            .await?;
        // No heartbeats: a person may take long to answer a question, and every await has its own limit.
        let tune_ok = connection::TuneOk { channel_max, frame_max, heartbeat: 0 };
        self.write_of_connection(OfConnection::TuneOk(tune_ok)).await?;
        self.write_of_connection(OfConnection::Open(connection::Open { virtual_host })).await?;
        self.answer("open the virtual host", |answer| {
            matches!(answer, AMQPClass::Connection(OfConnection::OpenOk(_))).then_some(())
        })
        .await
    }

    /// Sends a method.
    pub(super) async fn send(&mut self, method: AMQPClass) -> Result<(), Error> {
        self.write(&AMQPFrame::Method(CHANNEL, method)).await
    }

    /// Sends a method and awaits its answer. Messages that come before it are passed over: they are held.
    pub(super) async fn call<T>(
        &mut self,
        method: AMQPClass,
        what: &'static str,
        pick: impl Fn(AMQPClass) -> Option<T>,
    ) -> Result<T, Error> {
        self.send(method).await?;
        self.answer(what, pick).await
    }

    async fn answer<T>(
        &mut self,
        what: &'static str,
        pick: impl Fn(AMQPClass) -> Option<T>,
    ) -> Result<T, Error> {
        loop {
            match self.next(RPC_TIMEOUT).await? {
                Some(Event::Answer(answer)) => {
                    if let Some(picked) = pick(answer) {
                        return Ok(picked);
                    }
                }
                Some(Event::Message(_)) => {}
                None => return Err(Error::TimedOut(what)),
            }
        }
    }

    /// Returns when the broker has done all that was sent before, by asking for one more message of this queue:
    /// the answer takes the same way as what changes the queue. A message that comes is held.
    pub(super) async fn until_done(&mut self, queue: ShortString) -> Result<(), Error> {
        self.send(AMQPClass::Basic(Basic::Get(basic::Get { queue, no_ack: false }))).await?;
        loop {
            match self.next(RPC_TIMEOUT).await? {
                Some(Event::Message(_) | Event::Answer(AMQPClass::Basic(Basic::GetEmpty(_)))) => {
                    return Ok(());
                }
                Some(Event::Answer(_)) => {}
                None => return Err(Error::TimedOut("take the acks")),
            }
        }
    }

    /// The next thing that the broker sends; none when it is silent for so long.
    pub(super) async fn next(&mut self, silence: Duration) -> Result<Option<Event>, Error> {
        // Waits without taking anything, so that no frame is left half read.
        let Ok(begun) = timeout(silence, self.stream.fill_buf()).await else { return Ok(None) };
        if begun.map_err(Error::Broken)?.is_empty() {
            return Err(Error::Closed);
        }
        match mend::method(self.frame(FRAME_METHOD).await?)? {
            Method::Message(envelope) => Ok(Some(Event::Message(Box::new(self.content(envelope).await?)))),
            Method::Other(AMQPClass::Connection(OfConnection::Close(connection::Close {
                reply_text,
                ..
            }))) => Err(Error::Refused(reply_text)),
            Method::Other(AMQPClass::Channel(OfChannel::Close(channel::Close { reply_text, .. }))) => {
                Err(Error::Refused(reply_text))
            }
            Method::Other(AMQPClass::Basic(Basic::Cancel(_))) => Err(Error::Deleted),
            Method::Other(answer) => Ok(Some(Event::Answer(answer))),
        }
    }

    /// Reads the rest of a message.
    async fn content(&mut self, envelope: Envelope) -> Result<Arrived, Error> {
        let Envelope { delivery_tag, exchange, routing_key, mut mended } = envelope;
        let (header, mended_properties) = mend::header(self.frame(FRAME_HEADER).await?)?;
        mended.extend(mended_properties);
        let mut body = Vec::new();
        while (body.len() as u64) < header.body_size {
            body.extend(self.frame(FRAME_BODY).await?);
        }
        Ok(Arrived { delivery_tag, exchange, routing_key, properties: header.properties, body, mended })
    }

    /// Reads a frame, which must be of this kind.
    async fn frame(&mut self, kind: u8) -> Result<Vec<u8>, Error> {
        let frame = timeout(RPC_TIMEOUT, self.any_frame()).await;
        let frame = frame.map_err(|_| Error::TimedOut("finish what it began to send"))??;
        if frame.kind == kind { Ok(frame.payload) } else { Err(Error::Protocol("a frame out of its order")) }
    }

    async fn any_frame(&mut self) -> Result<Frame, Error> {
        let kind = self.stream.read_u8().await.map_err(Error::Broken)?;
        // A broker that does not speak this version names the one that it speaks, and hangs up.
        if kind == b'A' {
            return Err(Error::Protocol("that it does not speak AMQP 0-9-1"));
        }
        let _channel = self.stream.read_u16().await.map_err(Error::Broken)?;
        let size = self.stream.read_u32().await.map_err(Error::Broken)?;
        if size > MAX_FRAME_BYTES {
            return Err(Error::Protocol("a frame that is too long"));
        }
        let mut payload = vec![0; size as usize];
        self.stream.read_exact(&mut payload).await.map_err(Error::Broken)?;
        match self.stream.read_u8().await.map_err(Error::Broken)? {
            FRAME_END => Ok(Frame { kind, payload }),
            _ => Err(Error::Protocol("a frame without an end")),
        }
    }

    async fn write_of_connection(&mut self, method: OfConnection) -> Result<(), Error> {
        self.write(&AMQPFrame::Method(NO_CHANNEL, AMQPClass::Connection(method))).await
    }

    async fn write(&mut self, frame: &AMQPFrame) -> Result<(), Error> {
        let written = gen_frame(frame)(WriteContext::from(Vec::new()));
        let (bytes, _) = written.map_err(|error| Error::Broken(std::io::Error::other(error)))?.into_inner();
        // TLS may keep what is written until it is flushed.
        let writing = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        let sent = timeout(RPC_TIMEOUT, writing).await;
        sent.map_err(|_| Error::TimedOut("take what was sent"))?.map_err(Error::Broken)
    }

    /// Takes leave of the broker.
    pub(super) async fn close(mut self) -> Result<(), Error> {
        let reply_text = ShortString::from("done");
        let close = channel::Close {
            reply_code: REPLY_SUCCESS,
            reply_text: reply_text.clone(),
            class_id: 0,
            method_id: 0,
        };
        self.call(AMQPClass::Channel(OfChannel::Close(close)), "close the channel", |answer| {
            matches!(answer, AMQPClass::Channel(OfChannel::CloseOk(_))).then_some(())
        })
        .await?;
        let close = connection::Close { reply_code: REPLY_SUCCESS, reply_text, class_id: 0, method_id: 0 };
        self.write_of_connection(OfConnection::Close(close)).await?;
        self.answer("close the connection", |answer| {
            matches!(answer, AMQPClass::Connection(OfConnection::CloseOk(_))).then_some(())
        })
        .await
    }
}

fn client_properties(name: &str) -> FieldTable {
    let mut capabilities = FieldTable::default();
    for capability in ["authentication_failure_close", "consumer_cancel_notify"] {
        capabilities.insert(capability.into(), AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    properties.insert("connection_name".into(), AMQPValue::LongString(name.into()));
    properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    properties
}
