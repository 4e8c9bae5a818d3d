//! Counts peers and sockets that hold something of ours and are not known to be worth it
//! yet: by network, by application and in all.
//!
//! When there is no room, the network with the most of them loses its oldest one to a
//! newcomer from a network that has fewer: many that never become anything keep out
//! their own network alone.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contract::{AppName, network};
use tokio_util::sync::CancellationToken;

/// How many there may be at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// In all.
    pub(crate) all: usize,
    /// In one application, of those whose application is known.
    pub(crate) of_app: usize,
    /// Of one address; of IPv6, of one /64. Loopback is exempt: behind a proxy that we
    /// were not told to trust, all peers are loopback.
    pub(crate) of_network: usize,
}

/// Counts them. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Crowd {
    bounds: Bounds,
    members: Arc<Mutex<Members>>,
    displaced: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Members {
    all: usize,
    next: u64,
    /// No empty queues, and so never more than [`Bounds::all`]; the oldest first.
    of: HashMap<IpAddr, VecDeque<Ticket>>,
    /// No zeros.
    apps: HashMap<AppName, usize>,
}

#[derive(Debug)]
struct Ticket {
    number: u64,
    app: Option<AppName>,
    displaced: CancellationToken,
}

/// A place in a crowd, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Member {
    number: u64,
    from: IpAddr,
    displaced: CancellationToken,
    crowd: Crowd,
}

impl Crowd {
    /// An empty one.
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, members: Arc::default(), displaced: Arc::default() }
    }

    /// Lets one more in, from this address (in canonical form), if there is room.
    pub(crate) fn enter(&self, from: IpAddr, app: &AppName) -> Option<Member> {
        self.admit(from, Some(app), self.bounds.all)
    }

    /// The same of a peer that has not said yet which application it wants.
    pub(crate) fn enter_unnamed(&self, from: IpAddr) -> Option<Member> {
        self.admit(from, None, self.bounds.all)
    }

    /// The same where there is no room elsewhere: another must go, and nobody is let in
    /// beside those there are.
    pub(crate) fn replace(&self, from: IpAddr) -> Option<Member> {
        self.admit(from, None, 0)
    }

    fn admit(&self, from: IpAddr, app: Option<&AppName>, most: usize) -> Option<Member> {
        let (from, bounds) = (network(from), self.bounds);
        let mut members = self.lock();
        let of_network = members.of.get(&from).map_or(0, VecDeque::len);
        if of_network >= bounds.of_network && !from.is_loopback() {
            return None;
        }
        let of_app = app.and_then(|app| members.apps.get(app)).copied().unwrap_or_default();
        let full = match (members.all >= most, of_app >= bounds.of_app) {
            (_, true) => Some(app),
            (true, false) => Some(None),
            (false, false) => None,
        };
        if let Some(within) = full {
            members.displace(from, within)?;
            self.displaced.fetch_add(1, Ordering::Relaxed);
        }
        let (number, displaced) = members.add(from, app.cloned());
        drop(members);
        Some(Member { number, from, displaced, crowd: self.clone() })
    }

    /// How many lost their place to a newcomer from a network with fewer.
    pub(crate) fn displaced(&self) -> u64 {
        self.displaced.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        // Nothing panics while it holds the lock.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    fn add(&mut self, from: IpAddr, app: Option<AppName>) -> (u64, CancellationToken) {
        let (number, displaced) = (self.next, CancellationToken::new());
        self.next += 1;
        self.all += 1;
        if let Some(app) = &app {
            *self.apps.entry(app.clone()).or_default() += 1;
        }
        let ticket = Ticket { number, app, displaced: displaced.clone() };
        self.of.entry(from).or_default().push_back(ticket);
        (number, displaced)
    }

    /// Puts out the oldest one of the network that has the most, if that has more than
    /// the newcomer's would have. Only in this application, if there is one.
    fn displace(&mut self, newcomer: IpAddr, within: Option<&AppName>) -> Option<()> {
        let counted = |ticket: &&Ticket| within.is_none_or(|app| ticket.app.as_ref() == Some(app));
        let count = |tickets: &VecDeque<Ticket>| tickets.iter().filter(counted).count();
        let (&fullest, most) =
            self.of.iter().map(|(of, tickets)| (of, count(tickets))).max_by_key(|(_, count)| *count)?;
        let own = self.of.get(&newcomer).map_or(0, count);
        if most <= own + 1 {
            return None;
        }
        let oldest = self.of.get(&fullest)?.iter().find(counted)?;
        oldest.displaced.cancel();
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
        let Some(app) = ticket.app else { return };
        let left = self.apps.get(&app).copied().unwrap_or_default().saturating_sub(1);
        match left {
            0 => self.apps.remove(&app),
            left => self.apps.insert(app, left),
        };
    }
}

impl Member {
    /// Whether its place was given to another.
    pub(crate) fn is_displaced(&self) -> bool {
        self.displaced.is_cancelled()
    }

    /// Resolves when its place was given to another. Cancel-safe.
    pub(crate) async fn displaced(&self) {
        self.displaced.cancelled().await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.crowd.lock().remove(self.from, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { all: 256, of_app: 192, of_network: 32 };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn app(name: &str) -> AppName {
        AppName::parse(name).unwrap()
    }

    /// As many as are let in, of this many tries.
    fn come(crowd: &Crowd, app: &AppName, tries: usize, from: impl Fn(usize) -> String) -> Vec<Member> {
        (0..tries).filter_map(|n| crowd.enter(ip(&from(n)), app)).collect()
    }

    #[test]
    fn one_address_does_not_take_the_room_of_others_and_a_network_is_one() {
        let (crowd, live) = (Crowd::new(BOUNDS), app("live"));
        let four = come(&crowd, &live, 100, |_| "203.0.113.1".to_owned());
        let six = come(&crowd, &live, 100, |n| format!("2001:db8::{n:x}:1"));
        assert_eq!((four.len(), six.len()), (32, 32));
        assert!(crowd.enter(ip("203.0.113.2"), &live).is_some());
        assert!(crowd.enter(ip("2001:db8:0:1::1"), &live).is_some());
    }

    #[test]
    fn the_fullest_network_loses_its_oldest_to_a_newcomer_and_no_other_does() {
        let (crowd, live) = (Crowd::new(BOUNDS), app("live"));
        let quiet = crowd.enter(ip("198.51.100.1"), &live).unwrap();
        let many = come(&crowd, &live, 192, |n| format!("203.0.113.{}", n / 32));
        assert_eq!(many.len(), 191, "as many as one application may have");
        let new = crowd.enter(ip("198.51.100.2"), &live).unwrap();
        let displaced = many.iter().filter(|member| member.is_displaced()).count();
        assert!(displaced == 1 && !quiet.is_displaced() && !new.is_displaced());
        assert_eq!((crowd.lock().all, crowd.displaced()), (192, 1));
        drop((many, quiet, new));
        assert!(crowd.lock().of.is_empty() && crowd.lock().apps.is_empty());
        assert_eq!(crowd.lock().all, 0);
    }

    #[test]
    fn where_no_network_has_more_than_another_the_newcomer_is_refused() {
        let (crowd, live, other) = (Crowd::new(BOUNDS), app("live"), app("other"));
        let first = come(&crowd, &live, 300, |n| format!("198.51.{}.{}", n / 256, n % 256));
        assert_eq!(first.len(), 192, "one application leaves room for the others");
        let second = come(&crowd, &other, 300, |n| format!("203.0.{}.{}", n / 256, n % 256));
        assert_eq!(second.len(), 64);
        assert!(crowd.enter(ip("192.0.2.1"), &other).is_none());
        assert_eq!(crowd.displaced(), 0);
        drop(first);
        assert!(crowd.enter(ip("192.0.2.1"), &other).is_some());
    }

    #[test]
    fn peers_without_an_application_are_displaced_and_replaced_by_network_too() {
        let crowd = Crowd::new(BOUNDS);
        let unnamed = |from: String| crowd.enter_unnamed(ip(&from));
        let many: Vec<_> = (0..256).filter_map(|n| unnamed(format!("203.0.113.{}", n / 32))).collect();
        assert_eq!(many.len(), 256, "no application bounds them");
        let new = unnamed("198.51.100.1".to_owned()).unwrap();
        drop(many);
        assert!(crowd.replace(ip("198.51.100.2")).is_none(), "there is no network with more");
        let two = [(); 2].map(|()| unnamed("203.0.113.1".to_owned()).unwrap());
        let newer = crowd.replace(ip("198.51.100.2")).unwrap();
        assert_eq!(two.each_ref().map(Member::is_displaced), [true, false]);
        assert!(!new.is_displaced() && !newer.is_displaced());
        drop((two, new, newer));
        assert!(crowd.lock().of.is_empty() && crowd.lock().all == 0);
    }

    #[test]
    fn behind_a_proxy_that_is_not_trusted_everybody_is_one_network_and_not_bounded_as_one() {
        let crowd = Crowd::new(BOUNDS);
        assert_eq!(come(&crowd, &app("live"), 300, |_| "127.0.0.1".to_owned()).len(), 192);
    }
}
