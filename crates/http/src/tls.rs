//! Accepts connections, plain or TLS.
//!
//! Handshakes run concurrently, each with a time limit, so that a slow client delays nobody else; their
//! number is bounded. SIGHUP reloads the certificates for new connections; files that cannot be used change
//! nothing.

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

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Further connections wait to be accepted.
const MAX_HANDSHAKES: usize = 256;

/// The settings, as error texts name them.
const NAMES: Names =
    Names { ca: "http.client_ca_file", cert: "http.cert_file", key: "http.key_file", host: "http.host" };

/// The socket that HTTP is served on.
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

    pub(super) const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// # Errors
    ///
    /// When the operating system gives none.
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
                Some(()) = tls.hangups.recv() => tls.reload(),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
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

    async fn handshake(
        self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Option<(TlsStream<TcpStream>, SocketAddr)> {
        match timeout(HANDSHAKE_TIMEOUT, self.0.accept(stream)).await {
            Ok(Ok(stream)) => return Some((stream, peer)),
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
