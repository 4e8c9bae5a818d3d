//! Room for WebRTC peers: those on their way in, and all of them.
//!
//! A peer that has not connected holds a session, a permit and half of a connection
//! before it is known to be worth that. So they are counted by network, by application
//! and in all. When there is no room, the network with the most of them loses its
//! oldest one to a newcomer from a network that has fewer: many invitations that are
//! never answered keep out their own network alone.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contract::{Action, AppName, network};

use super::command::Busy;

/// How many peers there may be at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// On their way in, of all. Each is on its way for up to 20 s, so a network that
    /// never connects leaves the others room for a dozen a second.
    pub(crate) arriving: usize,
    /// On their way into one application.
    pub(crate) of_app: usize,
    /// On their way from one address; of IPv6, from one /64. Many share one (CGNAT, a
    /// conference room), but few of them come in the same second. Loopback is exempt:
    /// behind a proxy that we were not told to trust everybody is loopback.
    pub(crate) of_network: usize,
    /// Players and publishers, connected or not.
    pub(crate) peers: usize,
    /// Of these, those that players leave to publishers.
    pub(crate) reserved: usize,
}

impl Limits {
    /// With so many peers in all, an eighth of them for publishers alone: one of them
    /// serves many players, and is what they come for.
    pub(crate) const fn new(peers: usize) -> Self {
        Self { arriving: 256, of_app: 192, of_network: 32, peers, reserved: peers / 8 }
    }
}

/// Counts peers. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Lobby {
    limits: Limits,
    arriving: Arc<Mutex<Arriving>>,
    peers: Arc<AtomicUsize>,
    displaced: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Arriving {
    all: usize,
    next: u64,
    /// No empty queues, and so never more than [`Limits::arriving`]; the oldest first.
    of: HashMap<IpAddr, VecDeque<Ticket>>,
    /// No zeros.
    apps: HashMap<AppName, usize>,
}

#[derive(Debug)]
struct Ticket {
    number: u64,
    app: AppName,
    displaced: Arc<AtomicBool>,
}

/// What a peer takes: its place among those on their way in, and among all.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Dropped when it has connected.
    pub(crate) arrival: Arrival,
    /// Dropped with the peer.
    pub(crate) place: PeerPlace,
}

/// A peer that is on its way in; dropped when it has come in, or is gone.
#[derive(Debug)]
pub(crate) struct Arrival {
    number: u64,
    from: IpAddr,
    displaced: Arc<AtomicBool>,
    lobby: Lobby,
}

/// A peer's place among all.
#[derive(Debug)]
pub(crate) struct PeerPlace(Arc<AtomicUsize>);

impl Lobby {
    /// Nobody yet.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, arriving: Arc::default(), peers: Arc::default(), displaced: Arc::default() }
    }

    /// Lets one more begin, from this address (in canonical form), if there is room.
    pub(crate) fn enter(&self, from: IpAddr, app: &AppName, action: Action) -> Result<Entry, Busy> {
        let place = self.place(action).ok_or(Busy)?;
        let arrival = self.arrive(from, app).ok_or(Busy)?;
        Ok(Entry { arrival, place })
    }

    /// Peers that were put out on their way in, for one from a network with fewer.
    pub(crate) fn displaced(&self) -> u64 {
        self.displaced.load(Ordering::Relaxed)
    }

    /// Peers now.
    pub(crate) fn peers(&self) -> usize {
        self.peers.load(Ordering::Relaxed)
    }

    fn place(&self, action: Action) -> Option<PeerPlace> {
        let most = match action {
            Action::Publish => self.limits.peers,
            Action::Play => self.limits.peers - self.limits.reserved,
        };
        let one_more = |peers| (peers < most).then_some(peers + 1);
        let taken = self.peers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.ok().map(|_| PeerPlace(self.peers.clone()))
    }

    fn arrive(&self, from: IpAddr, app: &AppName) -> Option<Arrival> {
        let (from, limits) = (network(from), self.limits);
        let mut arriving = self.lock();
        let of_network = arriving.of.get(&from).map_or(0, VecDeque::len);
        if of_network >= limits.of_network && !from.is_loopback() {
            return None;
        }
        let of_app = arriving.apps.get(app).copied().unwrap_or_default();
        let full = match (arriving.all >= limits.arriving, of_app >= limits.of_app) {
            (_, true) => Some(Some(app)),
            (true, false) => Some(None),
            (false, false) => None,
        };
        if let Some(within) = full {
            arriving.displace(from, within)?;
            self.displaced.fetch_add(1, Ordering::Relaxed);
        }
        let (number, displaced) = arriving.add(from, app.clone());
        drop(arriving);
        Some(Arrival { number, from, displaced, lobby: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Arriving> {
        // Nothing panics while it holds the lock.
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arriving {
    fn add(&mut self, from: IpAddr, app: AppName) -> (u64, Arc<AtomicBool>) {
        let (number, displaced) = (self.next, Arc::<AtomicBool>::default());
        self.next += 1;
        self.all += 1;
        *self.apps.entry(app.clone()).or_default() += 1;
        let ticket = Ticket { number, app, displaced: displaced.clone() };
        self.of.entry(from).or_default().push_back(ticket);
        (number, displaced)
    }

    /// Puts out the oldest one of the network that has the most, if that has more than
    /// the newcomer's would have. Only in this application, if there is one.
    fn displace(&mut self, newcomer: IpAddr, within: Option<&AppName>) -> Option<()> {
        let counted = |ticket: &&Ticket| within.is_none_or(|app| ticket.app == *app);
        let count = |tickets: &VecDeque<Ticket>| tickets.iter().filter(counted).count();
        let (&fullest, most) =
            self.of.iter().map(|(of, tickets)| (of, count(tickets))).max_by_key(|(_, count)| *count)?;
        let own = self.of.get(&newcomer).map_or(0, count);
        if most <= own + 1 {
            return None;
        }
        let oldest = self.of.get(&fullest)?.iter().find(counted)?;
        oldest.displaced.store(true, Ordering::Release);
        let number = oldest.number;
        self.remove(fullest, number);
        Some(())
    }

    /// Takes out a ticket that may have been displaced already.
    fn remove(&mut self, from: IpAddr, number: u64) {
        let Some(tickets) = self.of.get_mut(&from) else { return };
        let at = tickets.iter().position(|ticket| ticket.number == number);
        let Some(ticket) = at.and_then(|at| tickets.remove(at)) else { return };
        if tickets.is_empty() {
            self.of.remove(&from);
        }
        self.all -= 1;
        let left = self.apps.get(&ticket.app).copied().unwrap_or_default().saturating_sub(1);
        match left {
            0 => self.apps.remove(&ticket.app),
            left => self.apps.insert(ticket.app, left),
        };
    }
}

impl Arrival {
    /// Whether its place was given to another.
    pub(crate) fn is_displaced(&self) -> bool {
        self.displaced.load(Ordering::Acquire)
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.lobby.lock().remove(self.from, self.number);
    }
}

impl Drop for PeerPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lobby(peers: usize) -> Lobby {
        Lobby::new(Limits::new(peers))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn app(name: &str) -> AppName {
        AppName::parse(name).unwrap()
    }

    /// As many as are let in, of this many tries.
    fn crowd(lobby: &Lobby, app: &AppName, tries: usize, from: impl Fn(usize) -> String) -> Vec<Entry> {
        (0..tries).filter_map(|n| lobby.enter(ip(&from(n)), app, Action::Publish).ok()).collect()
    }

    #[test]
    fn one_address_does_not_take_the_room_of_others_and_a_network_is_one() {
        let lobby = lobby(1000);
        let live = app("live");
        let four = crowd(&lobby, &live, 100, |_| "203.0.113.1".to_owned());
        let six = crowd(&lobby, &live, 100, |n| format!("2001:db8::{n:x}:1"));
        assert_eq!((four.len(), six.len()), (32, 32));
        assert!(lobby.enter(ip("203.0.113.2"), &live, Action::Play).is_ok());
        assert!(lobby.enter(ip("2001:db8:0:1::1"), &live, Action::Play).is_ok());
    }

    #[test]
    fn the_fullest_network_loses_its_oldest_to_a_newcomer_and_no_other_does() {
        let lobby = lobby(1000);
        let live = app("live");
        let quiet = lobby.enter(ip("198.51.100.1"), &live, Action::Publish).unwrap();
        let crowd = crowd(&lobby, &live, 192, |n| format!("203.0.113.{}", n / 32));
        assert_eq!(crowd.len(), 191, "as many as one application may have");
        let new = lobby.enter(ip("198.51.100.2"), &live, Action::Play).unwrap();
        let displaced: Vec<_> = crowd.iter().filter(|entry| entry.arrival.is_displaced()).collect();
        assert!(displaced.len() == 1 && !quiet.arrival.is_displaced() && !new.arrival.is_displaced());
        assert_eq!((lobby.lock().all, lobby.displaced()), (192, 1));
        // Of their own networks none gets in that way for long: they are even then.
        drop((crowd, quiet, new));
        assert!(lobby.lock().of.is_empty() && lobby.lock().apps.is_empty());
        assert_eq!((lobby.lock().all, lobby.peers()), (0, 0));
    }

    #[test]
    fn where_no_network_has_more_than_another_the_newcomer_is_refused() {
        let lobby = lobby(1000);
        let (live, other) = (app("live"), app("other"));
        let first = crowd(&lobby, &live, 300, |n| format!("198.51.{}.{}", n / 256, n % 256));
        assert_eq!(first.len(), 192, "one application leaves room for the others");
        let second = crowd(&lobby, &other, 300, |n| format!("203.0.{}.{}", n / 256, n % 256));
        assert_eq!(second.len(), 64);
        assert!(lobby.enter(ip("192.0.2.1"), &other, Action::Publish).is_err());
        assert_eq!(lobby.displaced(), 0);
        drop(first);
        assert!(lobby.enter(ip("192.0.2.1"), &other, Action::Publish).is_ok());
    }

    #[test]
    fn behind_a_proxy_that_is_not_trusted_everybody_is_one_network_and_not_bounded_as_one() {
        let lobby = lobby(1000);
        assert_eq!(crowd(&lobby, &app("live"), 300, |_| "127.0.0.1".to_owned()).len(), 192);
    }

    #[test]
    fn players_leave_an_eighth_of_the_places_to_publishers() {
        let lobby = lobby(16);
        let enter = |action| lobby.enter(ip("127.0.0.1"), &app("live"), action);
        let players: Vec<_> = (0..100).map_while(|_| enter(Action::Play).ok()).collect();
        let publishers: Vec<_> = (0..100).map_while(|_| enter(Action::Publish).ok()).collect();
        assert_eq!((players.len(), publishers.len()), (14, 2));
        drop(players);
        assert_eq!(lobby.peers(), 2);
        assert!(enter(Action::Play).is_ok());
    }
}
