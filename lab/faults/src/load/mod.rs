//! The load: several clients, each with many requests at a time, that record what they do.
//!
//! `choose` makes requests, `link` keeps the connection to the broker, `http` sends over HTTP, `send` sends
//! one request until its outcome is known.

mod choose;
mod http;
pub(crate) mod link;
mod send;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;
use florin_wire::Reply;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::choose::Memory;
use self::http::Http;
use self::link::Link;
use crate::history::{self, History, What};
use crate::plan::Settings;
use crate::world::INSTANCES;

/// Requests of a client at a time.
const WORKERS: usize = 6;
/// The longest pause of a worker between two requests.
const REST_MS: u64 = 90;

/// The wallets: a few of them get most of the requests.
pub const WALLETS: i64 = 400;
pub const HOT_WALLETS: i64 = 4;
/// The tickers, with their decimal places.
pub const TICKERS: [(&str, u8); 3] = [("USD", 2), ("EUR", 2), ("USDT", 6)];

#[derive(Debug)]
pub struct Pulse {
    /// When the latest request was sent that has an answer.
    answered: watch::Sender<Instant>,
    /// Requests sent for the first time.
    pub requests: AtomicU64,
    pub answers: AtomicU64,
    /// Attempts that nobody knew the outcome of.
    pub unknown: AtomicU64,
    /// Requests that had such an attempt and got their answer after all.
    pub resolved: AtomicU64,
    /// How often clients are asked to send copies of old requests.
    copies: watch::Sender<u64>,
}

impl Pulse {
    /// Waits for the answer to a request that is sent after this moment. Says how long that took from then
    /// on.
    pub async fn answer_after(&self, moment: Instant, limit: Duration) -> Option<Duration> {
        let mut answered = self.answered.subscribe();
        let later = answered.wait_for(|sent| *sent > moment);
        tokio::time::timeout(limit, later).await.ok()?.ok()?;
        Some(moment.elapsed())
    }

    /// Lets every client send copies of requests that were answered long ago.
    pub fn send_copies(&self) {
        self.copies.send_modify(|times| *times += 1);
    }
}

#[derive(Debug)]
enum Way {
    Messages(Link),
    Http(Http),
}

/// One client: what its workers and its connection share.
#[derive(Debug)]
pub(crate) struct Client {
    number: u32,
    way: Way,
    bare_requests: bool,
    history: History,
    waiting: Mutex<HashMap<String, oneshot::Sender<()>>>,
    memory: Mutex<Memory>,
    names: AtomicU64,
    pulse: Arc<Pulse>,
}

impl Client {
    fn answered(&self, request: &str, what: &What) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(request);
        if let Some(waiting) = waiting {
            // Nobody waits when the worker has given up.
            let _ = waiting.send(());
        }
        let What::Answer { text, .. } = what else { return };
        if let Ok(reply) = Reply::from_json(text.as_bytes()) {
            self.memory.lock().unwrap_or_else(PoisonError::into_inner).learn(&reply);
        }
    }

    fn next_name(&self) -> String {
        format!("c{}-{}", self.number, self.names.fetch_add(1, Ordering::Relaxed))
    }
}

#[derive(Debug)]
pub struct Load {
    pub pulse: Arc<Pulse>,
    /// No new requests from here on.
    stop: CancellationToken,
    /// What is not known by then stays unknown.
    give_up: CancellationToken,
    leave: CancellationToken,
    workers: JoinSet<()>,
    links: JoinSet<()>,
}

impl Load {
    /// Starts the clients; their histories go to the folder.
    pub fn start(
        settings: &Settings,
        amqp_url: &str,
        http: [SocketAddr; INSTANCES],
        folder: &Path,
        start: Instant,
    ) -> io::Result<Self> {
        let pulse = Arc::new(Pulse {
            answered: watch::channel(start).0,
            requests: AtomicU64::default(),
            answers: AtomicU64::default(),
            unknown: AtomicU64::default(),
            resolved: AtomicU64::default(),
            copies: watch::channel(0).0,
        });
        let mut load = Self {
            pulse,
            stop: CancellationToken::new(),
            give_up: CancellationToken::new(),
            leave: CancellationToken::new(),
            workers: JoinSet::new(),
            links: JoinSet::new(),
        };
        let mut seeds = Rng::with_seed(settings.seed);
        for number in 1..=settings.clients + settings.http_clients {
            let by_messages = number <= settings.clients;
            let client = Arc::new(Client {
                number,
                way: match by_messages {
                    true => Way::Messages(Link::new(amqp_url, number)),
                    false => Way::Http(Http::new(http)),
                },
                // Over HTTP each request has an identity: where none is given the service makes one.
                bare_requests: settings.bare_requests && by_messages,
                history: History::open(&history::path(folder, number), start)?,
                waiting: Mutex::default(),
                memory: Mutex::default(),
                names: AtomicU64::new(1),
                pulse: Arc::clone(&load.pulse),
            });
            load.put_to_work(&client, &mut seeds);
        }
        Ok(load)
    }

    fn put_to_work(&mut self, client: &Arc<Client>, seeds: &mut Rng) {
        self.links.spawn(link::keep(Arc::clone(client), self.leave.clone()));
        for _ in 0..WORKERS {
            let (stop, give_up) = (self.stop.clone(), self.give_up.clone());
            self.workers.spawn(send::work(Arc::clone(client), seeds.fork(), stop, give_up));
        }
        self.workers.spawn(send::copy_on_demand(Arc::clone(client), seeds.fork(), self.stop.clone()));
    }

    /// Makes no new requests, and waits until the outcome of all is known, but not longer than this.
    pub async fn finish(mut self, limit: Duration) {
        self.stop.cancel();
        let known = async { while self.workers.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(limit, known).await.is_ok();
        self.give_up.cancel();
        if !in_time {
            while self.workers.join_next().await.is_some() {}
        }
        self.leave.cancel();
        while self.links.join_next().await.is_some() {}
    }
}
