//! Which networks have shown a right code, and for what.

use std::time::{Duration, Instant};

use super::{At, Print};
use crate::lru::Lru;

/// For so long a network that succeeded is no stranger.
pub(super) const KNOWN_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// Networks where a name is at home: a house, an office, some cells of a mobile
/// network. The newest count, so one right code shown from everywhere pushes out the
/// networks of no other name. It also bounds how many [`OWN`](super::OWN) budgets
/// one name has.
pub(super) const HOMES: usize = 16;
/// Names, and networks of subjects. Some 25 MiB when it is full; beyond it, who
/// succeeded longest ago is a stranger again, which matters only under attack.
const ENTRIES: usize = 64 * 1024;

/// See the module.
pub(super) struct Known {
    names: Lru<Print, Vec<(Print, Instant)>>,
    met: Lru<At, Instant>,
}

impl Known {
    pub(super) fn new() -> Self {
        Self { names: Lru::new(ENTRIES), met: Lru::new(ENTRIES) }
    }

    pub(super) fn succeeded(&mut self, name: Print, subject: Print, network: Print, now: Instant) {
        let mut homes = self.names.get(&name).cloned().unwrap_or_default();
        homes.retain(|&(home, at)| home != network && is_fresh(at, now));
        if homes.len() == HOMES {
            homes.remove(0);
        }
        homes.push((network, now));
        self.names.put(name, homes);
        self.met.put((subject, network), now);
    }

    /// Whether this name succeeded from there.
    pub(super) fn is_home(&self, name: Print, network: Print, now: Instant) -> bool {
        self.homes(name, now).any(|home| home == network)
    }

    /// Whether any name of this subject succeeded from there.
    pub(super) fn has_met(&self, subject: Print, network: Print, now: Instant) -> bool {
        self.met.get(&(subject, network)).is_some_and(|&at| is_fresh(at, now))
    }

    pub(super) fn homes(&self, name: Print, now: Instant) -> impl Iterator<Item = Print> + '_ {
        let all = self.names.get(&name).into_iter().flatten();
        all.filter(move |&&(_, at)| is_fresh(at, now)).map(|&(network, _)| network)
    }

    /// Nothing of this name is known any more.
    pub(super) fn forget(&mut self, name: Print) {
        for (network, _) in self.names.remove(&name).unwrap_or_default() {
            self.met.remove(&(name, network));
        }
    }
}

fn is_fresh(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < KNOWN_FOR
}
