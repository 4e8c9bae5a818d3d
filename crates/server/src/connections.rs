//! Which connections the public HTTP server holds when there are more than it may.
//!
//! The rule: when all places are taken, the network that holds most loses its newest
//! connection to a network that holds fewer; a network that holds as many as any is refused.
//! So one large network behind address translation is served while there is room, and
//! attackers keep nobody out who has fewer connections than each of them. Some places are
//! kept for networks that may call the control API.

use std::any::Any;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use actix_web::dev::Extensions;
use contract::{AppName, SettingsView, TrustedProxies, canonical, site};
use hls::Connection;

/// One place in so many is kept for networks that may call the control API.
const KEPT: usize = 16;

/// Connections that lost their place, or got none, between two lines in the log.
const TOLD_EVERY: u64 = 1000;

/// Counts connections. Cheap to clone; usable from any thread.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Shared>);

struct Shared {
    table: Mutex<Table<Weak<Connection>>>,
    settings: SettingsView,
    proxies: TrustedProxies,
    trusts_loopback: bool,
}

/// A connection's place, which is free when this is dropped.
struct Place {
    network: Option<IpAddr>,
    id: u64,
    connections: Connections,
}

impl Connections {
    /// `most` at a time. A connection of one of `proxies` stands for many networks and is
    /// bounded in all only. The places that are kept are for networks that an application's
    /// `remoteAllowedCIDR` names, and for loopback where it is trusted.
    pub(crate) fn new(
        most: usize,
        settings: SettingsView,
        proxies: TrustedProxies,
        trusts_loopback: bool,
    ) -> Self {
        Self(Arc::new(Shared { table: Mutex::new(Table::new(most)), settings, proxies, trusts_loopback }))
    }

    /// For `HttpServer::on_connect`: keeps the descriptor for fences to reach, and gives
    /// the connection a place that lasts as long as it does, or closes it.
    pub(crate) fn on_connect(&self, io: &dyn Any, extensions: &mut Extensions) {
        let Some((peer, connection)) = hls::on_connect(io, extensions) else { return };
        match self.enter(canonical(peer.ip()), Arc::downgrade(&connection)) {
            Some(place) => {
                extensions.insert(place);
            }
            None => connection.close(),
        }
    }

    fn enter(&self, peer: IpAddr, connection: Weak<Connection>) -> Option<Place> {
        let network = (!self.0.proxies.contains(peer)).then(|| holder(peer));
        let mut table = self.table();
        let entered = table.enter(network, || self.operates(peer), connection);
        let lost = table.lost;
        drop(table);
        if !matches!(entered, Some((_, None))) && lost % TOLD_EVERY == 1 {
            tracing::warn!(%peer, lost, "all places for HTTP connections are taken; the largest network loses");
        }
        let (id, loser) = entered?;
        if let Some(loser) = loser.and_then(|loser| loser.upgrade()) {
            loser.close();
        }
        Some(Place { network, id, connections: self.clone() })
    }

    /// Whether the control API may be called from there.
    fn operates(&self, peer: IpAddr) -> bool {
        if peer.is_loopback() {
            return self.0.trusts_loopback;
        }
        let of = |app: &AppName| self.0.settings.app(app).and_then(|app| app.security.rest_networks.clone());
        self.0.settings.apps().iter().filter_map(of).flatten().any(|net| net.contains(&peer))
    }

    /// Connections now, and those that lost their place or got none since the start.
    pub(crate) fn counts(&self) -> (usize, u64) {
        let table = self.table();
        (table.all, table.lost)
    }

    fn table(&self) -> MutexGuard<'_, Table<Weak<Connection>>> {
        // Nothing panics while it holds the lock.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.table().leave(self.network, self.id);
    }
}

/// Whose connections are counted together: an IPv4 address, or an IPv6 /48, because its holder
/// has all of its 65,536 /64s.
fn holder(peer: IpAddr) -> IpAddr {
    if peer.is_ipv6() { site(peer) } else { peer }
}

/// The rule, without sockets: `T` stands for a connection.
struct Table<T> {
    most: usize,
    all: usize,
    next: u64,
    /// By network, oldest first; proxies' together. No empty lists, so never more entries
    /// than `all`.
    of: HashMap<Option<IpAddr>, Vec<(u64, T)>>,
    lost: u64,
}

impl<T> Table<T> {
    fn new(most: usize) -> Self {
        Self { most, all: 0, next: 0, of: HashMap::new(), lost: 0 }
    }

    /// Takes a place for a connection of `network`; `None` is a proxy, which loses none.
    /// Gives its id, and the connection that made room, if one had to; `None` if none could.
    fn enter(
        &mut self,
        network: Option<IpAddr>,
        operates: impl FnOnce() -> bool,
        connection: T,
    ) -> Option<(u64, Option<T>)> {
        let public = self.most - self.most / KEPT;
        let is_full = self.all >= self.most || (self.all >= public && !operates());
        self.lost += u64::from(is_full);
        let loser = if is_full { Some(self.take_from_the_largest(network)?) } else { None };
        self.next += 1;
        self.all += 1;
        self.of.entry(network).or_default().push((self.next, connection));
        Some((self.next, loser))
    }

    /// The newest connection of the network that holds most, if that is still not less than
    /// what `network` will hold.
    fn take_from_the_largest(&mut self, network: Option<IpAddr>) -> Option<T> {
        let held = network.map_or(0, |_| self.of.get(&network).map_or(0, Vec::len));
        let networks = self.of.iter_mut().filter(|(network, _)| network.is_some());
        let (_, largest) = networks.max_by_key(|(_, held)| held.len())?;
        if largest.len() < held + 2 {
            return None;
        }
        self.all -= 1;
        largest.pop().map(|(_, connection)| connection)
    }

    /// A connection has ended, which may have lost its place before.
    fn leave(&mut self, network: Option<IpAddr>, id: u64) {
        let Some(held) = self.of.get_mut(&network) else { return };
        let before = held.len();
        held.retain(|(other, _)| *other != id);
        self.all -= before - held.len();
        if held.is_empty() {
            self.of.remove(&network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 4096;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn stranger(table: &mut Table<()>, network: Option<IpAddr>) -> Option<(u64, Option<()>)> {
        table.enter(network, || false, ())
    }

    fn is_in(entered: Option<(u64, Option<()>)>) -> bool {
        matches!(entered, Some((_, None)))
    }

    fn makes_room(entered: Option<(u64, Option<()>)>) -> bool {
        matches!(entered, Some((_, Some(()))))
    }

    fn fill(table: &mut Table<()>, network: Option<IpAddr>) -> usize {
        (0..2 * MOST).take_while(|_| is_in(stranger(table, network))).count()
    }

    #[test]
    fn a_network_that_holds_most_makes_room_for_others_and_for_itself_has_none() {
        let mut table = Table::new(MOST);
        let public = MOST - MOST / KEPT;
        assert_eq!(fill(&mut table, ip("192.0.2.1")), public);
        assert!(stranger(&mut table, ip("192.0.2.1")).is_none());
        for _ in 0..public / 2 {
            assert!(makes_room(stranger(&mut table, ip("192.0.2.2"))));
        }
        assert!(stranger(&mut table, ip("192.0.2.2")).is_none(), "both hold half");
        for n in 0..1000_u32 {
            let other = Some(IpAddr::from((0xc633_6400 + n).to_be_bytes()));
            assert!(makes_room(stranger(&mut table, other)), "{n}");
        }
        assert_eq!(table.all, public);
        assert!(makes_room(stranger(&mut table, None)), "a proxy stands for many");
    }

    #[test]
    fn places_are_kept_for_networks_that_operate_it() {
        let mut table = Table::new(MOST);
        while is_in(stranger(&mut table, None)) {}
        assert_eq!(table.all, MOST - MOST / KEPT, "a proxy too leaves the kept places");
        assert!(stranger(&mut table, ip("192.0.2.1")).is_none());
        let mut operator = || table.enter(ip("198.51.100.1"), || true, ());
        let kept = (0..MOST).take_while(|_| is_in(operator())).count();
        assert_eq!(kept, MOST / KEPT);
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends_and_is_given_back_once() {
        let mut table = Table::new(1);
        assert_eq!(table.enter(ip("192.0.2.1"), || false, 'a'), Some((1, None)));
        assert_eq!(table.enter(ip("192.0.2.1"), || false, 'b'), None);
        table.leave(ip("192.0.2.1"), 1);
        assert_eq!(table.enter(ip("192.0.2.1"), || false, 'c'), Some((2, None)));
        let mut table = Table::new(2);
        table.enter(ip("192.0.2.1"), || false, 'a');
        table.enter(ip("192.0.2.1"), || false, 'b');
        assert_eq!(table.enter(ip("192.0.2.2"), || false, 'c'), Some((3, Some('b'))));
        table.leave(ip("192.0.2.1"), 2);
        assert_eq!(table.all, 2);
        table.leave(ip("192.0.2.1"), 1);
        table.leave(ip("192.0.2.2"), 3);
        assert!(table.of.is_empty() && table.all == 0);
    }

    #[test]
    fn a_site_of_ipv6_is_one_holder() {
        let same = |a: &str, b: &str| holder(a.parse().unwrap()) == holder(b.parse().unwrap());
        assert!(same("2001:db8:1:2::1", "2001:db8:1:ffff::9") && !same("2001:db8:1::1", "2001:db8:2::1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }

    #[test]
    fn the_networks_of_the_control_api_are_known_by_the_settings() {
        let settings =
            || SettingsView::fixed(AppName::parse("live").unwrap(), contract::AppSettings::default());
        let connections = |trusts| Connections::new(2, settings(), TrustedProxies::default(), trusts);
        let here = IpAddr::from([127, 0, 0, 1]);
        assert!(connections(true).operates(here) && !connections(false).operates(here));
        assert!(!connections(true).operates(IpAddr::from([192, 0, 2, 1])));
        let connections = connections(true);
        let places = [(); 3].map(|()| connections.enter(here, Weak::new()));
        assert_eq!(places.iter().filter(|place| place.is_some()).count(), 2);
        drop(places);
        assert_eq!(connections.counts(), (0, 1));
    }
}
