//! The world of a run: PostgreSQL, RabbitMQ, two instances of the service, and a proxy on every wire between
//! them.
//!
//! In this order: disks and servers, the schema with wallets and tickers, proxies, instances. All of it ends
//! when the world is dropped, in the opposite order.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use devstack::Options;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::{self, Clock};
use crate::load;
use crate::plan::Settings;
use crate::proxy::Proxy;
use crate::servers::{self, Servers, blocking};
use crate::service::Service;

/// How many instances of the service there are.
pub const INSTANCES: usize = 2;
const READY_LIMIT: Duration = Duration::from_secs(60);
const READY_PAUSE: Duration = Duration::from_millis(200);
/// Of each instance. Few, so that both get some when both work.
const PREFETCH: &str = "200";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Servers(#[from] servers::Error),
    #[error(transparent)]
    Program(#[from] devstack::Error),
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
    pub servers: Servers,
    florin: PathBuf,
    _watching: DropGuard,
}

impl World {
    /// Starts everything. `scratch` is for what is gone with the world.
    pub async fn start(setup: &Setup, settings: &Settings, scratch: &Path) -> Result<Self, Error> {
        let options = Options { postgres_settings: setup.postgres_settings.clone(), ..Options::default() };
        let servers = {
            let (topology, scratch) = (settings.topology, setup.disks.then(|| scratch.to_owned()));
            blocking(move || Servers::start(topology, &options, scratch.as_deref())).await?
        };
        prepare(setup, servers.database_url())?;
        let to_database = servers.database_address();
        let to_database = [Proxy::start(to_database)?, Proxy::start(to_database)?];
        let broker = || Proxy::start_to_any(servers.broker_addresses());
        let to_broker = [broker()?, broker()?];
        let to_clients = broker()?;
        let clocks = match setup.clocks {
            true => {
                Some([Clock::create(&scratch.join("clock-1"))?, Clock::create(&scratch.join("clock-2"))?])
            }
            false => None,
        };
        let http = devstack::free_ports()?.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let instance = |place: usize| {
            let clock = clocks.as_ref().map(|clocks: &[Clock; INSTANCES]| &clocks[place]);
            let database_url = through(servers.database_url(), servers.database_port(), &to_database[place]);
            let amqp_url = through(servers.amqp_url(), servers.amqp_port(), &to_broker[place]);
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
        let servers = blocking(move || {
            servers.settle_queues()?;
            servers.flush().map(|()| servers)
        })
        .await?;
        Ok(Self {
            services,
            to_database,
            to_broker,
            to_clients,
            http,
            clocks,
            servers,
            florin: setup.florin.clone(),
            _watching: watching.drop_guard(),
        })
    }

    /// To the broker, as the clients go.
    #[must_use]
    pub fn clients_url(&self) -> String {
        through(self.servers.amqp_url(), self.servers.amqp_port(), &self.to_clients)
    }

    /// Runs a command of the service on the database, and returns its exit code and what it printed.
    pub async fn florin(&self, arguments: &[&str]) -> Result<(Option<i32>, String), Error> {
        let mut command = command(&self.florin, self.servers.database_url(), arguments);
        let output = blocking(move || command.output()).await?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8_lossy(&text).into_owned()))
    }

    /// Copies the logs of all processes into a folder.
    pub fn copy_logs(&self, folder: &Path) {
        let mut logs = self.servers.logs();
        let services = self.services.iter().enumerate();
        logs.extend(services.map(|(place, one)| (format!("service-{}.log", place + 1), one.log())));
        for (name, path) in logs {
            if let Err(error) = std::fs::copy(&path, folder.join(&name)) {
                tracing::warn!(%error, "{name} is not kept");
            }
        }
    }
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
