//! Where the broker is: a URL, and the certificates that it names.

use std::io;

use florin_tls::{Check, Client, ClientConfig, Names, take_parameters};
use lapin::tcp::{AMQPUriTcpExt, RustlsConnector};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties, ErrorKind};

/// What RabbitMQ's own tools call the files in a URL.
pub const TLS_PARAMETERS: [&str; 3] = ["cacertfile", "certfile", "keyfile"];

/// What the user calls them: of the service, or of any program that uses this crate.
const NAMES: Names = Names {
    ca: "broker.ca_file (in a URL: cacertfile)",
    cert: "broker.cert_file (in a URL: certfile)",
    key: "broker.key_file (in a URL: keyfile)",
    host: "broker.host (or broker.url)",
};

/// Where a broker is.
///
/// `amqps://host/vhost` is TLS, and the server's certificate is always checked, with its name. The parameters
/// `cacertfile` (who is trusted; those whom the system trusts when it is missing), `certfile` and `keyfile` (our
/// certificate and its key) name files in PEM. They are read for each connection, so new ones count from the next.
#[derive(Debug, Clone)]
pub struct Address {
    uri: AMQPUri,
    tls: Option<Client>,
}

/// Why an address cannot be used. The URL is left out: it holds a password.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The URL cannot be read.
    #[error("the URL of the broker cannot be read: {0}")]
    Url(String),
    /// There are certificates, and nothing would be encrypted.
    #[error("the URL of the broker names certificates, so it has to begin with amqps://")]
    Unencrypted,
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] florin_tls::Error),
}

impl Address {
    /// Reads a URL, and once the files that it names, so that a wrong one is found at once.
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

    /// How the connection behaves when the URL does not say: seconds between heartbeats, bytes of a frame.
    #[must_use]
    pub fn with_defaults(mut self, heartbeat: u16, frame_max: Option<u32>) -> Self {
        self.uri.query.heartbeat.get_or_insert(heartbeat);
        self.uri.query.frame_max = self.uri.query.frame_max.or(frame_max);
        self
    }

    /// Host, port, user and virtual host.
    #[must_use]
    pub const fn uri(&self) -> &AMQPUri {
        &self.uri
    }

    /// What a TLS connection made by other means needs; `None` when it is not to be encrypted.
    ///
    /// # Errors
    ///
    /// When a file cannot be used any more.
    pub fn tls_config(&self) -> Result<Option<ClientConfig>, florin_tls::Error> {
        self.tls.as_ref().map(|tls| tls.config(Check::Full)).transpose()
    }

    /// Says which setting a failed connection made by other means is about.
    #[must_use]
    pub fn explain(error: io::Error) -> io::Error {
        florin_tls::explain(&error, &NAMES).map_or(error, io::Error::other)
    }

    /// Connects, without a time limit.
    ///
    /// # Errors
    ///
    /// When the broker cannot be reached or refuses, or when the TLS handshake fails: the text then says which
    /// setting to look at.
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

/// A refusal of our certificate arrives after the handshake, with the first answer.
fn explained(error: lapin::Error) -> lapin::Error {
    let ErrorKind::IOError(cause) = error.kind() else { return error };
    match florin_tls::explain(cause.as_ref(), &NAMES) {
        Some(text) => io::Error::new(cause.kind(), text).into(),
        None => error,
    }
}
