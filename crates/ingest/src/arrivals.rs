//! Room for peers that are on their way in.
//!
//! Each holds something of ours before it is known to be worth that, and whoever
//! may come may come often. So they are counted, in all and by address; who has
//! come in counts no longer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contract::network;

/// How many may be on their way in at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// In all.
    pub(crate) all: usize,
    /// Of one address; of IPv6, of one /64. Loopback is exempt.
    pub(crate) of_one: usize,
}

/// Counts peers that are on their way in. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Arrivals {
    limits: Limits,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    /// No zeros, and so never more entries than [`Limits::all`].
    of: HashMap<IpAddr, usize>,
}

/// A peer that is on its way in; dropped when it has come in, or is gone.
#[derive(Debug)]
pub(crate) struct Arrival {
    from: IpAddr,
    arrivals: Arrivals,
}

impl Arrivals {
    /// Nobody yet.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, counts: Arc::default() }
    }

    /// Lets one more begin, from this address (in canonical form), if there is
    /// room.
    pub(crate) fn enter(&self, from: IpAddr) -> Option<Arrival> {
        let from = network(from);
        let mut counts = self.lock();
        let of_one = counts.of.get(&from).copied().unwrap_or_default();
        // Behind a proxy that we were not told to trust everybody is loopback.
        let crowded = of_one >= self.limits.of_one && !from.is_loopback();
        if crowded || counts.all >= self.limits.all {
            return None;
        }
        counts.all += 1;
        counts.of.insert(from, of_one + 1);
        Some(Arrival { from, arrivals: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Nothing panics while it holds the lock.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut counts = self.arrivals.lock();
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

    const LIMITS: Limits = Limits { all: 256, of_one: 32 };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn crowd(arrivals: &Arrivals, from: impl Fn(usize) -> IpAddr) -> Vec<Arrival> {
        (0..2 * LIMITS.all).map_while(|n| arrivals.enter(from(n))).collect()
    }

    #[test]
    fn one_address_does_not_take_the_room_of_others_and_a_network_is_one() {
        let arrivals = Arrivals::new(LIMITS);
        let of_four = crowd(&arrivals, |_| ip("203.0.113.1"));
        assert_eq!(of_four.len(), LIMITS.of_one);
        let of_six = crowd(&arrivals, |n| ip(&format!("2001:db8::{n:x}:1")));
        assert_eq!(of_six.len(), LIMITS.of_one);
        assert!(arrivals.enter(ip("203.0.113.2")).is_some());
        assert!(arrivals.enter(ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn there_is_room_for_so_many_in_all_and_again_when_they_have_left() {
        let arrivals = Arrivals::new(LIMITS);
        let all = crowd(&arrivals, |n| ip(&format!("198.51.{}.{}", n / 256, n % 256)));
        assert_eq!(all.len(), LIMITS.all);
        assert!(arrivals.enter(ip("203.0.113.1")).is_none());
        drop(all);
        assert!(arrivals.lock().of.is_empty());
        assert_eq!(crowd(&arrivals, |_| ip("127.0.0.1")).len(), LIMITS.all, "loopback may be a proxy");
    }
}
