//! A publisher that writes its frames by hand, for messages that no well-behaved client sends.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lapin::uri::AMQPUri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const FRAME_END: u8 = 0xCE;

/// The properties of a message, as bytes.
#[derive(Clone, Copy, Default)]
pub struct RawProperties<'a> {
    /// The content of the headers table.
    pub headers: &'a [u8],
    pub correlation_id: &'a [u8],
    pub reply_to: &'a [u8],
}

pub struct RawAmqp {
    stream: TcpStream,
}

impl RawAmqp {
    pub async fn connect(amqp_url: &str) -> Self {
        let AMQPUri { authority, vhost, .. } = amqp_url.parse().expect("a URL");
        let stream = TcpStream::connect((authority.host.as_str(), authority.port)).await.expect("a broker");
        let mut raw = Self { stream };
        raw.stream.write_all(b"AMQP\0\0\x09\x01").await.expect("it reads");
        raw.expect_method(10, 10).await;
        let login = format!("\0{}\0{}", authority.userinfo.username, authority.userinfo.password);
        let start_ok = [long(b""), short(b"PLAIN"), long(login.as_bytes()), short(b"en_US")].concat();
        raw.method(0, 10, 11, &start_ok).await;
        raw.expect_method(10, 30).await;
        let tune_ok = [&1_u16.to_be_bytes()[..], &131_072_u32.to_be_bytes(), &0_u16.to_be_bytes()].concat();
        raw.method(0, 10, 31, &tune_ok).await;
        raw.method(0, 10, 40, &[short(vhost.as_bytes()), short(b""), vec![0]].concat()).await;
        raw.expect_method(10, 41).await;
        raw.method(1, 20, 10, &short(b"")).await;
        raw.expect_method(20, 11).await;
        raw.method(1, 85, 10, &[0]).await;
        raw.expect_method(85, 11).await;
        raw
    }

    /// Publishes to an exchange, and returns when the broker has confirmed it: what is not confirmed may be
    /// lost, also when the channel is closed in good order.
    pub async fn publish(
        &mut self,
        exchange: &str,
        operation: &str,
        properties: &RawProperties<'_>,
        body: &[u8],
    ) {
        let publish = [&[0, 0][..], &short(exchange.as_bytes()), &short(operation.as_bytes()), &[0]].concat();
        self.method(1, 60, 40, &publish).await;
        let flags: u16 = 1 << 13 | 1 << 10 | 1 << 9;
        let header = [
            &[0, 60, 0, 0][..],
            &(body.len() as u64).to_be_bytes(),
            &flags.to_be_bytes(),
            &long(properties.headers),
            &short(properties.correlation_id),
            &short(properties.reply_to),
        ];
        self.frame(HEADER, 1, &header.concat()).await;
        self.frame(BODY, 1, body).await;
        self.expect_method(60, 80).await;
    }

    async fn method(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) {
        let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
        self.frame(METHOD, channel, &payload).await;
    }

    async fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let size = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
        let frame = [&[kind][..], &channel.to_be_bytes(), &size, payload, &[FRAME_END]].concat();
        self.stream.write_all(&frame).await.expect("it reads");
    }

    async fn expect_method(&mut self, class: u8, method: u8) {
        let mut start = [0; 7];
        self.stream.read_exact(&mut start).await.expect("it answers");
        let size = u32::from_be_bytes(start[3..].try_into().expect("four bytes"));
        let mut payload = vec![0; size as usize + 1];
        self.stream.read_exact(&mut payload).await.expect("it answers");
        assert_eq!(payload[..4], [0, class, 0, method], "{payload:?}");
    }
}

/// The content of a headers table: a text, and so many arrays in one another.
pub fn nested_headers(levels: usize) -> Vec<u8> {
    let mut value = b"V".to_vec();
    for _ in 0..levels {
        let length = u32::try_from(value.len()).expect("a short value").to_be_bytes();
        value.splice(0..0, [b'A'].into_iter().chain(length));
    }
    [&b"\x06tenantS\0\0\0\x04blue\x01x"[..], &value].concat()
}

/// A direct reply address as RabbitMQ 3.10 writes it, of a node that is not of its cluster: it closes the
/// connection of whoever publishes to it.
pub fn unknown_node(number: u32) -> String {
    let node = format!("reply@{number}");
    let length = u16::try_from(node.len()).expect("a short name").to_be_bytes();
    let process =
        [&[131, 88, 118], &length[..], node.as_bytes(), &[0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]].concat();
    format!("amq.rabbitmq.reply-to.{}.{}", STANDARD.encode(process), STANDARD.encode([7; 16]))
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).expect("a short text")], text].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).expect("a short text").to_be_bytes()[..], bytes].concat()
}
