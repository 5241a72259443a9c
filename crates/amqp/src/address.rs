//! AMQP URLs with TLS parameters.

use std::net::IpAddr;
use std::time::Duration;
use std::{fmt, io};

use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use florin_tls::{Check, Client, ClientConfig, Names, take_parameters};
use lapin::tcp::{AMQPUriTcpExt, AsyncTcpStream, RustlsConnector};
use lapin::uri::{AMQPAuthority, AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties, ErrorKind};
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout};

use crate::screen::{Sockets, Stream};

/// URL parameters for TLS files, as RabbitMQ's own tools name them.
pub const TLS_PARAMETERS: [&str; 3] = ["cacertfile", "certfile", "keyfile"];

/// The settings of the service, and the URL parameters of any program that uses this crate.
const NAMES: Names = Names {
    ca: "broker.ca_file (in a URL: cacertfile)",
    cert: "broker.cert_file (in a URL: certfile)",
    key: "broker.key_file (in a URL: keyfile)",
    host: "broker.host (or broker.urls)",
};

/// The address of a broker.
///
/// `amqps://host/vhost` is TLS; the server's certificate is always verified, with its name. The parameters
/// `cacertfile` (trusted authorities, by default the system's), `certfile` and `keyfile` (client certificate
/// and key) name PEM files. They are read for each connection, so new files take effect with the next one.
#[derive(Clone)]
pub struct Address {
    uri: AMQPUri,
    tls: Option<Client>,
}

/// Why an address cannot be used. The URL is left out: it contains a password.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The URL cannot be parsed.
    #[error("the broker URL cannot be parsed: {0}")]
    Url(String),
    /// The URL names certificates, but does not use TLS (`amqps://`).
    #[error("the broker URL names certificates, so it must begin with amqps://")]
    Unencrypted,
    /// Several addresses that cannot be those of one broker.
    #[error("the broker URLs name different {0}: they must lead to the same broker")]
    Unlike(&'static str),
    /// The certificates cannot be loaded.
    #[error(transparent)]
    Tls(#[from] florin_tls::Error),
}

impl Address {
    /// Parses a URL and reads the files that it names, so that an unusable one is an error here.
    ///
    /// # Errors
    ///
    /// When the URL or a file cannot be used.
    pub fn parse(amqp_url: &str) -> Result<Self, AddressError> {
        let (url, files) = take_parameters(amqp_url, TLS_PARAMETERS);
        let uri: AMQPUri = url.parse().map_err(AddressError::Url)?;
        let [ca_file, cert_file, key_file] = files.map(|file| file.map(Into::into));
        let files = Client { names: &NAMES, ca_file, cert_file, key_file };
        let named = files.ca_file.is_some() || files.cert_file.is_some() || files.key_file.is_some();
        let tls = match uri.scheme {
            AMQPScheme::AMQPS => {
                files.config(Check::Full)?;
                Some(files)
            }
            AMQPScheme::AMQP if named => return Err(AddressError::Unencrypted),
            AMQPScheme::AMQP => None,
        };
        Ok(Self { uri, tls })
    }

    /// Defaults for what the URL does not set: the heartbeat in seconds, the maximum frame size in bytes.
    #[must_use]
    pub fn with_defaults(mut self, heartbeat: u16, frame_max: Option<u32>) -> Self {
        self.uri.query.heartbeat.get_or_insert(heartbeat);
        self.uri.query.frame_max = self.uri.query.frame_max.or(frame_max);
        self
    }

    /// Host, port, credentials and virtual host.
    #[must_use]
    pub const fn uri(&self) -> &AMQPUri {
        &self.uri
    }

    /// The TLS configuration, for callers that open a socket themselves; `None` for a plain `amqp://`.
    ///
    /// # Errors
    ///
    /// When a file cannot be read any more.
    pub fn tls_config(&self) -> Result<Option<ClientConfig>, florin_tls::Error> {
        self.tls.as_ref().map(|tls| tls.config(Check::Full)).transpose()
    }

    /// Names the setting to check after a TLS failure on a socket that the caller opened.
    #[must_use]
    pub fn explain(error: io::Error) -> io::Error {
        florin_tls::explain(&error, &NAMES).map_or(error, io::Error::other)
    }

    /// For messages: it has no secrets.
    #[must_use]
    pub fn host_and_port(&self) -> String {
        let AMQPAuthority { host, port, .. } = &self.uri.authority;
        format!("{host}:{port}")
    }

    /// Connects within this time. If the host has several IP addresses, they are tried one after the other, and
    /// each gets its share of the time that is left: one that swallows everything must not hide the others.
    pub(crate) async fn connect(
        &self,
        properties: &ConnectionProperties,
        limit: Duration,
    ) -> lapin::Result<Connection> {
        let deadline = Instant::now() + limit;
        let AMQPAuthority { host, port, .. } = &self.uri.authority;
        let found = timeout(limit, lookup_host((host.as_str(), *port))).await;
        let ips: Vec<IpAddr> = found.map_err(|_| too_slow(limit))??.map(|address| address.ip()).collect();
        self.connect_to_one_of(&ips, properties, deadline).await
    }

    async fn connect_to_one_of(
        &self,
        ips: &[IpAddr],
        properties: &ConnectionProperties,
        deadline: Instant,
    ) -> lapin::Result<Connection> {
        let mut last_error = io::Error::new(io::ErrorKind::NotFound, "the host has no address").into();
        for (tried, ip) in ips.iter().enumerate() {
            let share = share(deadline, ips.len() - tried);
            match timeout(share, self.connect_to(*ip, properties.clone())).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => last_error = error,
                Err(_) => last_error = too_slow(share).into(),
            }
        }
        Err(last_error)
    }

    /// The certificate is checked with the name of the host, whichever of its addresses answers. No message that
    /// arrives ends the connection (see [`crate::screen`]).
    async fn connect_to(&self, ip: IpAddr, properties: ConnectionProperties) -> lapin::Result<Connection> {
        let connector = self.tls_config().map_err(io::Error::other)?.map(RustlsConnector::from);
        let encrypted = connector.is_some();
        let tokio = Tokio::current();
        let sockets = Runtime::new(tokio.clone());
        let handshake = async move |uri: AMQPUri, _| {
            let authority = AMQPAuthority { host: ip.to_string(), ..uri.authority.clone() };
            let plain = AMQPUri { scheme: AMQPScheme::AMQP, authority, ..uri.clone() };
            let stream = plain.connect_async(&sockets).await?;
            let stream = match &connector {
                Some(connector) => stream.into_rustls(connector, &uri.authority.host).await?,
                None => stream,
            };
            Ok(AsyncTcpStream::Plain(Stream::new(stream)))
        };
        let runtime = Runtime::new(RuntimeParts::new(tokio.clone(), Sockets(tokio)));
        let connected = Connection::connector(self.uri.clone(), runtime, handshake, properties).await;
        connected.map_err(|error| if encrypted { explained(error) } else { error })
    }
}

/// The password must not reach a log.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.host_and_port()).finish()
    }
}

/// An equal part of the time until the deadline, for each of those left to try.
pub(crate) fn share(deadline: Instant, left: usize) -> Duration {
    let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
    deadline.saturating_duration_since(Instant::now()) / left
}

fn too_slow(limit: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {:.1} s", limit.as_secs_f64()))
}

/// The server refuses a client certificate only after the handshake, with its first answer.
fn explained(error: lapin::Error) -> lapin::Error {
    let ErrorKind::IOError(cause) = error.kind() else { return error };
    match florin_tls::explain(cause.as_ref(), &NAMES) {
        Some(text) => io::Error::new(cause.kind(), text).into(),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name may have the addresses of a node that is gone, and of one that swallows everything.
    #[tokio::test]
    async fn each_ip_address_of_a_host_is_tried() {
        let node = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = node.local_addr().unwrap().port();
        let silent = tokio::net::TcpListener::bind(("127.0.0.2", port)).await.unwrap();
        let address = Address::parse(&format!("amqp://broker:{port}")).unwrap();
        let ips = ["127.0.0.3", "127.0.0.2", "127.0.0.1"].map(|ip| ip.parse().unwrap());
        let properties = ConnectionProperties::default();
        let deadline = Instant::now() + Duration::from_secs(2);
        let connecting = address.connect_to_one_of(&ips, &properties, deadline);
        let (connected, accepted) = tokio::join!(connecting, node.accept());
        accepted.unwrap();
        assert!(connected.is_err(), "nobody speaks AMQP here");
        drop(silent);
    }
}
