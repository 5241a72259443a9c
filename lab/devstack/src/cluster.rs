//! Three RabbitMQ nodes in a cluster, whose links a test can cut.
//!
//! Each node has a port mapper (epmd) of its own, where the other two are registered by us, at ports that the
//! caller chooses: so each node reaches each other one through a port of its own, behind which a proxy may be.

use std::hash::{BuildHasher, RandomState};
use std::thread;

use crate::error::{Doing, Error};
use crate::rabbit::{Peer, Rabbit};
use crate::{Options, ports};

/// How many nodes there are: one can be lost.
pub const NODES: usize = 3;

/// The way from a node to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub from: usize,
    pub to: usize,
    /// Where that one listens to the other nodes, on 127.0.0.1.
    pub port: u16,
}

/// A cluster of private RabbitMQ nodes: user `florin`, password `florin`, virtual host `/`.
///
/// Dropping it stops all of them.
#[derive(Debug)]
pub struct Cluster {
    pub nodes: [Rabbit; NODES],
}

impl Cluster {
    /// Starts the nodes in temporary folders and returns when they are one cluster. `route` is asked once for
    /// each link and gives the port that the node shall use instead, or the same one.
    pub fn launch(
        options: &Options,
        mut route: impl FnMut(Link) -> std::io::Result<u16>,
    ) -> Result<Self, Error> {
        ports::with_retries(true, || Self::try_launch(options, &mut route))
    }

    fn try_launch(
        options: &Options,
        route: &mut impl FnMut(Link) -> std::io::Result<u16>,
    ) -> Result<Self, Error> {
        let mut nodes = [Rabbit::prepare(options)?, Rabbit::prepare(options)?, Rabbit::prepare(options)?];
        for node in &mut nodes {
            node.choose_ports(options)?;
        }
        let addresses = nodes.each_ref().map(|node| (node.name().to_owned(), node.distribution_port()));
        let cookie = format!("{:016x}", RandomState::new().hash_one(&addresses));
        for (from, node) in nodes.iter_mut().enumerate() {
            let mut peers = vec![];
            for (to, (name, port)) in addresses.iter().enumerate().filter(|(to, _)| *to != from) {
                let link = Link { from, to, port: *port };
                let port = route(link).doing(|| "make a link between two nodes".into())?;
                peers.push(Peer { name: name.clone(), port });
            }
            node.join(&cookie, peers)?;
        }
        let mut cluster = Self { nodes };
        cluster.start()?;
        cluster.nodes[0].ctl(&["await_online_nodes", &NODES.to_string()])?;
        Ok(cluster)
    }

    /// Starts all nodes that do not run, at the same time: the first may wait for the others.
    pub fn start(&mut self) -> Result<(), Error> {
        let started: Vec<_> = thread::scope(|scope| {
            let starts: Vec<_> = self.nodes.iter_mut().map(|node| scope.spawn(|| node.start())).collect();
            starts.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        started.into_iter().try_for_each(|started| match started {
            Ok(started) => started,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }
}
