//! Which connections are open, and which one makes room for another.
//!
//! An idle connection (one that sends nothing, or is between two requests) costs a descriptor and helps nobody. So it
//! never keeps anybody out: when there is no room, the one that has been idle longest is closed. One address has at most
//! half of the places, and makes room among its own.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The part of an IPv6 address that is one customer's network: he has as many addresses in it as he likes.
const NETWORK_BITS: u128 = !0 << 64;

/// A bounded number of connections.
#[derive(Debug)]
pub(super) struct Connections {
    limit: usize,
    limit_per_peer: usize,
    registry: Mutex<Registry>,
}

#[derive(Debug, Default)]
struct Registry {
    /// Counts what happens, so that what happened earlier has a lower number.
    events: u64,
    open: HashMap<u64, Open>,
    /// Idle connections by the event that made them idle.
    idle: BTreeMap<u64, u64>,
    peers: HashMap<IpAddr, Peer>,
}

#[derive(Debug)]
struct Open {
    peer: IpAddr,
    idle_since: Option<u64>,
    evicted: CancellationToken,
}

#[derive(Debug, Default)]
struct Peer {
    open: usize,
    idle: BTreeMap<u64, u64>,
}

/// A connection's place. It is idle until a request begins.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    id: u64,
    is_busy: AtomicBool,
    evicted: CancellationToken,
}

/// A request in progress.
#[derive(Debug)]
pub(super) struct Busy(Arc<Place>);

impl Connections {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        let limit_per_peer = (limit / 2).max(1);
        Arc::new(Self { limit, limit_per_peer, registry: Mutex::default() })
    }

    /// A place for a connection of this address; none when nobody idle can make room.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Arc<Place>> {
        let peer = network(peer);
        let mut registry = self.registry();
        let of_peer = registry.peers.get(&peer).map_or(0, |peer| peer.open);
        let has_room = if of_peer >= self.limit_per_peer {
            registry.evict_of(peer)
        } else {
            registry.open.len() < self.limit || registry.evict()
        };
        has_room.then(|| {
            let evicted = CancellationToken::new();
            let id = registry.add(peer, evicted.clone());
            Arc::new(Place { connections: Arc::clone(self), id, is_busy: AtomicBool::new(false), evicted })
        })
    }

    /// Closes the connection that has been idle longest.
    pub(super) fn evict(&self) -> bool {
        self.registry().evict()
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn next(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    fn add(&mut self, peer: IpAddr, evicted: CancellationToken) -> u64 {
        let id = self.next();
        self.open.insert(id, Open { peer, idle_since: None, evicted });
        self.peers.entry(peer).or_default().open += 1;
        self.set_idle(id, true);
        id
    }

    /// Does nothing for a connection that was evicted.
    fn set_idle(&mut self, id: u64, is_idle: bool) {
        let now = self.next();
        let Some(open) = self.open.get_mut(&id) else { return };
        let of_peer = self.peers.entry(open.peer).or_default();
        if let Some(since) = open.idle_since.take() {
            self.idle.remove(&since);
            of_peer.idle.remove(&since);
        }
        if is_idle {
            open.idle_since = Some(now);
            self.idle.insert(now, id);
            of_peer.idle.insert(now, id);
        }
    }

    fn evict(&mut self) -> bool {
        let longest = self.idle.first_key_value().map(|(_, id)| *id);
        longest.is_some_and(|id| self.remove(id))
    }

    fn evict_of(&mut self, peer: IpAddr) -> bool {
        let longest = self.peers.get(&peer).and_then(|peer| peer.idle.first_key_value()).map(|(_, id)| *id);
        longest.is_some_and(|id| self.remove(id))
    }

    /// Whether it was there.
    fn remove(&mut self, id: u64) -> bool {
        self.set_idle(id, false);
        let Some(Open { peer, evicted, .. }) = self.open.remove(&id) else { return false };
        evicted.cancel();
        let left = self.peers.get_mut(&peer).map_or(0, |of_peer| {
            of_peer.open -= 1;
            of_peer.open
        });
        if left == 0 {
            self.peers.remove(&peer);
        }
        true
    }
}

impl Place {
    /// Until what is returned is dropped, the connection is not closed for another one.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.set_busy(true);
        Busy(Arc::clone(self))
    }

    fn set_busy(&self, is_busy: bool) {
        self.is_busy.store(is_busy, Ordering::Relaxed);
        self.connections.registry().set_idle(self.id, !is_busy);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::Relaxed)
    }

    /// Resolves when it has to make room.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.evicted.is_cancelled()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set_busy(false);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.registry().remove(self.id);
    }
}

/// Addresses that are as good as one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & NETWORK_BITS).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn peer(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    #[test]
    fn the_longest_idle_makes_room_and_the_busy_stay() {
        let connections = Connections::new(3);
        let enter = |last| connections.enter(peer(last));
        let (first, second, third) = (enter(1).unwrap(), enter(2).unwrap(), enter(3).unwrap());
        let busy = first.begin();
        let fourth = enter(4).unwrap();
        assert!(!first.is_evicted() && second.is_evicted() && !third.is_evicted());
        drop(busy);
        let _fifth = enter(5).unwrap();
        assert!(!first.is_evicted() && third.is_evicted(), "the first was at work a moment ago");
        let (_one, _other) = (first.begin(), fourth.begin());
        let fifth = enter(6).unwrap();
        let _last = fifth.begin();
        assert!(enter(7).is_none(), "all are at work");
    }

    #[test]
    fn one_address_makes_room_among_its_own() {
        let connections = Connections::new(4);
        let enter = |last| connections.enter(peer(last));
        let other = enter(1).unwrap();
        let (first, second) = (enter(2).unwrap(), enter(2).unwrap());
        let _third = enter(2).unwrap();
        assert!(first.is_evicted() && !second.is_evicted() && !other.is_evicted());
        let _busy = (second.begin(), _third.begin());
        assert!(enter(2).is_none());
        assert!(enter(3).is_some());
    }

    #[test]
    fn what_ends_leaves_nothing_behind() {
        let connections = Connections::new(2);
        for _ in 0..3 {
            let place = connections.enter(peer(1)).unwrap();
            drop(place.begin());
            connections.evict();
            drop(place.begin());
            drop(place);
        }
        let registry = connections.registry();
        assert!(registry.open.is_empty() && registry.idle.is_empty() && registry.peers.is_empty());
    }

    #[test]
    fn a_network_of_addresses_counts_as_one() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
