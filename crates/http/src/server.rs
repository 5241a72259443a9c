//! Serves connections until shutdown: one task per connection.
//!
//! Whoever sends nothing, or reads nothing, is cut off sooner or later and keeps nobody out in the meantime. Why this is
//! not a ready-made server: `docs/decisions/0014-http-server.md`.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::{Connections, Place};
use super::health;
use super::problem::{Fault, Problem};
use super::seldom::Seldom;
use super::tls::{Acceptor, Listener};

const MAX_HEAD_BYTES: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;
/// Connections beyond the limit. They get health and metrics, and 503 for anything else.
const RESERVED: usize = 64;
/// What the limit of descriptors leaves to the broker, the database, files, and the reserved connections.
const RESERVED_DESCRIPTORS: usize = 256;
/// However few descriptors there are.
const FEWEST_CONNECTIONS: usize = 16;
/// For the last bytes on their way to a client, before its idle connection is closed.
const LAST_BYTES: Duration = Duration::from_secs(1);
/// When no connection can be accepted, for want of memory or descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// The limits of connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) connections: usize,
    /// For the head of the next request to arrive.
    pub(super) keep_alive: Duration,
    /// For a client to take more of an answer.
    pub(super) write: Duration,
    /// How long requests are still taken after the shutdown began.
    pub(super) drain: Duration,
    /// How long those in progress are waited for after that.
    pub(super) finish: Duration,
}

impl Limits {
    /// As many connections as there can be descriptors for.
    pub(super) fn affordable(self) -> Self {
        let wanted = self.connections + RESERVED_DESCRIPTORS;
        let available = match rlimit::increase_nofile_limit(wanted as u64) {
            Ok(descriptors) => usize::try_from(descriptors).unwrap_or(usize::MAX),
            Err(error) => {
                tracing::warn!(%error, "the limit of open files cannot be raised");
                return self;
            }
        };
        let connections = available.saturating_sub(RESERVED_DESCRIPTORS).max(FEWEST_CONNECTIONS);
        if connections >= self.connections {
            return self;
        }
        tracing::warn!(
            open_files = available,
            connections,
            max_connections = self.connections,
            "fewer HTTP connections than http.max_connections: raise the hard limit of open files (ulimit -Hn)"
        );
        Self { connections, ..self }
    }
}

struct Server {
    http: http1::Builder,
    router: Router,
    limits: Limits,
    connections: Arc<Connections>,
    reserved: Arc<Connections>,
    /// The shutdown has begun: every answer is the last one of its connection.
    draining: CancellationToken,
    /// No more requests are taken.
    closing: CancellationToken,
}

/// A connection that was let in.
struct Visit {
    peer: IpAddr,
    place: Arc<Place>,
    is_reserved: bool,
}

type Tcp = Pin<Box<TimeoutStream<TcpStream>>>;
type Stream = Either<Tcp, TlsStream<Tcp>>;

/// Ends when the last request in progress was answered, or their time is over.
pub(super) async fn serve(mut listener: Listener, router: Router, shutdown: CancellationToken) {
    let limits = listener.limits();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.keep_alive);
    // hyper counts what it has read, which may be more than the head: the head itself is measured below.
    http.max_buf_size(2 * MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
    let server = Arc::new(Server {
        http,
        router,
        limits,
        connections: Connections::new(limits.connections),
        reserved: Connections::new(RESERVED),
        draining: shutdown.clone(),
        closing: CancellationToken::new(),
    });
    let tasks = TaskTracker::new();
    let mut drained = pin!(async {
        shutdown.cancelled().await;
        sleep(limits.drain).await;
    });
    let (mut full, mut failed) = (Seldom::default(), Seldom::default());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut drained => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Some(visit) = server.admit(peer, &mut full) {
                    tasks.spawn(Arc::clone(&server).attend(stream, listener.acceptor(), visit));
                }
            }
            Err(error) => {
                server.connections.evict();
                if let Some(before) = failed.due() {
                    tracing::warn!(%error, before, "no HTTP connection can be accepted, retrying");
                }
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    server.closing.cancel();
    tasks.close();
    if timeout(limits.finish, tasks.wait()).await.is_err() {
        tracing::warn!(connections = tasks.len(), "HTTP requests were not answered in time and are cut off");
    }
}

impl Server {
    fn admit(&self, peer: SocketAddr, full: &mut Seldom) -> Option<Visit> {
        let peer = peer.ip();
        if let Some(place) = self.connections.enter(peer) {
            return Some(Visit { peer, place, is_reserved: false });
        }
        let place = self.reserved.enter(peer);
        if let Some(before) = full.due() {
            let closed = place.is_none();
            let max_connections = self.limits.connections;
            tracing::warn!(%peer, closed, before, max_connections, "too many HTTP connections with requests in progress");
        }
        place.map(|place| Visit { peer, place, is_reserved: true })
    }

    async fn attend(self: Arc<Self>, stream: TcpStream, acceptor: Option<Acceptor>, visit: Visit) {
        let peer = visit.peer;
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.limits.write));
        let stream = Box::pin(stream);
        let stream = match acceptor {
            None => Either::Left(stream),
            Some(acceptor) => {
                let shaken = tokio::select! {
                    shaken = acceptor.handshake(stream, peer) => shaken,
                    () = self.over(&visit.place) => None,
                };
                let Some(stream) = shaken else { return };
                Either::Right(stream)
            }
        };
        if let Err(error) = self.converse(stream, visit).await {
            tracing::debug!(%peer, %error, "HTTP connection failed");
        }
    }

    async fn converse(self: Arc<Self>, stream: Stream, visit: Visit) -> Result<(), hyper::Error> {
        let Visit { place, is_reserved, .. } = visit;
        let (server, of_request) = (Arc::clone(&self), Arc::clone(&place));
        let service = service_fn(move |request| {
            let (server, place) = (Arc::clone(&server), Arc::clone(&of_request));
            async move { Ok::<_, Infallible>(server.answer(request, &place, is_reserved).await) }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = self.over(&place) => {}
        }
        connection.as_mut().graceful_shutdown();
        loop {
            tokio::select! {
                ended = connection.as_mut() => return ended,
                () = sleep(LAST_BYTES) => {
                    if !place.is_busy() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Resolves when a connection ends with the request in progress.
    async fn over(&self, place: &Place) {
        tokio::select! {
            () = place.evicted() => {}
            () = self.closing.cancelled() => {}
        }
    }

    async fn answer(&self, request: Request<Incoming>, place: &Arc<Place>, is_reserved: bool) -> Response {
        let busy = place.begin();
        let (head, body) = request.into_parts();
        let mut response = if head_bytes(&head) > MAX_HEAD_BYTES {
            let reason = format!("the head of the request has more than {MAX_HEAD_BYTES} bytes");
            Problem::new(Fault::HeadTooLarge, reason).into_response()
        } else if is_reserved && !health::PATHS.contains(&head.uri.path()) {
            Problem::new(Fault::Overloaded, "too many connections with requests in progress").into_response()
        } else {
            let router = TowerToHyperService::new(self.router.clone());
            let Ok(response) = router.call(Request::from_parts(head, body)).await;
            response
        };
        if is_reserved || place.is_evicted() || self.draining.is_cancelled() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        // The request is in progress as long as its response has a body to send.
        response.map(|body| {
            Body::new(body.map_err(move |error| {
                let _ = &busy;
                error
            }))
        })
    }
}

/// The bytes of a head as clients write it: `GET /path HTTP/1.1` and `name: value`, each with its end of line.
fn head_bytes(head: &Parts) -> usize {
    let target = head.uri.path_and_query().map_or(1, |target| target.as_str().len());
    let host = head.uri.authority().map_or(0, |host| "http://".len() + host.as_str().len());
    let line = head.method.as_str().len() + " ".len() + host + target + " HTTP/1.1\r\n".len();
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    line + fields.sum::<usize>() + "\r\n".len()
}
