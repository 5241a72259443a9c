//! The state of the broker, for `florin status`: what AMQP alone can tell, without changing anything.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use amq_protocol::frame::{AMQPFrame, parse_frame};
use amq_protocol::protocol::AMQPClass;
use amq_protocol::protocol::connection::{AMQPMethod, Start};
use florin_amqp::Address;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::protocol::AMQPSoftError;
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Connection, ErrorKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use uuid::Uuid;

use super::connection::{Error, RPC_TIMEOUT, addresses, open, within};
use super::declare::{Declarer, refusal};
use super::topology::{Exchange, Queue, Topology};

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
    /// The queue of events that a listener's queue refused. None when events are not published.
    pub parked_events: Option<QueueStatus>,
    /// The exchanges of the service that are missing or differ from what it declares.
    pub exchanges: Vec<ExchangeStatus>,
}

/// The state of a queue.
#[derive(Debug)]
pub struct QueueStatus {
    pub name: String,
    /// Its messages and consumers, or why they cannot be read.
    pub counts: Result<Counts, String>,
    /// How it differs from what the service declares.
    pub differs: Option<Difference>,
}

/// How an exchange stands that is not as the service declares it.
#[derive(Debug)]
pub struct ExchangeStatus {
    /// Its name.
    pub name: String,
    /// How it differs. None when it does not exist.
    pub differs: Option<Difference>,
}

/// How something that exists differs from what the service declares.
#[derive(Debug)]
pub struct Difference {
    /// In the words of the broker.
    pub text: String,
    /// Whether the service uses it as it is. Otherwise it does not start.
    pub is_adopted: bool,
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
        let addresses = addresses(url)?;
        let connection = open(&addresses, "status").await?;
        // A connection of its own, which ends before anybody logs in, to the address that has answered just now.
        let greeting = async { greeting(addresses.in_order().first()?).await.ok()? };
        let product = timeout(RPC_TIMEOUT, greeting).await.ok().flatten();
        let work_queue = QueueStatus::ask(&connection, topology.work_queue()).await?;
        let dead_letters = QueueStatus::ask(&connection, Queue::dead_letters()).await?;
        let parked_events = match topology.with_events {
            true => Some(QueueStatus::ask(&connection, Queue::parked_events()).await?),
            false => None,
        };
        let mut exchanges = Vec::new();
        for (exchange, _) in topology.bound_exchanges() {
            exchanges.extend(ExchangeStatus::ask(&connection, exchange).await?);
        }
        // Last, for a blocked connection does nothing any more.
        let blocked = is_blocked(&connection).await?;
        Ok(Self { product, blocked, work_queue, dead_letters, parked_events, exchanges })
    }
}

impl QueueStatus {
    /// The broker closes the channel with a refusal, so this has one of its own.
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
        let name = queue.name.clone();
        let differs = match counts {
            // Declaring what exists changes nothing. If it was declared in another way, the broker says how.
            Ok(_) => {
                let mut declarer = Declarer::new(connection).await?;
                let declared = declarer.queue(queue).await;
                Difference::of(&declarer, declared)
            }
            Err(_) => None,
        };
        Ok(Self { name, counts, differs })
    }
}

impl ExchangeStatus {
    /// None if it is as it should be.
    async fn ask(connection: &Connection, exchange: Exchange) -> Result<Option<Self>, Error> {
        let mut declarer = Declarer::new(connection).await?;
        let differs = if declarer.has_exchange(&exchange).await? {
            let declared = declarer.exchange(&exchange).await;
            match Difference::of(&declarer, declared) {
                None => return Ok(None),
                differs => differs,
            }
        } else {
            None
        };
        Ok(Some(Self { name: exchange.name, differs }))
    }
}

impl Difference {
    /// From what declaring came to. Another refusal, such as that of a missing permission, says nothing.
    fn of(declarer: &Declarer<'_>, declared: Result<(), Error>) -> Option<Self> {
        let refused = declared.err().and_then(|error| refusal(&error, AMQPSoftError::PRECONDITIONFAILED));
        if let Some(text) = refused {
            return Some(Self { text, is_adopted: false });
        }
        let adopted = declarer.adopted.join("; ");
        (!adopted.is_empty()).then_some(Self { text: adopted, is_adopted: true })
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

/// What the broker says of itself before it asks for a password. lapin reads it and does not pass it on.
async fn greeting(address: &Address) -> io::Result<Option<String>> {
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
