//! Services to measure: `florin serve` as processes of their own, on a database and a virtual host of their
//! own.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use devstack::Stack;

use crate::plan::WorldPlan;
use crate::process::{self, Children, Process};
use crate::usage::Watched;

const READY_LIMIT: Duration = Duration::from_secs(60);
/// A million wallets take a while.
const SETUP_LIMIT: Duration = Duration::from_secs(600);

/// Why there are no services to measure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Server(#[from] devstack::Error),
    #[error(transparent)]
    Process(#[from] process::Error),
    #[error("florin serve was not ready after {} s: {log}", READY_LIMIT.as_secs())]
    NotReady { log: String },
}

/// The servers and programs of a run.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) children: Children,
    pub(crate) stack: Stack,
    pub(crate) florin: std::path::PathBuf,
    /// The service's queues as the broker lists them: name, type, durable.
    pub(crate) queues: Option<String>,
    worlds: u32,
}

#[derive(Debug)]
pub(crate) struct World {
    name: String,
    pub(crate) amqp_url: String,
    pub(crate) database_url: String,
    pub(crate) services: Vec<Process>,
    pub(crate) http_url: String,
    pub(crate) api_key: String,
}

impl Ground {
    pub(crate) fn new(children: Children, stack: Stack, florin: &Path) -> Self {
        Self { children, stack, florin: florin.to_owned(), queues: None, worlds: 0 }
    }

    /// A command of `florin` for these servers.
    pub(crate) fn command(&self, arguments: &[&str], amqp_url: &str, database_url: &str) -> Command {
        let mut command = Command::new(&self.florin);
        command.args(arguments);
        command.envs([("AMQP_URL", amqp_url), ("DATABASE_URL", database_url), ("RUST_LOG", "warn")]);
        command
    }

    /// Whose time and memory a measurement is about.
    pub(crate) fn watched(&self, world: &World) -> Watched {
        Watched {
            services: world.services.iter().map(Process::pid).collect(),
            postgresql: self.stack.postgres.pid(),
            rabbitmq: self.stack.rabbit.pid(),
        }
    }

    /// Starts the services of a plan and gives them wallets.
    pub(crate) fn world(&mut self, plan: &WorldPlan) -> Result<World, Error> {
        let mut world = self.empty_world()?;
        for _ in 0..plan.instances {
            let service = self.serve(&world, plan)?;
            world.http_url = service.1;
            world.services.push(service.0);
        }
        self.furnish(&mut world, plan.wallets)?;
        if self.queues.is_none() {
            let list = ["list_queues", "-p", &world.name, "name", "type", "durable", "--no-table-headers"];
            let queues = self.stack.rabbit.ctl(&list)?;
            let lines = queues.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            self.queues = Some(lines.collect::<Vec<_>>().join("; "));
        }
        Ok(world)
    }

    /// A database and a virtual host without services.
    pub(crate) fn empty_world(&mut self) -> Result<World, Error> {
        self.worlds += 1;
        let name = format!("bench{}", self.worlds);
        Ok(World {
            amqp_url: self.stack.rabbit.create_vhost(&name)?,
            database_url: self.stack.postgres.create_database(&name)?,
            name,
            services: Vec::new(),
            http_url: String::new(),
            api_key: String::new(),
        })
    }

    /// `florin serve` for this world, with the settings of the plan.
    pub(crate) fn serve_command(&self, world: &World, plan: &WorldPlan) -> Command {
        let mut command = self.command(&["serve"], &world.amqp_url, &world.database_url);
        command.envs([("SERVER_PORT", "0"), ("RUST_LOG", "info"), ("FLORIN_LOG_FORMAT", "json")]);
        // The limit is not what is measured.
        command.env("FLORIN_HTTP_KEY_REQUESTS_PER_SECOND", "1000000");
        command.env("FLORIN_HTTP_MAX_IN_FLIGHT_PER_KEY", "100000");
        command.env("FLORIN_EVENTS_ENABLED", plan.events.to_string());
        command.env("FLORIN_BROKER_SINGLE_ACTIVE_CONSUMER", plan.single_active.to_string());
        command
    }

    fn serve(&self, world: &World, plan: &WorldPlan) -> Result<(Process, String), Error> {
        let mut service = self.children.start(&self.serve_command(world, plan))?;
        let http_url = wait_ready(&mut service)?;
        Ok((service, http_url))
    }

    /// Wallets with money, and a key for HTTP; then a checkpoint, so that none falls into the measurement.
    pub(crate) fn furnish(&self, world: &mut World, wallets: u32) -> Result<(), Error> {
        let wallets = wallets.to_string();
        let setup = ["bench", "--yes", "--setup", "only", "--wallets", &wallets];
        self.children.run(&self.command(&setup, &world.amqp_url, &world.database_url), SETUP_LIMIT)?;
        let key = ["key", "create", "--role", "client", "--name", "bench"];
        let key = self.children.run(&self.command(&key, "", &world.database_url), READY_LIMIT)?;
        key.trim().clone_into(&mut world.api_key);
        self.stack.postgres.psql(&world.name, "VACUUM ANALYZE")?;
        self.stack.postgres.psql(&world.name, "CHECKPOINT")?;
        Ok(())
    }

    pub(crate) fn ask(&self, world: &World, sql: &str) -> Result<String, Error> {
        Ok(self.stack.postgres.psql(&world.name, sql)?)
    }

    /// Stops the services and removes their data, so that they are in nobody's way.
    pub(crate) fn end(&self, world: World) -> Result<(), Error> {
        let World { name, services, .. } = world;
        drop(services);
        self.stack.postgres.psql("postgres", &format!("DROP DATABASE \"{name}\" WITH (FORCE)"))?;
        self.stack.rabbit.ctl(&["delete_vhost", &name])?;
        Ok(())
    }
}

/// Waits until a service takes requests, and returns where its HTTP side listens.
pub(crate) fn wait_ready(service: &mut Process) -> Result<String, Error> {
    let end = Instant::now() + READY_LIMIT;
    loop {
        service.check()?;
        let log = service.log();
        if log.contains("consumer started") {
            return Ok(format!("http://{}", http_address(&log).unwrap_or_default()));
        }
        if Instant::now() >= end {
            return Err(Error::NotReady { log });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// From the log line of the start.
fn http_address(log: &str) -> Option<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.into_iter().find_map(|line| Some(line.get("http")?.as_str()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_the_log() {
        let log = "noise\n{\"message\":\"starting\",\"http\":\"127.0.0.1:7\"}\n{\"message\":\"x\"}\n";
        assert_eq!(http_address(log).as_deref(), Some("127.0.0.1:7"));
        assert_eq!(http_address("noise"), None);
    }
}
