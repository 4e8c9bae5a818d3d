//! What one kind of network may do with one subject: each network a little, each site
//! (v6 /48, v4 /24) a few times that, and all together a bounded amount. So one of
//! them leaves the others nearly everything, and all of them get no more than one
//! guesser may have.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::time::Instant;

use contract::{network, site};

use crate::meter::{Absent, Meter, Rate};

/// A keyed hash of what an entry is about: names are long and chosen by
/// strangers, and no peer can aim at a collision without the key.
pub(crate) type Print = u64;

/// Makes prints.
#[derive(Default)]
pub(crate) struct Prints(RandomState);

impl Prints {
    pub(crate) fn of(&self, what: impl Hash) -> Print {
        self.0.hash_one(what)
    }

    pub(crate) fn origin(&self, peer: IpAddr) -> Origin {
        Origin { network: self.of(network(peer)), site: self.of(site(peer)) }
    }
}

/// Where something comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) network: Print,
    pub(crate) site: Print,
}

/// What a network, a site and all together may do.
pub(crate) struct Rates {
    pub(crate) network: Rate,
    pub(crate) site: Rate,
    pub(crate) shared: Rate,
}

/// Failures by subject and origin.
pub(crate) struct Lane {
    networks: Meter<(Print, Print)>,
    sites: Meter<(Print, Print)>,
    shared: Meter<Print>,
}

impl Lane {
    /// With so many entries per table at most. A subject whose entry had to go is
    /// suspected of what the worst of those had, a network is not: else a flood from
    /// everywhere would keep every network out of everything.
    pub(crate) fn new(rates: &Rates, entries: usize) -> Self {
        Self {
            networks: Meter::new(rates.network, Absent::Clean, entries),
            sites: Meter::new(rates.site, Absent::Clean, entries),
            shared: Meter::new(rates.shared, Absent::Suspect, entries),
        }
    }

    pub(crate) fn has_room(&self, subject: Print, from: Origin, now: Instant) -> bool {
        self.networks.has_room(&(subject, from.network), now)
            && self.sites.has_room(&(subject, from.site), now)
            && self.shared.has_room(&subject, now)
    }

    /// Counts a failure. Whether all together have no room left now; told once.
    pub(crate) fn add(&mut self, subject: Print, from: Origin, now: Instant) -> bool {
        self.networks.add((subject, from.network), now);
        self.sites.add((subject, from.site), now);
        self.shared.add(subject, now)
    }

    /// One failure was none.
    pub(crate) fn take_back(&mut self, subject: Print, from: Origin) {
        self.networks.take_back((subject, from.network));
        self.sites.take_back((subject, from.site));
        self.shared.take_back(subject);
    }

    /// Whether all together had no room left, and have less than half of it since.
    pub(crate) fn is_told(&self, subject: Print, now: Instant) -> bool {
        self.shared.is_told(&subject, now)
    }

    /// Forgets all failures on these subjects.
    pub(crate) fn forget(&mut self, subjects: &[Print]) {
        self.networks.forget(|(subject, _)| subjects.contains(subject));
        self.sites.forget(|(subject, _)| subjects.contains(subject));
        self.shared.forget(|subject| subjects.contains(subject));
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> [usize; 3] {
        [self.networks.len(), self.sites.len(), self.shared.len()]
    }
}
