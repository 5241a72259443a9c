//! A private RabbitMQ node: own Erlang node name, cookie, port mapper (epmd) and folders.

use std::fs::{self, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::binaries;
use crate::error::{Doing, Error, plain_name};
use crate::ports;
use crate::server::{Server, run};
use crate::{Options, Tls, USER};

/// A node with many messages takes seconds to stop.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long the node may take to answer a connection, and again to send its greeting.
const GREETING_LIMIT: Duration = Duration::from_secs(2);
/// Keeps Erlang off the network.
const LOOPBACK_ONLY: &str = "-kernel inet_dist_use_interface {127,0,0,1}";
const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";

/// A private RabbitMQ node: user `florin`, password `florin`, virtual host `/`.
///
/// Dropping it stops it.
#[derive(Debug)]
pub struct Rabbit {
    server: Server,
    bin: PathBuf,
    epmd: PathBuf,
    node: String,
    ports: Ports,
    plugins: Vec<String>,
    tls: Option<Tls>,
    /// The other nodes of its cluster.
    peers: Vec<Peer>,
    /// They are registered at our port mapper as long as these connections last.
    registrations: Vec<TcpStream>,
}

/// Another node of the same cluster.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) name: String,
    /// Where this node reaches it, on 127.0.0.1.
    pub(crate) port: u16,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    amqp: u16,
    amqps: u16,
    epmd: u16,
    distribution: u16,
}

impl Rabbit {
    /// Starts a node in `options.data_dir` (made at the first start) or in a temporary folder.
    pub fn launch(options: &Options) -> Result<Self, Error> {
        let mut rabbit = Self::prepare(options)?;
        // Only one of the ports is ever given, so another attempt may help even if that one is.
        ports::with_retries(true, || {
            rabbit.choose_ports(options)?;
            rabbit.start()
        })?;
        Ok(rabbit)
    }

    /// A node that does not run yet.
    pub(crate) fn prepare(options: &Options) -> Result<Self, Error> {
        let bin = binaries::rabbitmq_dir()?;
        let epmd = binaries::epmd()?;
        let server = Server::new("rabbitmq", options.data_dir.as_deref(), Signal::SIGTERM, STOP_LIMIT)?;
        let node = node_name(&server)?;
        let ports = Ports { amqp: 0, amqps: 0, epmd: 0, distribution: 0 };
        let tls = options.tls.as_ref().map(|tls| tls.copy(&server.folder)).transpose()?;
        let plugins = options.rabbit_plugins.clone();
        let (peers, registrations) = (vec![], vec![]);
        Ok(Self { server, bin, epmd, node, ports, plugins, tls, peers, registrations })
    }

    pub(crate) fn choose_ports(&mut self, options: &Options) -> Result<(), Error> {
        let [amqp, amqps, epmd, distribution] = ports::free()?;
        let amqp = options.amqp_port.unwrap_or(amqp);
        self.ports = Ports { amqp, amqps, epmd, distribution };
        Ok(())
    }

    /// Makes it a node of a cluster, before its first start.
    pub(crate) fn join(&mut self, cookie: &str, peers: Vec<Peer>) -> Result<(), Error> {
        let file = self.server.folder.write(".erlang.cookie", cookie)?;
        fs::set_permissions(&file, Permissions::from_mode(0o400))
            .doing(|| format!("make {} private", file.display()))?;
        self.peers = peers;
        Ok(())
    }

    pub(crate) fn name(&self) -> &str {
        &self.node
    }

    pub(crate) fn distribution_port(&self) -> u16 {
        self.ports.distribution
    }

    /// The URL of virtual host `/`.
    pub fn url(&self) -> String {
        self.vhost_url("%2f")
    }

    /// The AMQP port on 127.0.0.1. It stays the same after a restart.
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// The port on 127.0.0.1 for TLS, when the options have certificates. It stays the same after a restart.
    pub fn tls_port(&self) -> Option<u16> {
        self.tls.as_ref().map(|_| self.ports.amqps)
    }

    /// The process id of the Erlang machine, while there is one.
    pub fn pid(&self) -> Option<u32> {
        // On all installations known here the script becomes the Erlang machine: the ids agree.
        let written = fs::read_to_string(self.server.folder.path.join("pid")).ok();
        let main = self.server.main_pid()?;
        Some(written.and_then(|text| text.trim().parse().ok()).unwrap_or(main))
    }

    /// Starts the node if it does not run, on the same port and data.
    pub fn start(&mut self) -> Result<(), Error> {
        if self.server.runs() {
            return Ok(());
        }
        let result = self.start_epmd().and_then(|()| self.start_node());
        if result.is_err() {
            self.server.kill();
        }
        result
    }

    /// Stops the node gracefully (SIGTERM), and its port mapper. Kills it when that takes too long.
    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// Kills the node, its helpers and its port mapper at once (SIGKILL), as a crash would.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Stops the node and starts it again.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stop();
        self.start()
    }

    /// Suspends the node (SIGSTOP): it hangs, connections stay open.
    pub fn suspend(&mut self) -> Result<(), Error> {
        self.server.suspend()
    }

    /// Resumes a suspended node (SIGCONT).
    pub fn resume(&mut self) {
        self.server.resume();
    }

    /// Where the node lives; its log is the file `log` in it.
    pub fn folder(&self) -> &Path {
        &self.server.folder.path
    }

    /// Runs `rabbitmqctl` against this node and returns what it printed.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String, Error> {
        let mut command = self.server.folder.command(self.bin.join("rabbitmqctl"));
        let environment = self.environment();
        command.envs(environment.iter().map(|(name, value)| (*name, value)));
        command.args(["--quiet", "--node", &self.node]).args(arguments);
        run(command)
    }

    /// Creates a virtual host that user `florin` may use, and returns its URL.
    pub fn create_vhost(&self, name: &str) -> Result<String, Error> {
        let name = plain_name(name)?;
        self.ctl(&["add_vhost", name])?;
        self.ctl(&["set_permissions", "-p", name, USER, ".*", ".*", ".*"])?;
        Ok(self.vhost_url(name))
    }

    fn vhost_url(&self, vhost: &str) -> String {
        format!("amqp://{USER}:{USER}@127.0.0.1:{}/{vhost}", self.ports.amqp)
    }

    /// The node must find this one in place, or it would start one of its own that outlives it.
    fn start_epmd(&mut self) -> Result<(), Error> {
        let port = self.ports.epmd;
        let arguments = ["-port", &port.to_string(), "-address", "127.0.0.1"].map(String::from);
        self.server.start_helper(&self.epmd, &arguments, &[])?;
        self.server.wait_ready(Server::helper_runs, |_| TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        self.registrations = self.peers.iter().map(|peer| register(port, peer)).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn start_node(&mut self) -> Result<(), Error> {
        self.configure()?;
        let program = self.bin.join("rabbitmq-server");
        self.server.start_main(&program, &[], &self.environment())?;
        let (node, port) = (&self.node, self.ports.amqp);
        self.server.wait_ready(Server::runs, |_| greets(port, node))
    }

    fn configure(&self) -> Result<(), Error> {
        let folder = &self.server.folder;
        let _ = fs::remove_file(folder.path.join("pid"));
        folder.write("rabbitmq-env.conf", "")?;
        folder.write("plugins", &format!("[{}].\n", self.plugins.join(",")))?;
        let port = self.ports.amqp;
        let mut text = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\n\
             default_user = {USER}\n\
             default_pass = {USER}\n\
             loopback_users = none\n\
             log.file = false\n\
             log.console = true\n\
             log.console.level = info\n"
        );
        if let Some(Tls { client_ca_file, cert_file, key_file }) = &self.tls {
            text.push_str(&format!(
                "listeners.ssl.1 = 127.0.0.1:{}\n\
                 ssl_options.cacertfile = {}\n\
                 ssl_options.certfile = {}\n\
                 ssl_options.keyfile = {}\n\
                 ssl_options.verify = verify_peer\n\
                 ssl_options.fail_if_no_peer_cert = true\n",
                self.ports.amqps,
                client_ca_file.display(),
                cert_file.display(),
                key_file.display(),
            ));
        }
        if !self.peers.is_empty() {
            text.push_str("cluster_formation.peer_discovery_backend = classic_config\n");
            let mut nodes: Vec<&str> = self.peers.iter().map(|peer| peer.name.as_str()).collect();
            nodes.push(&self.node);
            nodes.sort_unstable();
            for (number, node) in (1..).zip(nodes) {
                text.push_str(&format!("cluster_formation.classic_config.nodes.{number} = {node}\n"));
            }
            // As the documentation tells operators to set it. Here, for a version that knows it no more does not start
            // with it in the other file.
            folder
                .write("advanced.config", "[{rabbit, [{cluster_partition_handling, pause_minority}]}].\n")?;
        }
        folder.write("rabbitmq.conf", &text)?;
        Ok(())
    }

    /// All that RabbitMQ would otherwise share with a node of the system.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let path = |name: &str| self.server.folder.path.join(name).display().to_string();
        vec![
            ("RABBITMQ_NODENAME", self.node.clone()),
            ("RABBITMQ_CONF_ENV_FILE", path("rabbitmq-env.conf")),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", path("advanced.config")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
            ("RABBITMQ_MNESIA_BASE", path("mnesia")),
            ("RABBITMQ_LOG_BASE", path("logs")),
            ("RABBITMQ_LOGS", "-".into()),
            ("RABBITMQ_PID_FILE", path("pid")),
            ("RABBITMQ_GENERATED_CONFIG_DIR", path("config")),
            ("RABBITMQ_SCHEMA_DIR", path("schema")),
            ("RABBITMQ_PLUGINS_EXPAND_DIR", path("plugins-expanded")),
            ("RABBITMQ_FEATURE_FLAGS_FILE", path("feature_flags")),
            ("RABBITMQ_DIST_PORT", self.ports.distribution.to_string()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", LOOPBACK_ONLY.into()),
            ("RABBITMQ_CTL_ERL_ARGS", LOOPBACK_ONLY.into()),
            // For every Erlang machine, also those that start others: a port mapper of their own would
            // outlive them.
            ("ERL_AFLAGS", "-start_epmd false".into()),
            ("ERL_EPMD_PORT", self.ports.epmd.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            // Makes the script become the Erlang machine instead of staying its parent.
            ("RUNNING_UNDER_SYSTEMD", "1".into()),
        ]
    }
}

/// Tells the port mapper of a node where that one shall look for a peer (ALIVE2_REQ of the Erlang distribution
/// protocol). It holds until the connection is closed.
fn register(port_mapper: u16, peer: &Peer) -> Result<TcpStream, Error> {
    /// A normal node that takes TCP and knows versions 5 and 6 of the protocol.
    const KIND: [u8; 6] = [77, 0, 0, 6, 0, 5];
    let name = peer.name.split('@').next().unwrap_or_default().as_bytes();
    let mut request = vec![120];
    request.extend(peer.port.to_be_bytes());
    request.extend(KIND);
    request.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
    request.extend(name);
    request.extend([0, 0]);
    let length = u16::try_from(request.len()).unwrap_or(u16::MAX).to_be_bytes();
    let registered = TcpStream::connect(("127.0.0.1", port_mapper)).and_then(|mut stream| {
        stream.set_read_timeout(Some(GREETING_LIMIT))?;
        stream.write_all(&[&length[..], &request].concat())?;
        let mut answer = [0; 2];
        stream.read_exact(&mut answer)?;
        match answer[1] {
            0 => Ok(stream),
            _ => Err(std::io::Error::other("the name is taken")),
        }
    });
    registered.doing(|| format!("register {} at a port mapper", peer.name))
}

/// The node's name belongs to its data, so it is kept with it. It is random, to tell nodes apart.
fn node_name(server: &Server) -> Result<String, Error> {
    let file = server.folder.path.join("node");
    if let Ok(name) = fs::read_to_string(&file) {
        return Ok(name);
    }
    let name = format!("florin-{:016x}@localhost", RandomState::new().hash_one(std::process::id()));
    server.folder.write("node", &name)?;
    Ok(name)
}

/// Whether this very node answers on the port: it is ready when it greets an AMQP client, and the
/// greeting (a Connection.Start frame) names it.
fn greets(port: u16, node: &str) -> bool {
    let name = node.split('@').next().unwrap_or(node);
    greeting(port).is_ok_and(|frame| {
        let is_start = frame.first() == Some(&1) && frame.get(7..11) == Some(&[0, 10, 0, 10]);
        is_start && frame.windows(name.len()).any(|window| window == name.as_bytes())
    })
}

fn greeting(port: u16) -> std::io::Result<Vec<u8>> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, GREETING_LIMIT)?;
    stream.set_read_timeout(Some(GREETING_LIMIT))?;
    stream.write_all(PROTOCOL_HEADER)?;
    let mut frame = vec![0; 7];
    stream.read_exact(&mut frame)?;
    let size = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]);
    stream.take(u64::from(size.min(65_536))).read_to_end(&mut frame)?;
    Ok(frame)
}
