//! Room for peers that have not connected yet.
//!
//! Each holds a session, a permit and a half of a connection for up to
//! `CONNECT_LIMIT`, and whoever may ask for one may ask for many. So they are
//! counted, in all and by address; who has connected counts no longer.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::command::Busy;

/// Peers on their way in, in all. At 20 s each, somebody who never connects
/// leaves room for a dozen a second.
const MAX: usize = 256;
/// Of one address. Many share one (CGNAT, a conference room), but few of them
/// come in the same second.
const MAX_OF_ONE: usize = 32;

/// Counts peers that are on their way in. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arrivals(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    /// No zeros, and so never more than [`MAX`] entries.
    of: HashMap<IpAddr, usize>,
}

/// A peer that is on its way in; dropped when it has connected, or is gone.
#[derive(Debug)]
pub(crate) struct Arrival {
    from: IpAddr,
    arrivals: Arrivals,
}

impl Arrivals {
    /// Lets one more in, from this address (in canonical form), if there is room.
    pub(crate) fn enter(&self, from: IpAddr) -> Result<Arrival, Busy> {
        let from = network(from);
        let mut counts = self.lock();
        let of_one = counts.of.get(&from).copied().unwrap_or_default();
        // Behind a proxy that we were not told to trust everybody is loopback.
        let crowded = of_one >= MAX_OF_ONE && !from.is_loopback();
        if crowded || counts.all >= MAX {
            return Err(Busy);
        }
        counts.all += 1;
        counts.of.insert(from, of_one + 1);
        Ok(Arrival { from, arrivals: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Who has one IPv6 address has its whole /64 (RFC 4291 §2.5.4).
fn network(from: IpAddr) -> IpAddr {
    match from {
        IpAddr::V4(_) => from,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn crowd(arrivals: &Arrivals, from: impl Fn(usize) -> IpAddr) -> Vec<Arrival> {
        (0..2 * MAX).map_while(|n| arrivals.enter(from(n)).ok()).collect()
    }

    #[test]
    fn one_address_does_not_take_the_room_of_others_and_a_network_is_one() {
        let arrivals = Arrivals::default();
        let of_four = crowd(&arrivals, |_| ip("203.0.113.1"));
        assert_eq!(of_four.len(), MAX_OF_ONE);
        let of_six = crowd(&arrivals, |n| ip(&format!("2001:db8::{n:x}:1")));
        assert_eq!(of_six.len(), MAX_OF_ONE);
        assert!(arrivals.enter(ip("203.0.113.2")).is_ok());
        assert!(arrivals.enter(ip("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn there_is_room_for_so_many_in_all_and_again_when_they_have_left() {
        let arrivals = Arrivals::default();
        let all = crowd(&arrivals, |n| ip(&format!("198.51.{}.{}", n / 256, n % 256)));
        assert_eq!(all.len(), MAX);
        assert!(arrivals.enter(ip("203.0.113.1")).is_err());
        drop(all);
        assert!(arrivals.lock().of.is_empty());
        assert_eq!(crowd(&arrivals, |_| ip("127.0.0.1")).len(), MAX, "loopback may be a proxy");
    }
}
