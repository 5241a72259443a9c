//! The world of a run: PostgreSQL, RabbitMQ, two instances of the service, and a proxy on every wire between
//! them.
//!
//! In this order: disks and servers, the schema with wallets and tickers, proxies, instances. All of it ends
//! when the world is dropped, in the opposite order.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use devstack::{Options, Postgres, Rabbit, Stack};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::{self, Clock};
use crate::disk::{self, LoopDisk};
use crate::load;
use crate::plan::Settings;
use crate::proxy::Proxy;
use crate::service::Service;

/// How many instances of the service there are.
pub const INSTANCES: usize = 2;
/// Small enough to be filled, large enough for some minutes of load.
const DISK_BYTES: u64 = 1 << 30;
const READY_LIMIT: Duration = Duration::from_secs(60);
const READY_PAUSE: Duration = Duration::from_millis(200);
/// Of each instance. Few, so that both get some when both work.
const PREFETCH: &str = "200";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Server(#[from] devstack::Error),
    #[error(transparent)]
    Disk(#[from] disk::Error),
    #[error(transparent)]
    Clock(#[from] clock::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A command of the service failed.
    #[error("florin {command} failed: {output}")]
    Florin { command: String, output: String },
    /// The service did not begin to work.
    #[error("the service takes no requests after {} s:\n{log}", READY_LIMIT.as_secs())]
    NotReady { log: String },
}

/// What a world is made with. Controls and mutations change this, and nothing else.
#[derive(Debug, Clone)]
pub struct Setup {
    pub florin: PathBuf,
    /// The program of the first instance, if that is another version: a rolling upgrade that never ends. The
    /// database is migrated by `florin`.
    pub previous_florin: Option<PathBuf>,
    /// Further settings of PostgreSQL, such as `("fsync", "off")`.
    pub postgres_settings: Vec<(String, String)>,
    /// What follows the service's `DATABASE_URL`, such as `?options=-csynchronous_commit%3Doff`.
    pub database_url_suffix: String,
    pub service_environment: Vec<(String, String)>,
    /// Whether the servers get disks of their own.
    pub disks: bool,
    /// Whether the instances get clocks of their own.
    pub clocks: bool,
}

#[derive(Debug)]
pub struct Disks {
    pub data: LoopDisk,
    pub wal: LoopDisk,
    pub broker: LoopDisk,
}

#[derive(Debug)]
pub struct World {
    pub services: [Service; INSTANCES],
    /// Between each instance and PostgreSQL.
    pub to_database: [Proxy; INSTANCES],
    /// Between each instance and RabbitMQ.
    pub to_broker: [Proxy; INSTANCES],
    /// Between the clients and RabbitMQ.
    pub to_clients: Proxy,
    /// Where the instances take requests over HTTP.
    pub http: [SocketAddr; INSTANCES],
    pub clocks: Option<[Clock; INSTANCES]>,
    postgres: Arc<Mutex<Postgres>>,
    rabbit: Arc<Mutex<Rabbit>>,
    /// After the servers, which have to be gone before them.
    pub disks: Option<Disks>,
    database_url: String,
    amqp_url: String,
    florin: PathBuf,
    _watching: DropGuard,
}

impl World {
    /// Starts everything. `scratch` is for what is gone with the world.
    pub async fn start(setup: &Setup, settings: &Settings, scratch: &Path) -> Result<Self, Error> {
        let options = Options { postgres_settings: setup.postgres_settings.clone(), ..Options::default() };
        let (mut stack, disks) = {
            let (wanted, scratch) = (setup.disks, scratch.to_owned());
            blocking(move || servers(&options, wanted.then_some(scratch.as_path()))).await?
        };
        let database_url = stack.postgres.url();
        let amqp_url = stack.rabbit.url();
        prepare(setup, &database_url)?;
        let proxy = |port: u16| Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let (database, broker) = (stack.postgres.port(), stack.rabbit.port());
        let to_database = [proxy(database)?, proxy(database)?];
        let to_broker = [proxy(broker)?, proxy(broker)?];
        let to_clients = proxy(broker)?;
        let clocks = match setup.clocks {
            true => {
                Some([Clock::create(&scratch.join("clock-1"))?, Clock::create(&scratch.join("clock-2"))?])
            }
            false => None,
        };
        let http = devstack::free_ports()?.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let instance = |place: usize| {
            let clock = clocks.as_ref().map(|clocks: &[Clock; INSTANCES]| &clocks[place]);
            let database_url = through(&database_url, database, &to_database[place]);
            let amqp_url = through(&amqp_url, broker, &to_broker[place]);
            let mut environment = environment(setup, settings, &database_url, &amqp_url, clock);
            environment.push(("SERVER_PORT".to_owned(), http[place].port().to_string()));
            let previous = setup.previous_florin.as_deref().filter(|_| place == 0);
            Service::new(previous.unwrap_or(&setup.florin), environment)
        };
        let services = [instance(0)?, instance(1)?];
        let watching = CancellationToken::new();
        for service in &services {
            service.start()?;
            ready(service).await?;
            tokio::spawn(service.clone().watch(watching.clone()));
        }
        // RabbitMQ keeps the register of its quorum queues in memory for three seconds before it writes it. A
        // queue that is younger than that when the broker is killed (3.10) comes back without a leader, for
        // ever.
        stack = blocking(move || settle_queues(stack)).await?;
        if let Some(disks) = &disks {
            // A server that never flushes shall lose what the run writes, not its tables.
            stack.postgres.psql("florin", "CHECKPOINT")?;
            disks.data.flush()?;
            disks.wal.flush()?;
        }
        let Stack { postgres, rabbit } = stack;
        Ok(Self {
            services,
            to_database,
            to_broker,
            to_clients,
            http,
            clocks,
            postgres: Arc::new(Mutex::new(postgres)),
            rabbit: Arc::new(Mutex::new(rabbit)),
            disks,
            database_url,
            amqp_url,
            florin: setup.florin.clone(),
            _watching: watching.drop_guard(),
        })
    }

    /// Straight to the database.
    #[must_use]
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Straight to the broker.
    #[must_use]
    pub fn amqp_url(&self) -> &str {
        &self.amqp_url
    }

    /// To the broker, as the clients go.
    #[must_use]
    pub fn clients_url(&self) -> String {
        let port = self.rabbit().port();
        through(&self.amqp_url, port, &self.to_clients)
    }

    /// Does something with PostgreSQL that may take long. One at a time.
    pub async fn with_postgres<T: Send + 'static>(
        &self,
        action: impl FnOnce(&mut Postgres) -> T + Send + 'static,
    ) -> T {
        let postgres = Arc::clone(&self.postgres);
        blocking(move || action(&mut postgres.lock().unwrap_or_else(PoisonError::into_inner))).await
    }

    /// Does something with RabbitMQ that may take long. One at a time.
    pub async fn with_rabbit<T: Send + 'static>(
        &self,
        action: impl FnOnce(&mut Rabbit) -> T + Send + 'static,
    ) -> T {
        let rabbit = Arc::clone(&self.rabbit);
        blocking(move || action(&mut rabbit.lock().unwrap_or_else(PoisonError::into_inner))).await
    }

    /// Runs a command of the service on the database, and returns its exit code and what it printed.
    pub async fn florin(&self, arguments: &[&str]) -> Result<(Option<i32>, String), Error> {
        let mut command = command(&self.florin, &self.database_url, arguments);
        let output = blocking(move || command.output()).await?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8_lossy(&text).into_owned()))
    }

    /// Copies the logs of all processes into a folder.
    pub fn copy_logs(&self, folder: &Path) {
        let postgres = self.postgres.lock().unwrap_or_else(PoisonError::into_inner).folder().join("log");
        let mut logs = vec![("postgres.log", postgres), ("rabbitmq.log", self.rabbit().folder().join("log"))];
        logs.extend(
            ["service-1.log", "service-2.log"].into_iter().zip(self.services.iter().map(Service::log)),
        );
        for (name, path) in logs {
            if let Err(error) = std::fs::copy(&path, folder.join(name)) {
                tracing::warn!(%error, "{name} is not kept");
            }
        }
    }

    fn rabbit(&self) -> MutexGuard<'_, Rabbit> {
        self.rabbit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The servers, on disks of their own if there is a folder for those.
fn servers(options: &Options, scratch: Option<&Path>) -> Result<(Stack, Option<Disks>), Error> {
    let mut stack = Stack::start(options)?;
    let Some(scratch) = scratch else { return Ok((stack, None)) };
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
    Ok((stack, Some(disks)))
}

fn settle_queues(stack: Stack) -> Result<Stack, Error> {
    stack.rabbit.ctl(&["eval", "[ok = dets:sync(Table) || Table <- dets:all()]."])?;
    Ok(stack)
}

/// The schema, the tickers and the wallets.
fn prepare(setup: &Setup, database_url: &str) -> Result<(), Error> {
    let wallets = format!("1-{}", load::WALLETS);
    let mut commands = vec![vec!["migrate".to_owned()], vec!["wallet".into(), "create".into(), wallets]];
    for (name, scale) in load::TICKERS {
        commands.push(["ticker", "add", name, "--scale", &scale.to_string()].map(String::from).to_vec());
    }
    for arguments in commands {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = command(&setup.florin, database_url, &arguments).output()?;
        if !output.status.success() {
            let text = [output.stdout, output.stderr].concat();
            let output = String::from_utf8_lossy(&text).into_owned();
            return Err(Error::Florin { command: arguments.join(" "), output });
        }
    }
    Ok(())
}

fn command(florin: &Path, database_url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(florin);
    command.args(arguments).env_clear().env("DATABASE_URL", database_url).current_dir(std::env::temp_dir());
    command
}

fn environment(
    setup: &Setup,
    settings: &Settings,
    database_url: &str,
    amqp_url: &str,
    clock: Option<&Clock>,
) -> Vec<(String, String)> {
    let own = [
        ("DATABASE_URL", format!("{database_url}{}", setup.database_url_suffix)),
        ("AMQP_URL", amqp_url.to_owned()),
        ("FLORIN_HTTP_AUTH", "false".into()),
        ("RUST_LOG", "info".into()),
        ("RUST_BACKTRACE", "1".into()),
        ("FLORIN_BROKER_SINGLE_ACTIVE_CONSUMER", settings.single_active_consumer.to_string()),
        ("FLORIN_ENGINE_MAX_BATCH_COMMANDS", settings.max_batch_commands.to_string()),
        ("FLORIN_BROKER_PREFETCH", PREFETCH.into()),
        // Each lost connection counts for all that was delivered over it: here they are lost all the time.
        ("FLORIN_BROKER_DELIVERY_LIMIT", "100000".into()),
    ];
    let clock = clock.map(Clock::environment).unwrap_or_default();
    let own = own.into_iter().chain(clock).map(|(name, value)| (name.to_owned(), value));
    own.chain(setup.service_environment.iter().cloned()).collect()
}

/// The URL with the port of a proxy.
fn through(url: &str, port: u16, proxy: &Proxy) -> String {
    url.replace(&format!(":{port}/"), &format!(":{}/", proxy.address().port()))
}

/// Waits until an instance takes requests. That is the only time its log is read for more than people.
async fn ready(service: &Service) -> Result<(), Error> {
    let log = || std::fs::read_to_string(service.log()).unwrap_or_default();
    let logged = async {
        while !log().contains("consumer started") {
            tokio::time::sleep(READY_PAUSE).await;
        }
    };
    let in_time = tokio::time::timeout(READY_LIMIT, logged).await;
    in_time.map_err(|_| Error::NotReady { log: log() })
}

async fn blocking<T: Send + 'static>(action: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(action).await {
        Ok(result) => result,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}
