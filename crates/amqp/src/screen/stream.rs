//! The bytes that the broker sends, frame by frame.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_rs::Tokio;
use async_rs::traits::Reactor;
use futures_util::io::{AsyncRead, AsyncWrite};
use lapin::tcp::AsyncTcpStream;

use super::frame::{END_BYTES, HEADER, METHOD, START_BYTES, readable};

/// How much is read at a time.
const CHUNK_BYTES: usize = 65_536;
/// No frame of a method or of properties is longer: if one says so, lapin may see to it.
const MAX_SCREENED_BYTES: usize = 1 << 20;

type Plain = AsyncTcpStream<<Tokio as Reactor>::TcpStream>;

/// A connection to the broker, plain or TLS, that passes on what lapin can read.
pub(crate) struct Stream {
    inner: Plain,
    chunk: Box<[u8]>,
    screen: Screen,
}

impl Stream {
    pub(crate) fn new(inner: Plain) -> Self {
        Self { inner, chunk: vec![0; CHUNK_BYTES].into(), screen: Screen::default() }
    }
}

/// What was read and not passed on yet.
#[derive(Default)]
pub(super) struct Screen {
    buffer: Vec<u8>,
    /// So many bytes of it were passed on.
    passed: usize,
    /// So many bytes of it can be passed on.
    screened: usize,
    /// So many of the bytes to come belong to a frame that needs no screening.
    unscreened: usize,
}

impl Screen {
    /// Takes what was read.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.passed);
        self.screened -= self.passed;
        self.passed = 0;
        self.buffer.extend_from_slice(bytes);
        self.advance();
    }

    /// Passes on what it can, and says how many bytes that were.
    pub(super) fn pass(&mut self, to: &mut [u8]) -> usize {
        let length = to.len().min(self.screened - self.passed);
        to[..length].copy_from_slice(&self.buffer[self.passed..self.passed + length]);
        self.passed += length;
        length
    }

    /// Screens all frames that are complete.
    fn advance(&mut self) {
        loop {
            let passing = self.unscreened.min(self.buffer.len() - self.screened);
            self.screened += passing;
            self.unscreened -= passing;
            let rest = &self.buffer[self.screened..];
            let Some(&[kind, _, _, a, b, c, d]) = rest.first_chunk::<START_BYTES>() else { return };
            let payload_bytes = u32::from_be_bytes([a, b, c, d]) as usize;
            let length = START_BYTES + payload_bytes + END_BYTES;
            if !matches!(kind, METHOD | HEADER) || length > MAX_SCREENED_BYTES {
                self.unscreened = length;
                continue;
            }
            let Some(frame) = rest.get(..length) else { return };
            match readable(frame) {
                None => self.screened += length,
                Some(readable) => {
                    self.buffer.splice(self.screened..self.screened + length, readable.iter().copied());
                    self.screened += readable.len();
                }
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        let Self { inner, chunk, screen } = &mut *self;
        loop {
            let passed = screen.pass(to);
            if passed > 0 || to.is_empty() {
                return Poll::Ready(Ok(passed));
            }
            match ready!(Pin::new(&mut *inner).poll_read(cx, chunk))? {
                0 => return Poll::Ready(Ok(0)),
                read => screen.add(&chunk[..read]),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

/// Tells lapin the type of its streams. The streams themselves are made by [`crate::Address::connect`].
#[derive(Debug, Clone)]
pub(crate) struct Sockets(pub(crate) Tokio);

impl Reactor for Sockets {
    type TcpStream = Stream;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<Stream, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl futures_util::Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Stream>> + Send + 'static {
        let connecting = self.0.tcp_connect_addr(address);
        async { Ok(Stream::new(Plain::Plain(connecting.await?))) }
    }
}
