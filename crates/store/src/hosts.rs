//! Several database hosts in one URL, as libpq has them: they are tried in turn until one takes the session.
//!
//! tokio-postgres can do that too, but without a limit on each: a host that accepts the connection and then says
//! nothing (frozen, or cut off) would use up the time of all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_postgres::Config;
use tokio_postgres::config::{Host, LoadBalanceHosts};

/// The hosts of a URL, each as a configuration of its own.
#[derive(Clone)]
pub(crate) struct Hosts {
    configs: Arc<[Config]>,
    /// The one that took the last session: it is tried first.
    last_good: Arc<AtomicUsize>,
    shuffle: bool,
}

impl Hosts {
    pub(crate) fn of(config: &Config) -> Self {
        let count = config.get_hosts().len().max(config.get_hostaddrs().len()).max(1);
        Self {
            configs: (0..count).map(|index| only(config, index)).collect(),
            last_good: Arc::default(),
            shuffle: config.get_load_balance_hosts() == LoadBalanceHosts::Random,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.configs.len()
    }

    /// The hosts in the order in which they are to be tried, with their numbers.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (usize, &Config)> {
        let first = self.last_good.load(Ordering::Relaxed);
        let mut order: Vec<usize> = (0..self.count()).collect();
        if self.shuffle {
            fastrand::shuffle(&mut order);
        }
        // Stable: the others keep their order.
        order.sort_by_key(|index| *index != first);
        order.into_iter().map(|index| (index, &self.configs[index]))
    }

    /// This host took a session: from now on it is tried first.
    pub(crate) fn took_session(&self, index: usize) {
        self.last_good.store(index, Ordering::Relaxed);
    }
}

/// The configuration with this host only.
fn only(all: &Config, index: usize) -> Config {
    let mut one = Config::new();
    match all.get_hosts().get(index) {
        Some(Host::Tcp(name)) => {
            one.host(name);
        }
        Some(Host::Unix(folder)) => {
            one.host_path(folder);
        }
        None => {}
    }
    if let Some(address) = all.get_hostaddrs().get(index) {
        one.hostaddr(*address);
    }
    // A single port counts for all hosts.
    if let Some(port) = all.get_ports().get(index).or(all.get_ports().first()) {
        one.port(*port);
    }
    copy_session_settings(all, &mut one);
    copy_connection_settings(all, &mut one);
    one
}

fn copy_session_settings(all: &Config, one: &mut Config) {
    if let Some(user) = all.get_user() {
        one.user(user);
    }
    if let Some(password) = all.get_password() {
        one.password(password);
    }
    if let Some(name) = all.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = all.get_options() {
        one.options(options);
    }
    if let Some(name) = all.get_application_name() {
        one.application_name(name);
    }
}

fn copy_connection_settings(all: &Config, one: &mut Config) {
    one.ssl_negotiation(all.get_ssl_negotiation())
        .channel_binding(all.get_channel_binding())
        .target_session_attrs(all.get_target_session_attrs())
        .keepalives(all.get_keepalives())
        .keepalives_idle(all.get_keepalives_idle());
    if let Some(timeout) = all.get_connect_timeout() {
        one.connect_timeout(*timeout);
    }
    if let Some(timeout) = all.get_tcp_user_timeout() {
        one.tcp_user_timeout(*timeout);
    }
    if let Some(interval) = all.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = all.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "postgres://app:se%20cret@one:5433,two:5434,three/ledger?application_name=x&connect_timeout=3\
                       &keepalives_idle=7&tcp_user_timeout=9&options=-c%20geqo%3Doff&channel_binding=disable";

    fn hosts(url: &str) -> Hosts {
        Hosts::of(&url.parse().unwrap())
    }

    #[test]
    fn each_host_is_a_url_of_its_own() {
        let hosts = hosts(URL);
        let rest = URL.split_once("/ledger").unwrap().1;
        let expected = ["one:5433", "two:5434", "three:5432"];
        assert_eq!(hosts.count(), expected.len());
        for (config, host) in hosts.configs.iter().zip(expected) {
            let alone: Config = format!("postgres://app:se%20cret@{host}/ledger{rest}").parse().unwrap();
            assert_eq!(*config, alone);
        }
    }

    #[test]
    fn the_last_good_host_is_tried_first() {
        let hosts = hosts(URL);
        let order = |hosts: &Hosts| hosts.in_order().map(|(index, _)| index).collect::<Vec<_>>();
        assert_eq!(order(&hosts), [0, 1, 2]);
        hosts.took_session(1);
        assert_eq!(order(&hosts), [1, 0, 2]);
        let random = self::hosts(&format!("{URL}&load_balance_hosts=random"));
        random.took_session(2);
        assert_eq!(order(&random)[0], 2);
    }
}
