//! Accepts connections, and makes them TLS connections if that is configured.
//!
//! Every handshake is a task of its own with a time limit, so that a slow client delays nobody else. SIGHUP reloads the
//! certificates for new connections; files that cannot be used change nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use florin_tls::{Names, Server};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Error;
use super::server::Limits;
use crate::settings::Settings;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The settings, as error texts name them.
const NAMES: Names =
    Names { ca: "http.client_ca_file", cert: "http.cert_file", key: "http.key_file", host: "http.host" };

/// The socket that HTTP is served on.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    limits: Limits,
    tls: Option<Tls>,
}

#[derive(Debug)]
struct Tls {
    files: Server,
    acceptor: Acceptor,
    hangups: Signal,
}

#[derive(Clone)]
pub(super) struct Acceptor(TlsAcceptor);

impl Listener {
    pub(super) fn new(tcp: TcpListener, config: &Settings) -> Result<Self, Error> {
        let limits = config.limits().affordable();
        let (Some(cert_file), Some(key_file)) = (&config.cert_file, &config.key_file) else {
            return Ok(Self { tcp, limits, tls: None });
        };
        let files = Server {
            names: &NAMES,
            cert_file: cert_file.clone(),
            key_file: key_file.clone(),
            client_ca_file: config.client_ca_file.clone(),
        };
        let acceptor = Acceptor::read(&files)?;
        let hangups = signal(SignalKind::hangup()).map_err(Error::Signal)?;
        Ok(Self { tcp, limits, tls: Some(Tls { files, acceptor, hangups }) })
    }

    pub(super) const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(super) const fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn acceptor(&self) -> Option<Acceptor> {
        self.tls.as_ref().map(|tls| tls.acceptor.clone())
    }

    /// # Errors
    ///
    /// When the operating system gives none.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// The next connection; an error when the system has no room for one.
    pub(super) async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            let hangup = async {
                match &mut self.tls {
                    Some(tls) => {
                        tls.hangups.recv().await;
                        tls.reload();
                    }
                    None => std::future::pending().await,
                }
            };
            let accepted = tokio::select! {
                accepted = self.tcp.accept() => accepted,
                () = hangup => continue,
            };
            match accepted {
                Err(error) if is_of_client(&error) => tracing::debug!(%error, "HTTP connection not accepted"),
                accepted => return accepted,
            }
        }
    }
}

/// The client went away before it was accepted.
fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

impl Tls {
    fn reload(&mut self) {
        match Acceptor::read(&self.files) {
            Ok(acceptor) => {
                self.acceptor = acceptor;
                tracing::info!("HTTP certificates reloaded");
            }
            Err(error) => tracing::error!(%error, "HTTP certificates not reloaded: the old ones stay in use"),
        }
    }
}

impl Acceptor {
    fn read(files: &Server) -> Result<Self, florin_tls::Error> {
        let mut config = files.config()?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        stream: S,
        peer: IpAddr,
    ) -> Option<TlsStream<S>> {
        match timeout(HANDSHAKE_TIMEOUT, self.0.accept(stream)).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake timed out"),
        }
        None
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}
