//! One connection through the proxy: two pumps, each of which holds one piece at a time.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::amqp::Amqp;
use super::postgres::{Commit, Postgres};
use super::{Control, Mode, State};

const PIECE_BYTES: usize = 64 * 1024;
/// Chunks per second of a throttled connection.
const PIECES_PER_SEC: u32 = 10;
/// How long the other side may take to read what was sent before a cut.
const READ_LIMIT: Duration = Duration::from_secs(2);

enum End {
    /// Both sides have closed it.
    Closed,
    /// It breaks, and what is under way is lost.
    Cut,
    /// It breaks for the client, when the server has read what was sent.
    CutAfterSend,
}

/// Why a pump stops: an error, or an end of the whole connection.
enum Stop {
    Failed(io::Error),
    Ends(End),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Forwards between a client and the server, as the mode says, until either closes.
pub(super) async fn run(mut client: TcpStream, control: &Control) -> io::Result<()> {
    let mut state = control.state.subscribe();
    let State { mode, cuts } = *state.borrow_and_update();
    if mode == Mode::Cut {
        return client.set_zero_linger();
    }
    let cut = async {
        // The sender is in `control`: it is there.
        let _ = state.wait_for(|state| state.cuts != cuts).await;
    };
    let mut server = None;
    let both = async {
        held(&mut control.state.subscribe()).await;
        let server = server.insert(control.connect().await?);
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let protocol = if control.is_blind { Protocol::Other } else { Protocol::Unknown };
        let talk = Mutex::new(Talk { protocol, doomed: None });
        let forth = Pump { control, talk: &talk, from: from_client, to: to_server };
        let back = Pump { control, talk: &talk, from: from_server, to: to_client };
        match tokio::try_join!(forth.requests(), back.answers()) {
            Ok(((), ())) => Ok(End::Closed),
            Err(Stop::Ends(end)) => Ok(end),
            Err(Stop::Failed(error)) => Err(error),
        }
    };
    let end = tokio::select! {
        end = both => end,
        () = cut => Ok(End::Cut),
    };
    match end {
        Ok(End::Closed) => return Ok(()),
        Ok(End::CutAfterSend) => {
            if let Some(server) = &mut server {
                let _ = timeout(READ_LIMIT, finish(server)).await;
            }
        }
        Ok(End::Cut) | Err(_) => {
            if let Some(server) = &server {
                server.set_zero_linger()?;
            }
        }
    }
    client.set_zero_linger()?;
    end.map(drop)
}

/// Says that no more comes, and reads until the server has taken note: by then it has read all.
async fn finish(server: &mut TcpStream) -> io::Result<()> {
    server.shutdown().await?;
    let mut rest = vec![0; PIECE_BYTES];
    while server.read(&mut rest).await? > 0 {}
    Ok(())
}

/// Waits while nothing may go through.
async fn held(state: &mut watch::Receiver<State>) {
    let _ = state.wait_for(|state| state.mode != Mode::BlackHole).await;
}

/// What client and server say, as far as it is followed.
#[derive(Debug)]
struct Talk {
    protocol: Protocol,
    /// Answers are dropped until the server was ready this many times; then the connection is cut.
    doomed: Option<u64>,
}

#[derive(Debug)]
enum Protocol {
    Unknown,
    Postgres(Box<Postgres>),
    Amqp(Amqp),
    Other,
}

/// What stands in a piece from the client.
#[derive(Debug, Default)]
struct Found {
    commit: Option<Commit>,
    /// After this many bytes a published message is complete.
    published: Option<usize>,
}

impl Talk {
    fn sent(&mut self, piece: &[u8]) -> Found {
        if matches!(self.protocol, Protocol::Unknown) {
            self.protocol = match piece.first() {
                Some(b'A') => Protocol::Amqp(Amqp::default()),
                // The highest byte of the length of the first message.
                Some(0) => Protocol::Postgres(Box::default()),
                _ => Protocol::Other,
            };
        }
        match &mut self.protocol {
            Protocol::Postgres(postgres) => Found { commit: postgres.sent(piece), ..Found::default() },
            Protocol::Amqp(amqp) => Found { published: amqp.sent(piece), ..Found::default() },
            Protocol::Unknown | Protocol::Other => Found::default(),
        }
    }

    fn ready(&mut self, piece: &[u8]) -> u64 {
        match &mut self.protocol {
            Protocol::Postgres(postgres) => postgres.answered(piece),
            _ => 0,
        }
    }
}

struct Pump<'a> {
    control: &'a Control,
    talk: &'a Mutex<Talk>,
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
}

impl Pump<'_> {
    /// From the client to the server.
    async fn requests(mut self) -> Result<(), Stop> {
        let mut state = self.control.state.subscribe();
        let mut buffer = vec![0; PIECE_BYTES];
        let mut sent_armed = 0;
        loop {
            let piece = read(&mut self.from, &mut buffer, &mut state).await?;
            if piece.is_empty() {
                return Ok(self.to.shutdown().await?);
            }
            let mode = waited(&mut state, piece.len()).await;
            let found = self.talk().sent(piece);
            let sent_before = sent_armed;
            sent_armed = match mode {
                Mode::CutAfterBytes(_) => sent_before + piece.len() as u64,
                _ => 0,
            };
            match (mode, found) {
                (Mode::CutBeforeCommit, Found { commit: Some(Commit { start, .. }), .. })
                    if self.control.take_moment(mode) =>
                {
                    self.to.write_all(&piece[..start]).await?;
                    return Err(Stop::Ends(End::Cut));
                }
                (Mode::CutAfterCommit, Found { commit: Some(Commit { ready, .. }), .. })
                    if self.control.take_moment(mode) =>
                {
                    self.talk().doomed = Some(ready);
                }
                (Mode::CutAfterPublish, Found { published: Some(end), .. })
                    if self.control.take_moment(mode) =>
                {
                    self.to.write_all(&piece[..end]).await?;
                    return Err(Stop::Ends(End::CutAfterSend));
                }
                (Mode::CutAfterBytes(limit), _) if sent_armed >= limit && self.control.take_moment(mode) => {
                    let end = usize::try_from(limit.saturating_sub(sent_before)).unwrap_or(piece.len());
                    self.to.write_all(&piece[..end.min(piece.len())]).await?;
                    return Err(Stop::Ends(End::CutAfterSend));
                }
                _ => {}
            }
            self.to.write_all(piece).await?;
        }
    }

    /// From the server to the client.
    async fn answers(mut self) -> Result<(), Stop> {
        let mut state = self.control.state.subscribe();
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let piece = read(&mut self.from, &mut buffer, &mut state).await?;
            if piece.is_empty() {
                return Ok(self.to.shutdown().await?);
            }
            waited(&mut state, piece.len()).await;
            let (doomed, ready) = {
                let mut talk = self.talk();
                (talk.doomed, talk.ready(piece))
            };
            match doomed {
                None => self.to.write_all(piece).await?,
                Some(answered) if ready >= answered => return Err(Stop::Ends(End::Cut)),
                Some(_) => {}
            }
        }
    }

    fn talk(&self) -> MutexGuard<'_, Talk> {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next piece; an empty one at the end. A throttled connection has small ones, so that it flows evenly.
async fn read<'a>(
    from: &mut ReadHalf<'_>,
    buffer: &'a mut [u8],
    state: &mut watch::Receiver<State>,
) -> io::Result<&'a [u8]> {
    from.readable().await?;
    let most = match state.borrow_and_update().mode {
        Mode::Throttle { bytes_per_sec } => (bytes_per_sec / PIECES_PER_SEC).max(1) as usize,
        _ => PIECE_BYTES,
    };
    let count = from.read(&mut buffer[..most.min(PIECE_BYTES)]).await?;
    Ok(&buffer[..count])
}

/// Waits as the mode demands for a piece of this size, and returns the mode in which it goes on. A change of
/// the mode is heeded at once.
async fn waited(state: &mut watch::Receiver<State>, bytes: usize) -> Mode {
    loop {
        held(state).await;
        let mode = state.borrow_and_update().mode;
        let pause = match mode {
            Mode::Delay(pause) => pause,
            Mode::Throttle { bytes_per_sec } => {
                let nanos = bytes as u64 * 1_000_000_000 / u64::from(bytes_per_sec.max(1));
                Duration::from_nanos(nanos)
            }
            _ => return mode,
        };
        tokio::select! {
            () = sleep(pause) => return mode,
            // Its sender is in the pump: it is there.
            _ = state.changed() => {}
        }
    }
}
