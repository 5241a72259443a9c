//! AMQP URLs with TLS parameters.

use std::io;

use florin_tls::{Check, Client, ClientConfig, Names, take_parameters};
use lapin::tcp::{AMQPUriTcpExt, RustlsConnector};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties, ErrorKind};

/// URL parameters for TLS files, as RabbitMQ's own tools name them.
pub const TLS_PARAMETERS: [&str; 3] = ["cacertfile", "certfile", "keyfile"];

/// The settings of the service, and the URL parameters of any program that uses this crate.
const NAMES: Names = Names {
    ca: "broker.ca_file (in a URL: cacertfile)",
    cert: "broker.cert_file (in a URL: certfile)",
    key: "broker.key_file (in a URL: keyfile)",
    host: "broker.host (or broker.url)",
};

/// The address of a broker.
///
/// `amqps://host/vhost` is TLS; the server's certificate is always verified, with its name. The parameters
/// `cacertfile` (trusted authorities, by default the system's), `certfile` and `keyfile` (client certificate
/// and key) name PEM files. They are read for each connection, so new files take effect with the next one.
#[derive(Debug, Clone)]
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

    /// Connects, without a time limit.
    ///
    /// # Errors
    ///
    /// When the broker cannot be reached or refuses, or the TLS handshake fails: the text then names the
    /// setting to check.
    pub async fn connect(&self, properties: ConnectionProperties) -> lapin::Result<Connection> {
        let Some(config) = self.tls_config().map_err(io::Error::other)? else {
            return Connection::connect_uri(self.uri.clone(), properties).await;
        };
        let connector = RustlsConnector::from(config);
        let handshake = async move |uri: AMQPUri, runtime| {
            let plain = AMQPUri { scheme: AMQPScheme::AMQP, ..uri.clone() };
            let stream = plain.connect_async(&runtime).await?;
            Ok(stream.into_rustls(&connector, &uri.authority.host).await?)
        };
        let runtime = lapin::runtime::default_runtime()?;
        Connection::connector(self.uri.clone(), runtime, handshake, properties).await.map_err(explained)
    }
}

/// The server refuses a client certificate only after the handshake, with its first answer.
fn explained(error: lapin::Error) -> lapin::Error {
    let ErrorKind::IOError(cause) = error.kind() else { return error };
    match florin_tls::explain(cause.as_ref(), &NAMES) {
        Some(text) => io::Error::new(cause.kind(), text).into(),
        None => error,
    }
}
