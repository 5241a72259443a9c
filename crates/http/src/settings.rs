//! The settings of the HTTP side, and their defaults.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

const KEY_REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(1000).expect("not zero");

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
    /// Rate limit of a key in requests per second, and its burst, 1 to 1,000,000. Others are answered with
    /// 429.
    pub key_requests_per_second: NonZeroU32,
    /// Maximum number of concurrent requests, 1 to 100,000. Others are answered with 503.
    pub max_requests: usize,
    /// How long to wait for the answer of the service, in seconds, 1 to 300. After that it is 504.
    pub timeout_secs: u64,
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
            key_requests_per_second: KEY_REQUESTS_PER_SECOND,
            max_requests: 4096,
            timeout_secs: 10,
            cert_file: None,
            key_file: None,
            client_ca_file: None,
        }
    }
}
