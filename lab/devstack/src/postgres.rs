//! A private PostgreSQL server.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::binaries;
use crate::error::{Doing, Error, plain_name};
use crate::ports;
use crate::server::{Server, run};
use crate::wait::wait_until;
use crate::{Options, Tls, USER};

/// A fast shutdown writes out all changed pages, which takes a while when there are many.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long backends may outlive a server that crashed.
const ORPHANS_LIMIT: Duration = Duration::from_secs(10);
/// The longest path of a socket's folder that the system takes (macOS has the lowest limit, 104 bytes
/// with the name of the socket).
const SOCKET_DIR_MAX: usize = 80;

/// Who may connect, when TLS is spoken: over TCP only who shows a certificate for the name of the user.
const TLS_CLIENTS: &str = "local all all trust\nhostssl all all all trust clientcert=verify-full\n";

/// A private PostgreSQL server: superuser `florin` without a password, database `florin`.
///
/// Dropping it stops it.
#[derive(Debug)]
pub struct Postgres {
    pub(crate) server: Server,
    bin: PathBuf,
    port: u16,
    settings: Vec<(String, String)>,
    tls: Option<Tls>,
}

impl Postgres {
    /// Starts a server in `options.data_dir` (made at the first start) or in a temporary folder.
    pub fn launch(options: &Options) -> Result<Self, Error> {
        let mut postgres = Self::prepare(options)?;
        postgres.initialise()?;
        postgres.start_on_a_port(options)?;
        if postgres.psql("postgres", "SELECT 1 FROM pg_database WHERE datname = 'florin'")?.is_empty() {
            postgres.create_database(USER)?;
        }
        Ok(postgres)
    }

    /// A server without data.
    pub(crate) fn prepare(options: &Options) -> Result<Self, Error> {
        let bin = binaries::postgres_dir()?;
        let server = Server::new("postgres", options.data_dir.as_deref(), Signal::SIGINT, STOP_LIMIT)?;
        let settings = options.postgres_settings.clone();
        let tls = options.tls.as_ref().map(|tls| tls.copy(&server.folder)).transpose()?;
        Ok(Self { server, bin, port: 0, settings, tls })
    }

    pub(crate) fn start_on_a_port(&mut self, options: &Options) -> Result<(), Error> {
        ports::with_retries(options.postgres_port.is_none(), || {
            self.port = options.postgres_port.map_or_else(|| ports::free().map(|[port]| port), Ok)?;
            self.start()
        })
    }

    pub fn url(&self) -> String {
        self.database_url(USER)
    }

    /// Over the server's Unix socket; `None` where the path of the folder is too long for one.
    fn socket_url(&self, database: &str) -> Option<String> {
        let dir = self.socket_dir()?;
        Some(format!("postgres://{USER}@localhost:{}/{database}?host={}", self.port, dir.display()))
    }

    pub(crate) fn settings(&self) -> &[(String, String)] {
        &self.settings
    }

    /// The port on 127.0.0.1. It stays the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the postmaster, while there is one.
    pub fn pid(&self) -> Option<u32> {
        self.server.main_pid()
    }

    /// Starts the server if it does not run, on the same port and data.
    pub fn start(&mut self) -> Result<(), Error> {
        if self.server.runs() {
            return Ok(());
        }
        let mut result = self.try_start();
        // After a crash, PostgreSQL waits for the last backend of the old server to notice it.
        wait_until(ORPHANS_LIMIT, || {
            let again = result.as_ref().is_err_and(|error| error.log_says("is still in use"));
            if again {
                result = self.try_start();
            }
            !again
        });
        result
    }

    fn try_start(&mut self) -> Result<(), Error> {
        let program = self.bin.join("postgres");
        let arguments = self.arguments()?;
        self.server.start_main(&program, &arguments, &[])?;
        let pid = self.server.main_pid().unwrap_or_default();
        let ready = self.server.wait_ready(Server::runs, |server| is_ready(server, pid));
        ready.inspect_err(|_| self.server.kill())
    }

    /// Stops the server: connections are cut, everything is written (SIGINT, "fast"). Kills it when
    /// that takes too long.
    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// Kills the server and its backends at once (SIGKILL), as a crash would.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Stops the server and starts it again.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stop();
        self.start()
    }

    /// Suspends all processes of the server (SIGSTOP): it hangs, connections stay open.
    pub fn suspend(&mut self) -> Result<(), Error> {
        self.server.suspend()
    }

    /// Resumes a suspended server (SIGCONT).
    pub fn resume(&mut self) {
        self.server.resume();
    }

    /// Where the server lives; its log is the file `log` in it.
    pub fn folder(&self) -> &Path {
        &self.server.folder.path
    }

    /// A program that came with the server, such as `pgbench`. It may be missing: some systems package it
    /// apart.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// Creates an empty database and returns its URL.
    pub fn create_database(&self, name: &str) -> Result<String, Error> {
        let name = plain_name(name)?;
        self.psql("postgres", &format!("CREATE DATABASE \"{name}\""))?;
        Ok(self.database_url(name))
    }

    /// Runs SQL with `psql` and returns the rows: one a line, columns separated by `|`.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, Error> {
        let mut command = self.server.folder.command(self.bin.join("psql"));
        command.args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet"]);
        command.args(["-v", "ON_ERROR_STOP=1", "-c", sql]);
        // Over the socket, where no certificate is asked for.
        command.arg(self.socket_url(database).unwrap_or_else(|| self.database_url(database)));
        run(command)
    }

    fn database_url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.server.folder.path.join("data")
    }

    fn socket_dir(&self) -> Option<PathBuf> {
        let dir = self.server.folder.path.join("socket");
        (dir.as_os_str().len() <= SOCKET_DIR_MAX).then_some(dir)
    }

    /// Makes the data folder, unless there is one.
    fn initialise(&mut self) -> Result<(), Error> {
        if self.data().exists() {
            return Ok(());
        }
        // Under another name first: one that was interrupted is not taken for a finished one.
        let unfinished = self.server.folder.path.join("data.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).doing(|| format!("remove {}", unfinished.display()))?;
        }
        let mut arguments =
            words(&["--username", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--pgdata"]);
        arguments.push(unfinished.display().to_string());
        if self.server.folder.temporary {
            arguments.push("--no-sync".into()); // a crash of the machine ends a temporary folder anyway
        }
        self.server.prepare(&self.bin.join("initdb"), &arguments)?;
        fs::rename(&unfinished, self.data()).doing(|| format!("rename {}", unfinished.display()))
    }

    fn arguments(&self) -> Result<Vec<String>, Error> {
        let mut arguments = words(&["-D", &self.data().display().to_string(), "-p", &self.port.to_string()]);
        let socket_dir = match self.socket_dir() {
            Some(_) => self.server.folder.create("socket")?.display().to_string(),
            None => String::new(),
        };
        let own = [
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", &socket_dir),
            // In the data folder, not in /dev/shm: there, a killed server would leave it behind.
            ("dynamic_shared_memory_type", "mmap"),
            ("lc_messages", "C"),
        ];
        let given = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.into_iter().chain(given) {
            arguments.extend(["-c".into(), format!("{name}={value}")]);
        }
        if let Some(tls) = &self.tls {
            let clients = self.server.folder.write("pg_hba.conf", TLS_CLIENTS)?;
            let files = [
                ("ssl_ca_file", &tls.client_ca_file),
                ("ssl_cert_file", &tls.cert_file),
                ("ssl_key_file", &tls.key_file),
                ("hba_file", &clients),
            ];
            arguments.extend(words(&["-c", "ssl=on"]));
            for (name, path) in files {
                arguments.extend(["-c".into(), format!("{name}={}", path.display())]);
            }
        }
        Ok(arguments)
    }
}

/// Whether the postmaster with this id accepts connections, a standby those that only read. It says so in the eighth line of its pid
/// file, which is what `pg_ctl --wait` looks at; unlike a connection to the port, that cannot be
/// another server that was faster to take the port.
fn is_ready(server: &Server, pid: u32) -> bool {
    let file = server.folder.path.join("data/postmaster.pid");
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut lines = text.lines();
    let states = ["ready", "standby"];
    lines.next() == Some(&pid.to_string()) && lines.nth(6).is_some_and(|state| states.contains(&state.trim()))
}

pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}
