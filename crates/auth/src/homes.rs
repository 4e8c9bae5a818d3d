//! From which networks a name has shown that it is itself.

use std::time::{Duration, Instant};

use crate::lane::Print;
use crate::lru::Lru;

/// Networks where a name is at home: a house, an office, some cells of a mobile
/// network. The newest count, so one right code shown from everywhere pushes out the
/// networks of no other name. It also bounds how many counts of its own one name has.
pub(crate) const HOMES: usize = 16;

/// Names with their networks. When it is full, the name that succeeded longest ago
/// is forgotten.
pub(crate) struct Homes {
    fresh_for: Duration,
    names: Lru<Print, Vec<(Print, Instant)>>,
}

impl Homes {
    /// A network counts for `fresh_for` after it succeeded.
    pub(crate) fn new(fresh_for: Duration, names: usize) -> Self {
        Self { fresh_for, names: Lru::new(names) }
    }

    pub(crate) fn succeeded(&mut self, name: Print, network: Print, now: Instant) {
        let mut homes = self.names.remove(&name).unwrap_or_default();
        homes.retain(|&(home, at)| home != network && self.is_fresh(at, now));
        if homes.len() == HOMES {
            homes.remove(0);
        }
        homes.push((network, now));
        self.names.put(name, homes);
    }

    /// Whether this name succeeded from there.
    pub(crate) fn is_home(&self, name: Print, network: Print, now: Instant) -> bool {
        self.of(name, now).any(|home| home == network)
    }

    /// Where the name is at home.
    pub(crate) fn of(&self, name: Print, now: Instant) -> impl Iterator<Item = Print> + '_ {
        let all = self.names.get(&name).into_iter().flatten();
        all.filter(move |&&(_, at)| self.is_fresh(at, now)).map(|&(network, _)| network)
    }

    /// The name is at home nowhere any more. Where it was.
    pub(crate) fn forget(&mut self, name: Print) -> impl Iterator<Item = Print> + use<> {
        self.names.remove(&name).unwrap_or_default().into_iter().map(|(network, _)| network)
    }

    fn is_fresh(&self, at: Instant, now: Instant) -> bool {
        now.saturating_duration_since(at) < self.fresh_for
    }
}
