//! The addresses of one broker: the nodes of a cluster.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::{Connection, ConnectionProperties, ErrorKind};
use tokio::time::Instant;

use crate::address::share;
use crate::{Address, AddressError};

/// The index of the last good address before the first connection.
const NONE: usize = usize::MAX;

/// The addresses of one broker, which is reached through any of them. Clones share which one worked last.
///
/// They are tried in a random order, so that the connections of many instances spread over the nodes; the one
/// that worked last comes first.
#[derive(Clone)]
pub struct Addresses {
    addresses: Vec<Address>,
    last_good: Arc<AtomicUsize>,
}

/// Why none of the addresses can be connected to: one reason for each.
#[derive(Debug)]
pub struct ConnectError(Vec<Failure>);

#[derive(Debug)]
struct Failure {
    address: String,
    user: String,
    error: lapin::Error,
}

/// The URLs in a text: commas separate them. A comma in a password separates nothing, for no URL follows it.
pub fn split_urls(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end =
            text.match_indices(',').map(|(comma, _)| comma).find(|comma| begins_url(&text[comma + 1..]));
        rest = end.map(|comma| &text[comma + 1..]);
        Some(text[..end.unwrap_or(text.len())].trim())
    })
}

fn begins_url(text: &str) -> bool {
    ["amqp://", "amqps://"].iter().any(|scheme| text.trim_start().starts_with(scheme))
}

impl Addresses {
    /// Parses one URL, or several with commas between them, and reads the files that they name, so that an
    /// unusable one is found at once.
    ///
    /// # Errors
    ///
    /// When a URL or a file cannot be used, or the URLs cannot all lead to the same broker.
    pub fn parse(amqp_urls: &str) -> Result<Self, AddressError> {
        let addresses = split_urls(amqp_urls).map(Address::parse).collect::<Result<Vec<_>, _>>()?;
        for pair in addresses.windows(2) {
            let [first, second] = [pair[0].uri(), pair[1].uri()];
            if first.vhost != second.vhost {
                return Err(AddressError::Unlike("virtual hosts"));
            }
            // A list that is encrypted in part protects nothing that can also go the other way.
            if first.scheme != second.scheme {
                return Err(AddressError::Unlike("schemes"));
            }
        }
        Ok(Self { addresses, last_good: Arc::new(AtomicUsize::new(NONE)) })
    }

    /// Defaults for what a URL does not set: the heartbeat in seconds, the maximum frame size in bytes.
    #[must_use]
    pub fn with_defaults(mut self, heartbeat: u16, frame_max: Option<u32>) -> Self {
        let set = |address: Address| address.with_defaults(heartbeat, frame_max);
        self.addresses = self.addresses.into_iter().map(set).collect();
        self
    }

    /// In the order in which they were given; [`Addresses::in_order`] is for connecting.
    pub fn iter(&self) -> impl Iterator<Item = &Address> {
        self.addresses.iter()
    }

    /// In the order in which to try them now.
    #[must_use]
    pub fn in_order(&self) -> Vec<&Address> {
        self.order().into_iter().map(|index| &self.addresses[index]).collect()
    }

    /// Connects to the first that answers, within this time for all of them together.
    ///
    /// # Errors
    ///
    /// When none of them answers, or each refuses, or the TLS handshake fails: the text then names the setting
    /// to check.
    pub async fn connect(
        &self,
        properties: ConnectionProperties,
        limit: Duration,
    ) -> Result<Connection, ConnectError> {
        let deadline = Instant::now() + limit;
        let order = self.order();
        let mut failures = Vec::new();
        for (tried, index) in order.iter().enumerate() {
            let address = &self.addresses[*index];
            match address.connect(&properties, share(deadline, order.len() - tried)).await {
                Ok(connection) => {
                    self.last_good.store(*index, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) => failures.push(Failure::new(address, error)),
            }
        }
        Err(ConnectError(failures))
    }

    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.addresses.len()).collect();
        fastrand::shuffle(&mut order);
        let last_good = self.last_good.load(Ordering::Relaxed);
        order.sort_by_key(|index| *index != last_good);
        order
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.addresses).finish()
    }
}

impl Failure {
    fn new(address: &Address, error: lapin::Error) -> Self {
        let user = address.uri().authority.userinfo.username.clone();
        Self { address: address.host_and_port(), user, error }
    }

    fn reason(&self) -> String {
        let refused = AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED);
        match self.error.kind() {
            ErrorKind::ProtocolError(protocol) if *protocol.kind() == refused => {
                "access refused (user name or password)".to_owned()
            }
            ErrorKind::ProtocolError(protocol) => protocol.get_message().to_string(),
            ErrorKind::IOError(error) => florin_tls::plain(error),
            _ => self.error.to_string(),
        }
    }
}

impl ConnectError {
    /// A failed attempt that was made by other means.
    #[must_use]
    pub fn of(address: &Address, error: lapin::Error) -> Self {
        Self(vec![Failure::new(address, error)])
    }

    /// Hosts and ports, and as whom.
    #[must_use]
    pub fn target(&self) -> String {
        let addresses: Vec<&str> = self.0.iter().map(|failure| failure.address.as_str()).collect();
        let mut users: Vec<&str> = self.0.iter().map(|failure| failure.user.as_str()).collect();
        users.dedup();
        format!("{} as {}", addresses.join(", "), users.join(", "))
    }

    /// Whether none of them refused: they were silent.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        let silent = |failure: &Failure| matches!(failure.error.kind(), ErrorKind::IOError(error) if error.kind() == io::ErrorKind::TimedOut);
        self.0.iter().all(silent)
    }
}

/// The reason of the only address, or each with its reason.
impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return f.write_str(&only.reason());
        }
        let reasons = self.0.iter().map(|failure| format!("{}: {}", failure.address, failure.reason()));
        f.write_str(&reasons.collect::<Vec<_>>().join("; "))
    }
}

impl std::error::Error for ConnectError {}

impl From<ConnectError> for lapin::Error {
    fn from(mut error: ConnectError) -> Self {
        match error.0.len() {
            1 => error.0.remove(0).error,
            _ => io::Error::other(error).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_separate_urls_and_not_passwords() {
        let cases: [(&str, &[&str]); 5] = [
            ("amqp://a", &["amqp://a"]),
            ("amqp://a,amqp://b/v", &["amqp://a", "amqp://b/v"]),
            ("amqps://u:p@a , amqps://u:p@b", &["amqps://u:p@a", "amqps://u:p@b"]),
            ("amqp://u:p,q@a,amqp://u:p,q@b", &["amqp://u:p,q@a", "amqp://u:p,q@b"]),
            ("", &[""]),
        ];
        for (text, urls) in cases {
            assert_eq!(split_urls(text).collect::<Vec<_>>(), urls, "{text}");
        }
    }

    #[test]
    fn addresses_lead_to_one_broker() {
        let refusal = |urls| Addresses::parse(urls).unwrap_err().to_string();
        assert!(refusal("amqp://a/v,amqp://b/w").contains("different virtual hosts"));
        assert!(refusal("amqp://a/v,amqps://b/v").contains("different schemes"));
        assert!(refusal("amqp://u:s3cret@a,amqp://u:s3cret@b:x").contains("cannot be parsed"));
        assert!(!refusal("amqp://u:s3cret@a,amqp://u:s3cret@b:x").contains("s3cret"));
    }

    #[test]
    fn the_last_good_one_comes_first() {
        let addresses = Addresses::parse("amqp://a,amqp://b,amqp://c").unwrap();
        let first = |addresses: &Addresses| addresses.order()[0];
        let firsts: std::collections::BTreeSet<usize> = (0..200).map(|_| first(&addresses)).collect();
        assert_eq!(firsts.into_iter().collect::<Vec<_>>(), [0, 1, 2], "the order is random");
        addresses.last_good.store(2, Ordering::Relaxed);
        assert!((0..200).all(|_| first(&addresses.clone()) == 2));
    }

    /// Neither a dead port nor one that takes the connection and says nothing keeps the others from being tried,
    /// and the text names each, without the password.
    #[tokio::test]
    async fn each_address_gets_its_share_of_the_time() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = silent.local_addr().unwrap();
        let urls = format!("amqp://u:s3cret@127.0.0.1:1,amqp://u:s3cret@{silent}");
        let addresses = Addresses::parse(&urls).unwrap();
        let limit = Duration::from_millis(400);
        let started = Instant::now();
        let error = addresses.connect(ConnectionProperties::default(), limit).await.unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        let text = format!("{error} {error:?} {addresses:?}");
        assert!(text.contains("127.0.0.1:1: connection refused"), "{text}");
        assert!(text.contains(&format!("{silent}: no connection within")), "{text}");
        assert!(!text.contains("s3cret") && !error.is_timeout(), "{text}");
    }
}
