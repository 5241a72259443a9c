//! The settings of the HTTP side, and their defaults.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::server::Limits;

const KEY_REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(1000).expect("not zero");
/// A client that takes nothing of its answer for so long is cut off.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The HTTP side: the API, metrics and health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// IP address to listen on. By default only this machine can connect; serving others takes a reachable
    /// address and an API key.
    pub host: IpAddr,
    /// TCP port to listen on, 0 to 65535. With 0 the system picks a free one and the log names it.
    pub port: u16,
    /// Whether API keys are required. Without, everybody who can reach the port may do everything.
    pub auth: bool,
    /// Host names under which HTTP is reached when no keys are required, besides `localhost` and IP addresses. Others are
    /// refused: a web page could have pointed its own name at this address.
    pub allowed_hosts: Vec<String>,
    /// Rate limit of a key in requests per second, and its burst, 1 to 1,000,000. Others are answered with
    /// 429.
    pub key_requests_per_second: NonZeroU32,
    /// Maximum number of concurrent requests of a key, 1 to 100,000. Others are answered with 429.
    pub max_in_flight_per_key: usize,
    /// Maximum number of open connections, 16 to 100,000. One address has half of them at most.
    pub max_connections: usize,
    /// Maximum number of concurrent requests, 1 to 100,000. Others are answered with 503.
    pub max_requests: usize,
    /// How long to wait for the answer of the service, in seconds, 1 to 300. After that it is 504.
    pub timeout_secs: u64,
    /// How long an idle connection is kept for its next request, in seconds, 1 to 3600.
    pub keep_alive_secs: u64,
    /// After SIGTERM, how long requests are still taken while `/readyz` says no, in seconds, 0 to 300.
    pub drain_secs: u64,
    /// How long the requests in progress are waited for after that, in seconds, 1 to 600; at least `timeout_secs`.
    pub shutdown_secs: u64,
    /// PEM file of the certificate and its chain. With it, HTTPS is served and plain HTTP is not.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the key of the certificate, without a passphrase.
    pub key_file: Option<PathBuf>,
    /// PEM file of the certificate authorities of clients. With it, every client needs a certificate.
    pub client_ca_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::LOCALHOST.into(),
            port: 9000,
            auth: true,
            allowed_hosts: Vec::new(),
            key_requests_per_second: KEY_REQUESTS_PER_SECOND,
            max_in_flight_per_key: 256,
            max_connections: 8192,
            max_requests: 4096,
            timeout_secs: 10,
            keep_alive_secs: 75,
            drain_secs: 1,
            shutdown_secs: 20,
            cert_file: None,
            key_file: None,
            client_ca_file: None,
        }
    }
}

impl Settings {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            connections: self.max_connections,
            keep_alive: Duration::from_secs(self.keep_alive_secs),
            write: WRITE_TIMEOUT,
            drain: Duration::from_secs(self.drain_secs),
            finish: Duration::from_secs(self.shutdown_secs.max(self.timeout_secs)),
        }
    }
}
