//! Places that networks share: none holds more than it leaves free.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contract::network;

/// So many places. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    most: usize,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    /// By network; no zeros, and so never more entries than [`Pool::most`].
    of: HashMap<IpAddr, usize>,
}

/// A place; given back by drop.
#[derive(Debug)]
pub(crate) struct Place {
    from: IpAddr,
    pool: Pool,
}

impl Pool {
    /// With `most` places.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, counts: Arc::default() }
    }

    /// A place for one more peer of this address, if there is one beside the `kept`.
    ///
    /// A network may have as many as are free for others: alone it gets half of all, for
    /// many viewers may share one address, and it never gets the last. Loopback is exempt,
    /// since it may be a relay.
    pub(crate) fn enter(&self, from: IpAddr, kept: usize) -> Option<Place> {
        let from = network(from);
        let mut counts = self.lock();
        let of_one = counts.of.get(&from).copied().unwrap_or_default();
        let free = self.most.saturating_sub(kept).saturating_sub(counts.all);
        if free == 0 || (of_one >= free && !from.is_loopback()) {
            return None;
        }
        counts.all += 1;
        counts.of.insert(from, of_one + 1);
        Some(Place { from, pool: self.clone() })
    }

    /// Places that are taken.
    pub(crate) fn taken(&self) -> usize {
        self.lock().all
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Nothing panics while it holds the lock.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.pool.lock();
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

    fn crowd(pool: &Pool, kept: usize, from: impl Fn(usize) -> IpAddr) -> Vec<Place> {
        (0..2 * pool.most).map_while(|n| pool.enter(from(n), kept)).collect()
    }

    #[test]
    fn one_network_has_half_of_the_places_and_another_half_of_the_rest() {
        let pool = Pool::new(300);
        let first = crowd(&pool, 0, |_| ip("203.0.113.1"));
        assert_eq!(first.len(), 150);
        let second = crowd(&pool, 0, |n| ip(&format!("2001:db8::{n:x}:1")));
        assert_eq!(second.len(), 75, "a /64 is one");
        assert!(pool.enter(ip("198.51.100.1"), 0).is_some());
        drop(first);
        assert!(pool.enter(ip("203.0.113.1"), 0).is_some());
    }

    #[test]
    fn all_places_are_taken_but_the_kept_and_given_back() {
        for (most, kept) in [(1, 0), (2, 1), (300, 0), (300, 40)] {
            let pool = Pool::new(most);
            let all = crowd(&pool, kept, |n| ip(&format!("198.51.{}.{}", n / 256, n % 256)));
            assert_eq!((all.len(), pool.taken()), (most - kept, most - kept), "{most}");
            assert!(pool.enter(ip("203.0.113.1"), kept).is_none());
            assert_eq!(pool.enter(ip("203.0.113.1"), 0).is_some(), kept > 0);
            drop(all);
            assert!(pool.lock().of.is_empty() && pool.taken() == 0);
            let relayed = crowd(&pool, kept, |_| ip("127.0.0.1"));
            assert_eq!(relayed.len(), most - kept, "loopback may be a relay");
        }
    }
}
