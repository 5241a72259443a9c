//! A small TCP proxy between two processes, whose connections can be hurt on purpose.
//!
//! What goes through is followed closely enough (`frames`, `postgres`, `amqp`) to cut at the worst moments:
//! after a COMMIT and before its answer, or right behind a published message. The protocol is told by the
//! first bytes of a connection; encrypted ones pass through, but nothing in them can be recognized.
//!
//! In this order: the modes, the proxy and its listener; `link` is one connection.

mod amqp;
mod frames;
mod link;
mod postgres;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// What the proxy does with its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Everything passes.
    #[default]
    Open,
    /// All connections are cut, and so is each new one at once.
    Cut,
    /// Every chunk is delayed by this long, in both directions.
    Delay(Duration),
    /// The throughput of each direction of each connection is limited.
    Throttle { bytes_per_sec: u32 },
    /// Connections are taken and kept, and nothing goes through. What was held goes on after the next change.
    BlackHole,
    /// The next commit that a client of PostgreSQL sends does not arrive: its connection is cut. Then
    /// [`Mode::Open`].
    CutBeforeCommit,
    /// The next commit that a client of PostgreSQL sends is done, its answer is thrown away, and the
    /// connection is cut: the client cannot know. Then [`Mode::Open`].
    CutAfterCommit,
    /// The connection over which the next whole AMQP message is published is cut right behind it. Then
    /// [`Mode::Open`].
    CutAfterPublish,
    /// The first connection over which a client has sent this many more bytes is cut. Then [`Mode::Open`].
    CutAfterBytes(u64),
}

impl Mode {
    const fn is_armed(self) -> bool {
        matches!(
            self,
            Self::CutBeforeCommit | Self::CutAfterCommit | Self::CutAfterPublish | Self::CutAfterBytes(_)
        )
    }
}

/// A proxy on a free port of 127.0.0.1. Dropping it cuts all connections and ends it.
///
/// It may lead to several servers: each connection goes to the next of them that takes it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    control: Control,
    listener: AbortHandle,
}

impl Proxy {
    /// Starts a proxy in the present runtime. `upstream` need not be there yet, nor stay: it is connected to
    /// once for each connection.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        Self::start_to(vec![upstream], false)
    }

    /// The same, to several servers.
    pub fn start_to_any(upstreams: Vec<SocketAddr>) -> io::Result<Self> {
        Self::start_to(upstreams, false)
    }

    /// The same, for a protocol that it does not know and must not take for another one.
    pub fn start_blind(upstream: SocketAddr) -> io::Result<Self> {
        Self::start_to(vec![upstream], true)
    }

    fn start_to(upstreams: Vec<SocketAddr>, is_blind: bool) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let control = Control { is_blind, ..Control::default() };
        control.upstreams.send_replace(upstreams);
        let listener = tokio::spawn(listen(listener, control.clone())).abort_handle();
        Ok(Self { address, control, listener })
    }

    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets new connections go to this server from now on.
    pub fn lead_to(&self, upstream: SocketAddr) {
        self.control.upstreams.send_replace(vec![upstream]);
    }

    /// Changes what it does, at once and also for the connections that there are.
    pub fn set(&self, mode: Mode) {
        self.control.state.send_modify(|state| {
            state.mode = mode;
            state.cuts += u64::from(mode == Mode::Cut);
        });
    }

    /// What it does now. A mode that cuts at some moment is [`Mode::Open`] after it.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.control.state.borrow().mode
    }

    /// How often a moment to cut has come, ever.
    #[must_use]
    pub fn moments(&self) -> u64 {
        self.control.moments.load(Ordering::Relaxed)
    }

    /// Waits until the mode is open: after the moment for which it was set, or after a change.
    pub async fn until_open(&self) {
        let mut state = self.control.state.subscribe();
        // The sender is ours: it is there.
        let _ = state.wait_for(|state| state.mode == Mode::Open).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The connections are tasks of the listener's and end with it.
        self.listener.abort();
    }
}

/// The present mode, and how often all connections were cut: a cut counts also when the mode has changed
/// again.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    mode: Mode,
    cuts: u64,
}

/// What the proxy and its connections share.
#[derive(Debug, Clone, Default)]
struct Control {
    state: watch::Sender<State>,
    moments: Arc<AtomicU64>,
    upstreams: watch::Sender<Vec<SocketAddr>>,
    /// How many connections there were.
    turns: Arc<AtomicUsize>,
    /// Whether what goes through is not looked at.
    is_blind: bool,
}

impl Control {
    /// Connects to the next server that takes it.
    async fn connect(&self) -> io::Result<TcpStream> {
        let upstreams = self.upstreams.borrow().clone();
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let mut refused = io::Error::other("the proxy leads nowhere");
        for place in 0..upstreams.len() {
            match TcpStream::connect(upstreams[(turn + place) % upstreams.len()]).await {
                Ok(server) => return Ok(server),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// The moment for which this mode was set has come. It comes once: false when another connection was
    /// first.
    fn take_moment(&self, mode: Mode) -> bool {
        let taken = self.state.send_if_modified(|state| {
            let ours = state.mode == mode && mode.is_armed();
            if ours {
                state.mode = Mode::Open;
            }
            ours
        });
        self.moments.fetch_add(u64::from(taken), Ordering::Relaxed);
        taken
    }
}

async fn listen(listener: TcpListener, control: Control) {
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => drop(links.spawn(serve(client, control.clone()))),
                // Too many open files, or a client that is gone already.
                Err(error) => tracing::debug!(%error, "a connection was not accepted"),
            },
            Some(_) = links.join_next() => {}
        }
    }
}

async fn serve(client: TcpStream, control: Control) {
    if let Err(error) = link::run(client, &control).await {
        tracing::debug!(%error, "a connection through the proxy ended");
    }
}
