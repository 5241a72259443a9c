//! A private PostgreSQL and a private RabbitMQ from the installed programs.
//!
//! Both run as child processes on free ports of 127.0.0.1, in a temporary folder or a given one,
//! without root rights, apart from any server of the system. `florin dev`, the tests, the fault
//! runs and the benchmarks all use it.
//!
//! ```no_run
//! use devstack::{Options, Stack};
//!
//! let mut stack = Stack::start(&Options::default())?;
//! println!("{} {}", stack.postgres.url(), stack.rabbit.url());
//! stack.rabbit.kill();
//! stack.rabbit.start()?; // the same port, the same data
//! # Ok::<(), devstack::Error>(())
//! ```
//!
//! Nothing is left behind, however the caller ends: dropping a server stops it, and a small guard
//! process (`guard.rs`) does it for a caller that was killed. Durability settings stay at the
//! servers' defaults.
//!
//! From the bottom: `tree` reads the process table, `guard` and `process` run one child process, `folder` is
//! where a server lives, `server` is what both servers share, `tls` their certificates, `postgres` and
//! `rabbit` are the two servers, `standby` and `cluster` what they are when there are several of them, `program` is any other that runs like a server, `children` are short
//! programs.

mod binaries;
mod children;
mod cluster;
mod error;
mod folder;
mod guard;
mod ports;
mod postgres;
mod process;
mod program;
mod rabbit;
mod server;
mod standby;
mod tls;
mod tree;
mod wait;

use std::path::PathBuf;
use std::thread;

pub use children::{Child, Children};
pub use cluster::{Cluster, Link, NODES};
pub use error::Error;
pub use ports::free as free_ports;
pub use postgres::Postgres;
pub use program::Program;
pub use rabbit::Rabbit;

/// User, password and first database of both servers.
const USER: &str = "florin";

/// How to start servers. The default is temporary folders and free ports.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Keeps the data here from run to run (in `postgres` and `rabbitmq` below it).
    pub data_dir: Option<PathBuf>,
    /// The port of PostgreSQL, instead of a free one.
    pub postgres_port: Option<u16>,
    /// The port of RabbitMQ, instead of a free one.
    pub amqp_port: Option<u16>,
    /// Further PostgreSQL settings, such as `("max_connections", "300")`.
    pub postgres_settings: Vec<(String, String)>,
    /// Certificates, to serve TLS. PostgreSQL then takes no other connections over TCP; RabbitMQ listens on a
    /// further port.
    pub tls: Option<Tls>,
    /// RabbitMQ plugins to enable, such as `rabbitmq_consistent_hash_exchange`.
    pub rabbit_plugins: Vec<String>,
}

/// The PEM files of servers that speak TLS. They are copied, for the servers may run as another user.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The CA of client certificates. Every client needs one; for PostgreSQL, one for the name of
    /// its user, `florin`.
    pub client_ca_file: PathBuf,
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

/// A private PostgreSQL and a private RabbitMQ. Dropping it stops both.
#[derive(Debug)]
pub struct Stack {
    pub postgres: Postgres,
    pub rabbit: Rabbit,
}

impl Stack {
    /// Starts both at the same time and returns when both are ready.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let (postgres, rabbit) = thread::scope(|scope| {
            let postgres = scope.spawn(|| Postgres::launch(options));
            let rabbit = Rabbit::launch(options);
            (postgres.join(), rabbit)
        });
        let postgres = postgres.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(Self { postgres, rabbit: rabbit? })
    }
}
