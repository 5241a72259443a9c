//! The servers of a run: one of each kind, or a RabbitMQ cluster and a PostgreSQL with a synchronous standby.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use devstack::{Cluster, Link, Options, Postgres, Rabbit, Stack};

use crate::disk::{self, LoopDisk};
use crate::kind::Topology;
use crate::proxy::Proxy;

/// The name of whichever of the two databases is the standby.
pub const STANDBY: &str = "standby";
/// Small enough to be filled, large enough for some minutes of load.
const DISK_BYTES: u64 = 1 << 30;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Server(#[from] devstack::Error),
    #[error(transparent)]
    Disk(#[from] disk::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Debug)]
pub struct Disks {
    pub data: LoopDisk,
    pub wal: LoopDisk,
    pub broker: LoopDisk,
}

#[derive(Debug)]
pub struct Servers {
    nodes: Vec<Server<Rabbit>>,
    databases: Vec<Server<Postgres>>,
    /// The place of the database that takes writes.
    primary: AtomicUsize,
    /// Held while a node is away: one at a time.
    pub(crate) broker_turn: tokio::sync::Mutex<()>,
    /// Held while a database changes its role, or is away.
    pub(crate) database_turn: tokio::sync::Mutex<()>,
    /// The ways between the nodes.
    links: Vec<(Link, Proxy)>,
    /// After the servers, which have to be gone before them.
    pub disks: Option<Disks>,
}

/// One of them. What there is to know of it never changes.
#[derive(Debug)]
struct Server<T> {
    url: String,
    port: u16,
    log: PathBuf,
    process: Arc<Mutex<T>>,
}

impl<T> Server<T> {
    fn new(process: T, url: String, port: u16, folder: &Path) -> Self {
        Self { url, port, log: folder.join("log"), process: Arc::new(Mutex::new(process)) }
    }

    const fn address(&self) -> SocketAddr {
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), self.port)
    }
}

fn node(rabbit: Rabbit) -> Server<Rabbit> {
    let (url, port, folder) = (rabbit.url(), rabbit.port(), rabbit.folder().to_owned());
    Server::new(rabbit, url, port, &folder)
}

fn database(postgres: Postgres) -> Server<Postgres> {
    let (url, port, folder) = (postgres.url(), postgres.port(), postgres.folder().to_owned());
    Server::new(postgres, url, port, &folder)
}

impl Servers {
    /// Starts them, on disks of their own if there is a folder for those. It takes a while and blocks.
    pub fn start(topology: Topology, options: &Options, scratch: Option<&Path>) -> Result<Self, Error> {
        match topology {
            Topology::Single => single(options, scratch),
            Topology::Cluster => cluster(options),
        }
    }

    /// Straight to the database that takes writes.
    #[must_use]
    pub fn database_url(&self) -> &str {
        &self.databases[self.primary()].url
    }

    #[must_use]
    pub fn database_port(&self) -> u16 {
        self.databases[self.primary()].port
    }

    #[must_use]
    pub fn database_address(&self) -> SocketAddr {
        self.databases[self.primary()].address()
    }

    /// Straight to the first node of the broker.
    #[must_use]
    pub fn amqp_url(&self) -> &str {
        &self.nodes[0].url
    }

    #[must_use]
    pub fn amqp_port(&self) -> u16 {
        self.nodes[0].port
    }

    #[must_use]
    pub fn broker_addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Server::address).collect()
    }

    /// How many nodes the broker has.
    #[must_use]
    pub const fn nodes(&self) -> usize {
        self.nodes.len()
    }

    #[must_use]
    pub fn primary(&self) -> usize {
        self.primary.load(Ordering::SeqCst)
    }

    /// Does something with a node of the broker that may take long. One at a time.
    pub async fn with_node<T: Send + 'static>(
        &self,
        place: usize,
        action: impl FnOnce(&mut Rabbit) -> T + Send + 'static,
    ) -> T {
        let node = Arc::clone(&self.nodes[place].process);
        blocking(move || action(&mut lock(&node))).await
    }

    /// Does something with the database that takes writes. One at a time.
    pub async fn with_primary<T: Send + 'static>(
        &self,
        action: impl FnOnce(&mut Postgres) -> T + Send + 'static,
    ) -> T {
        let database = Arc::clone(&self.databases[self.primary()].process);
        blocking(move || action(&mut lock(&database))).await
    }

    /// Does something with the primary and its standby, in this order. Not without its turn.
    pub async fn with_pair<T: Send + 'static>(
        &self,
        action: impl FnOnce(&mut Postgres, &mut Postgres) -> T + Send + 'static,
    ) -> T {
        let primary = self.primary();
        let [first, second] = [primary, 1 - primary].map(|place| Arc::clone(&self.databases[place].process));
        blocking(move || action(&mut lock(&first), &mut lock(&second))).await
    }

    /// From now on the other database is the one that takes writes.
    pub fn swap_roles(&self) {
        self.primary.store(1 - self.primary(), Ordering::SeqCst);
    }

    /// The ways to and from a node of the broker.
    pub fn links_of(&self, node: usize) -> impl Iterator<Item = &Proxy> {
        let touches = move |link: &Link| link.from == node || link.to == node;
        self.links.iter().filter(move |(link, _)| touches(link)).map(|(_, proxy)| proxy)
    }

    pub fn links(&self) -> impl Iterator<Item = &Proxy> {
        self.links.iter().map(|(_, proxy)| proxy)
    }

    /// RabbitMQ keeps the register of its quorum queues in memory for three seconds before it writes it. A queue
    /// that is younger than that when the broker is killed (3.10) comes back without a leader, for ever.
    pub fn settle_queues(&self) -> Result<(), Error> {
        for node in &self.nodes {
            lock(&node.process).ctl(&["eval", "[ok = dets:sync(Table) || Table <- dets:all()]."])?;
        }
        Ok(())
    }

    /// A server that never flushes shall lose what the run writes, not its tables.
    pub fn flush(&self) -> Result<(), Error> {
        let Some(disks) = &self.disks else { return Ok(()) };
        lock(&self.databases[self.primary()].process).psql("florin", "CHECKPOINT")?;
        disks.data.flush()?;
        disks.wal.flush()?;
        Ok(())
    }

    /// Their logs, and how to call them.
    #[must_use]
    pub fn logs(&self) -> Vec<(String, PathBuf)> {
        let name = |server: &str, place: usize, count: usize| match count {
            1 => format!("{server}.log"),
            _ => format!("{server}-{}.log", place + 1),
        };
        let nodes = self.nodes.iter().enumerate();
        let nodes = nodes.map(|(place, node)| (name("rabbitmq", place, self.nodes.len()), node.log.clone()));
        let databases = self.databases.iter().enumerate();
        let databases =
            databases.map(|(place, one)| (name("postgres", place, self.databases.len()), one.log.clone()));
        nodes.chain(databases).collect()
    }
}

fn single(options: &Options, scratch: Option<&Path>) -> Result<Servers, Error> {
    let mut stack = Stack::start(options)?;
    let disks = scratch.map(|scratch| move_to_disks(&mut stack, scratch)).transpose()?;
    let Stack { postgres, rabbit } = stack;
    Ok(Servers {
        nodes: vec![node(rabbit)],
        databases: vec![database(postgres)],
        primary: AtomicUsize::new(0),
        broker_turn: tokio::sync::Mutex::default(),
        database_turn: tokio::sync::Mutex::default(),
        links: vec![],
        disks,
    })
}

fn move_to_disks(stack: &mut Stack, scratch: &Path) -> Result<Disks, Error> {
    let disk = |name: &str| {
        let image = scratch.join(format!("{name}.img"));
        LoopDisk::create(&image, &scratch.join(name), DISK_BYTES)
    };
    let disks = Disks { data: disk("data")?, wal: disk("wal")?, broker: disk("broker")? };
    stack.postgres.stop();
    disks.wal.take_in(&stack.postgres.folder().join("data/pg_wal"))?;
    disks.data.take_in(&stack.postgres.folder().join("data"))?;
    stack.postgres.start()?;
    stack.rabbit.stop();
    disks.broker.take_in(&stack.rabbit.folder().join("mnesia"))?;
    stack.rabbit.start()?;
    Ok(disks)
}

fn cluster(options: &Options) -> Result<Servers, Error> {
    let mut links = vec![];
    let Cluster { nodes } = Cluster::launch(options, |link| {
        let proxy = Proxy::start_blind(SocketAddr::from((Ipv4Addr::LOCALHOST, link.port)))?;
        let port = proxy.address().port();
        links.push((link, proxy));
        Ok(port)
    })?;
    let primary = Postgres::launch(options)?;
    let standby = primary.launch_standby(STANDBY)?;
    primary.wait_for_each_commit_on(STANDBY)?;
    Ok(Servers {
        nodes: nodes.map(node).into(),
        databases: vec![database(primary), database(standby)],
        primary: AtomicUsize::new(0),
        broker_turn: tokio::sync::Mutex::default(),
        database_turn: tokio::sync::Mutex::default(),
        links,
        disks: None,
    })
}

fn lock<T>(server: &Mutex<T>) -> MutexGuard<'_, T> {
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something that blocks, and goes on when it is done.
pub(crate) async fn blocking<T: Send + 'static>(action: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(action).await {
        Ok(result) => result,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}
