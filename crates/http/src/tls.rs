//! Accepts connections, plain or by TLS.
//!
//! Handshakes run beside each other, each with a time limit, so that a slow client holds up nobody else; beyond
//! a number of them, further connections wait in the system. SIGHUP reads the certificates again: those that are
//! there keep what they have, and files that cannot be used change nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener as Accept;
use florin_tls::{Names, Server};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::Error;
use crate::settings::Settings;

/// How long a client may take for the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Handshakes that run at a time.
const MAX_HANDSHAKES: usize = 256;

/// What the user calls the settings.
const NAMES: Names =
    Names { ca: "http.client_ca_file", cert: "http.cert_file", key: "http.key_file", host: "http.host" };

/// Where HTTP is served.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Tls>,
}

#[derive(Debug)]
struct Tls {
    files: Server,
    acceptor: Acceptor,
    hangups: Signal,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl Listener {
    /// TLS when the configuration names a certificate.
    pub(super) fn new(tcp: TcpListener, config: &Settings) -> Result<Self, Error> {
        let (Some(cert_file), Some(key_file)) = (&config.cert_file, &config.key_file) else {
            return Ok(Self { tcp, tls: None });
        };
        let files = Server {
            names: &NAMES,
            cert_file: cert_file.clone(),
            key_file: key_file.clone(),
            client_ca_file: config.client_ca_file.clone(),
        };
        let acceptor = Acceptor::read(&files)?;
        let hangups = signal(SignalKind::hangup()).map_err(Error::Signal)?;
        Ok(Self { tcp, tls: Some(Tls { files, acceptor, hangups, handshakes: JoinSet::new() }) })
    }

    /// Whether it speaks TLS.
    pub(super) const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl Accept for Listener {
    type Io = Either<TcpStream, TlsStream<TcpStream>>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        let Some(tls) = &mut self.tls else {
            let (stream, peer) = Accept::accept(&mut self.tcp).await;
            return (Either::Left(stream), peer);
        };
        loop {
            let has_room = tls.handshakes.len() < MAX_HANDSHAKES;
            tokio::select! {
                Some(shaken) = tls.handshakes.join_next() => {
                    if let Ok(Some((stream, peer))) = shaken {
                        return (Either::Right(stream), peer);
                    }
                }
                (stream, peer) = Accept::accept(&mut self.tcp), if has_room => {
                    tls.handshakes.spawn(tls.acceptor.clone().handshake(stream, peer));
                }
                Some(()) = tls.hangups.recv() => tls.read_again(),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl Tls {
    fn read_again(&mut self) {
        match Acceptor::read(&self.files) {
            Ok(acceptor) => {
                self.acceptor = acceptor;
                tracing::info!("the certificates of HTTP were read again");
            }
            Err(error) => tracing::error!(%error, "the certificates of HTTP stay as they were"),
        }
    }
}

impl Acceptor {
    fn read(files: &Server) -> Result<Self, florin_tls::Error> {
        let mut config = files.config()?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    async fn handshake(
        self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Option<(TlsStream<TcpStream>, SocketAddr)> {
        match timeout(HANDSHAKE_TIMEOUT, self.0.accept(stream)).await {
            Ok(Ok(stream)) => return Some((stream, peer)),
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
        None
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}
