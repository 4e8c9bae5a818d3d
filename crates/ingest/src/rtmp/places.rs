//! Who may have a place among the connections.
//!
//! Encoders are few and players many, and neither can be told before they have spoken. So
//! players and those who have not spoken have shares of their own; what is left, a quarter
//! of all at the least that players cannot take, is for publishers and those on their way.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contract::network;

use crate::crowd::Bounds;

/// Connections of one network that neither publish nor play yet, at the most. A stranger
/// can keep each for half a minute and longer. A peer that plays or publishes needs less
/// than a second to begin, and counts no longer: an office behind one address can watch as
/// a whole, some sixty more each second.
const STRANGERS_OF_ONE: usize = 64;

/// How `max` connections are shared out among those who have not spoken: a quarter of all,
/// and of that one network has a quarter at the most. When it is full, the network with
/// the most gives way. Their application is not known yet, and bounds none.
pub(super) const fn strangers(max: usize) -> Bounds {
    let all = at_least_one(max / 4);
    let part = at_least_one(all / 4);
    let of_network = if part < STRANGERS_OF_ONE { part } else { STRANGERS_OF_ONE };
    Bounds { all, of_app: all, of_network }
}

const fn at_least_one(count: usize) -> usize {
    if count == 0 { 1 } else { count }
}

/// Counts those who play. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Players {
    most: usize,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    /// By network; no zeros, and so never more entries than [`Players::most`].
    of: HashMap<IpAddr, usize>,
}

/// A player's place; given back by drop.
#[derive(Debug)]
pub(super) struct PlayerPlace {
    from: IpAddr,
    players: Players,
}

impl Players {
    /// Three quarters of `max` connections are for players.
    pub(super) fn new(max: usize) -> Self {
        Self { most: at_least_one(max - max / 4), counts: Arc::default() }
    }

    /// A place for one more player from this address, if there is one.
    ///
    /// A network may have as many as are free for others: alone it gets half of all, for
    /// many viewers may share one address, and it never gets the last. Loopback is exempt,
    /// since it may be a relay.
    pub(super) fn enter(&self, from: IpAddr) -> Option<PlayerPlace> {
        let from = network(from);
        let mut counts = self.lock();
        let of_one = counts.of.get(&from).copied().unwrap_or_default();
        let free = self.most - counts.all;
        if free == 0 || (of_one >= free && !from.is_loopback()) {
            return None;
        }
        counts.all += 1;
        counts.of.insert(from, of_one + 1);
        Some(PlayerPlace { from, players: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Nothing panics while it holds the lock.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PlayerPlace {
    fn drop(&mut self) {
        let mut counts = self.players.lock();
        counts.all = counts.all.saturating_sub(1);
        let left = counts.of.get(&self.from).copied().unwrap_or_default().saturating_sub(1);
        match left {
            0 => counts.of.remove(&self.from),
            left => counts.of.insert(self.from, left),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn crowd(players: &Players, from: impl Fn(usize) -> IpAddr) -> Vec<PlayerPlace> {
        (0..2 * players.most).map_while(|n| players.enter(from(n))).collect()
    }

    #[test]
    fn one_network_has_half_of_the_players_places_and_another_half_of_the_rest() {
        let players = Players::new(400);
        let first = crowd(&players, |_| ip("203.0.113.1"));
        assert_eq!(first.len(), 150);
        let second = crowd(&players, |n| ip(&format!("2001:db8::{n:x}:1")));
        assert_eq!(second.len(), 75, "a /64 is one");
        assert!(players.enter(ip("198.51.100.1")).is_some());
        drop(first);
        assert!(players.enter(ip("203.0.113.1")).is_some());
    }

    #[test]
    fn players_take_no_more_than_their_share_wherever_they_come_from() {
        for max in [1, 2, 5, 400] {
            let players = Players::new(max);
            let all = crowd(&players, |n| ip(&format!("198.51.{}.{}", n / 256, n % 256)));
            assert_eq!(all.len(), max - max / 4, "{max}");
            assert!(players.enter(ip("203.0.113.1")).is_none());
            drop(all);
            assert!(players.lock().of.is_empty());
            let relayed = crowd(&players, |_| ip("127.0.0.1"));
            assert_eq!(relayed.len(), max - max / 4, "loopback may be a relay");
        }
    }

    #[test]
    fn one_network_never_fills_the_room_of_those_who_have_not_spoken() {
        for (max, all, of_one) in [(4096, 1024, 64), (1024, 256, 64), (100, 25, 6), (1, 1, 1)] {
            let limits = strangers(max);
            assert_eq!((limits.all, limits.of_network), (all, of_one), "{max}");
        }
    }
}
