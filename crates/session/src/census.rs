//! Sessions and their bytes, by protocol and role, for metrics.
//!
//! Counters never fall: what a session has counted when it ends is added to what
//! others had before it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contract::session::Traffic;
use contract::{Action, Protocol, SessionId};

/// Everybody who has or had a place. Clones share one.
#[derive(Debug, Clone, Default)]
pub struct Census(Arc<Mutex<HashMap<(Protocol, Action), Group>>>);

#[derive(Debug, Default)]
struct Group {
    live: HashMap<SessionId, Arc<Traffic>>,
    ended: Total,
}

/// What the sessions of one protocol in one role come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// Sessions that are there now.
    pub now: u64,
    /// Sessions that ever were.
    pub ever: u64,
    /// Media bytes from them.
    pub received_bytes: u64,
    /// Media bytes to them.
    pub sent_bytes: u64,
    /// How often one of them was too slow.
    pub gaps: u64,
}

impl Total {
    fn add(mut self, traffic: &Traffic) -> Self {
        self.received_bytes += traffic.received_bytes();
        self.sent_bytes += traffic.sent_bytes();
        self.gaps += traffic.gaps();
        self
    }
}

impl Census {
    /// Counts a session until the answer is dropped.
    pub(crate) fn enter(
        &self,
        protocol: Protocol,
        role: Action,
        id: SessionId,
        traffic: Arc<Traffic>,
    ) -> Counted {
        let group = (protocol, role);
        let mut groups = self.lock();
        let counts = groups.entry(group).or_default();
        counts.ended.ever += 1;
        counts.live.insert(id, traffic);
        Counted { census: self.clone(), group, id }
    }

    /// What it comes to now; only protocols and roles that anybody used.
    pub fn totals(&self) -> Vec<(Protocol, Action, Total)> {
        let groups = self.lock();
        let total = |counts: &Group| {
            let now = counts.live.len() as u64;
            counts.live.values().fold(Total { now, ..counts.ended }, |total, live| total.add(live))
        };
        groups.iter().map(|(&(protocol, role), counts)| (protocol, role, total(counts))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Protocol, Action), Group>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session that is counted as being there.
#[derive(Debug)]
pub(crate) struct Counted {
    census: Census,
    group: (Protocol, Action),
    id: SessionId,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut groups = self.census.lock();
        let counts = groups.entry(self.group).or_default();
        if let Some(traffic) = counts.live.remove(&self.id) {
            counts.ended = counts.ended.add(&traffic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_is_not_there_and_his_bytes_are_not_forgotten() {
        let census = Census::default();
        let traffic: [Arc<Traffic>; 2] = Default::default();
        let enter =
            |n: usize| census.enter(Protocol::Hls, Action::Play, SessionId::new(), traffic[n].clone());
        let (first, second) = (enter(0), enter(1));
        traffic[0].sent(5);
        traffic[1].sent(7);
        traffic[1].gap();
        let total = |now| Total { now, ever: 2, received_bytes: 0, sent_bytes: 12, gaps: 1 };
        assert_eq!(census.totals(), [(Protocol::Hls, Action::Play, total(2))]);
        drop(first);
        assert_eq!(census.totals(), [(Protocol::Hls, Action::Play, total(1))]);
        drop(second);
        assert_eq!(census.totals(), [(Protocol::Hls, Action::Play, total(0))]);
    }
}
