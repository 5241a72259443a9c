//! The state of the broker, for `florin status`: what AMQP alone can tell, without changing anything.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use amq_protocol::frame::{AMQPFrame, parse_frame};
use amq_protocol::protocol::AMQPClass;
use amq_protocol::protocol::connection::{AMQPMethod, Start};
use florin_amqp::Address;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Connection, ErrorKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use uuid::Uuid;

use super::connection::{Error, RPC_TIMEOUT, connect, within};
use super::topology::{Queue, Topology};

/// How long a broker that is not blocked may take to confirm a message.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(3);
/// The protocol header that a client sends first: AMQP 0-9-1.
const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
/// The broker's greeting is some hundred bytes long.
const MAX_GREETING_BYTES: u32 = 131_072;

/// The state of the broker.
#[derive(Debug)]
pub struct BrokerStatus {
    /// Its product and version, such as `RabbitMQ 4.0.5`, if they can be read.
    pub product: Option<String>,
    /// Whether a memory or disk alarm blocks publishing. None when the user may not publish, so that this
    /// cannot be tested.
    pub blocked: Option<bool>,
    pub work_queue: QueueStatus,
    pub dead_letters: QueueStatus,
}

/// The state of a queue.
#[derive(Debug)]
pub struct QueueStatus {
    pub name: String,
    /// Its messages and consumers, or why they cannot be read.
    pub counts: Result<Counts, String>,
    /// How it differs from the service's declaration, as the broker words it; the service then does not
    /// start.
    pub differs: Option<String>,
}

/// The counts of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Messages that no consumer holds.
    pub ready: u32,
    /// Consumers. Of a queue with a single active consumer RabbitMQ counts that one, and none on standby.
    pub consumers: u32,
}

impl BrokerStatus {
    /// Reads the state of the broker.
    ///
    /// # Errors
    ///
    /// When it cannot be reached, or refuses the user or the virtual host.
    pub async fn ask(url: &str, topology: &Topology) -> Result<Self, Error> {
        let connection = connect(url, "status").await?;
        // A connection of its own, which ends before a login.
        let product = timeout(RPC_TIMEOUT, greeting(url)).await.ok().and_then(Result::ok).flatten();
        let work_queue = QueueStatus::ask(&connection, topology.work_queue()).await?;
        let dead_letters = QueueStatus::ask(&connection, Queue::dead_letters()).await?;
        // Last, because a blocked connection handles nothing more.
        let blocked = is_blocked(&connection).await?;
        Ok(Self { product, blocked, work_queue, dead_letters })
    }
}

impl QueueStatus {
    /// Each query has a channel of its own, because the broker closes the channel with a refusal.
    async fn ask(connection: &Connection, queue: Queue) -> Result<Self, Error> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let channel = within(RPC_TIMEOUT, "open a channel", connection.create_channel()).await?;
        let declared = channel.queue_declare(queue.name.as_str().into(), passive, FieldTable::default());
        let counts = match within(RPC_TIMEOUT, "describe a queue", declared).await {
            Ok(found) => Ok(Counts { ready: found.message_count(), consumers: found.consumer_count() }),
            Err(Error::Broker(error)) => match error.kind() {
                ErrorKind::ProtocolError(refusal) => Err(refusal.get_message().to_string()),
                _ => return Err(Error::Broker(error)),
            },
            Err(error) => return Err(error),
        };
        let differs = if counts.is_ok() { difference(connection, &queue).await? } else { None };
        Ok(Self { name: queue.name, counts, differs })
    }
}

/// Declares a queue that exists as the service does. That changes nothing; if it was declared in another way,
/// the broker says how.
async fn difference(connection: &Connection, queue: &Queue) -> Result<Option<String>, Error> {
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let channel = within(RPC_TIMEOUT, "open a channel", connection.create_channel()).await?;
    let declared = channel.queue_declare(queue.name.as_str().into(), durable, queue.arguments.clone());
    let other_settings = AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED);
    match within(RPC_TIMEOUT, "describe a queue", declared).await {
        Err(Error::Broker(error)) => Ok(match error.kind() {
            ErrorKind::ProtocolError(refusal) if *refusal.kind() == other_settings => {
                Some(refusal.get_message().to_string())
            }
            _ => None,
        }),
        _ => Ok(None),
    }
}

/// The broker reports an alarm to publishers only. So this publishes messages that no queue takes, and they
/// are dropped. While an alarm is on, the broker reads the first one and no other.
async fn is_blocked(connection: &Connection) -> Result<Option<bool>, Error> {
    let channel = within(RPC_TIMEOUT, "open a channel", connection.create_channel()).await?;
    let confirms = channel.confirm_select(ConfirmSelectOptions::default());
    within(RPC_TIMEOUT, "turn on confirms", confirms).await?;
    let nowhere = ShortString::from(format!("florin.reply.{}", Uuid::new_v4()));
    let publish = async || {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        channel.basic_publish("".into(), nowhere.clone(), options, b"", properties).await?.await
    };
    let published = async {
        publish().await?;
        publish().await
    };
    match timeout(CONFIRM_TIMEOUT, published).await {
        Ok(Ok(_)) => Ok(Some(false)),
        // Not allowed to publish.
        Ok(Err(_)) => Ok(None),
        Err(_) => Ok(Some(connection.status().blocked())),
    }
}

/// The broker's own description, sent before the login. lapin reads it and does not pass it on.
async fn greeting(url: &str) -> io::Result<Option<String>> {
    let address = Address::parse(url).map_err(io::Error::other)?;
    let authority = &address.uri().authority;
    let stream = TcpStream::connect((authority.host.as_str(), authority.port)).await?;
    let Some(config) = address.tls_config().map_err(io::Error::other)? else { return greeted(stream).await };
    let name = ServerName::try_from(authority.host.clone()).map_err(io::Error::other)?;
    greeted(TlsConnector::from(Arc::new(config)).connect(name, stream).await?).await
}

async fn greeted(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<Option<String>> {
    stream.write_all(PROTOCOL_HEADER).await?;
    stream.flush().await?;
    // The kind of the frame, its channel, and its length without the octet that ends it.
    let mut frame = vec![0; 7];
    stream.read_exact(&mut frame).await?;
    let [_, _, _, length @ ..] = frame.as_slice() else { return Ok(None) };
    let length = <[u8; 4]>::try_from(length).map_or(u32::MAX, u32::from_be_bytes);
    if length > MAX_GREETING_BYTES {
        return Ok(None);
    }
    frame.resize(7 + length as usize + 1, 0);
    stream.read_exact(&mut frame[7..]).await?;
    Ok(match parse_frame(frame.as_slice()) {
        Ok((_, AMQPFrame::Method(_, AMQPClass::Connection(AMQPMethod::Start(start))))) => product(&start),
        _ => None,
    })
}

fn product(Start { server_properties, .. }: &Start) -> Option<String> {
    let text = |name: &str| {
        let value = server_properties.inner().get(name)?;
        Some(value.as_long_string()?.to_string())
    };
    Some(format!("{} {}", text("product")?, text("version")?))
}
