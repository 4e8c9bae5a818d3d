//! Counts of failures that time takes back, in bounded memory.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How many failures a key may have, and how soon it may have another: over any
/// time `t` at most `burst + t / each`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) burst: u32,
    pub(crate) each: Duration,
}

/// What is thought of a key that has no entry, when entries have had to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It has not failed. The loser of a flood is the bound.
    Clean,
    /// It may have failed as often as the worst entry that went, so no flood buys a
    /// fresh count (the Space-Saving rule). The loser of a flood is a key that
    /// never failed.
    Suspect,
}

/// Failures by key. When it is full, the entry with the fewest failures goes, of
/// equal ones the oldest: so the one that has failed most is never forgotten.
///
/// An entry is one moment, the one at which all failures of its key will be forgotten
/// (as in GCRA, ITU-T I.371): how far away it is says how many there are. Hence
/// no entry needs a timer, and the fewest failures are the earliest moment.
pub(crate) struct Meter<K> {
    rate: Rate,
    absent: Absent,
    capacity: usize,
    entries: HashMap<K, Entry>,
    order: BTreeSet<(Instant, K)>,
    /// The latest moment of all entries that went.
    gone: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    clean_at: Instant,
    /// It ran full, and has not been half empty since.
    told: bool,
}

impl<K: Hash + Ord + Copy> Meter<K> {
    pub(crate) fn new(rate: Rate, absent: Absent, capacity: usize) -> Self {
        Self { rate, absent, capacity, entries: HashMap::new(), order: BTreeSet::new(), gone: None }
    }

    /// Whether the key may fail once more.
    pub(crate) fn has_room(&self, key: &K, now: Instant) -> bool {
        self.clean_at(key, now) + self.rate.each <= self.latest(now)
    }

    /// The key failed. True when it has no room left, once until half of its failures
    /// are forgotten.
    pub(crate) fn add(&mut self, key: K, now: Instant) -> bool {
        let before = self.clean_at(&key, now);
        let clean_at = (before + self.rate.each).min(self.latest(now));
        let told = self.is_told(&key, now);
        let full = clean_at + self.rate.each > self.latest(now);
        self.put(key, Entry { clean_at, told: told || full });
        full && !told
    }

    /// One failure of the key was none.
    pub(crate) fn take_back(&mut self, key: K) {
        if let Some(entry) = self.entries.get(&key).copied()
            && let Some(clean_at) = entry.clean_at.checked_sub(self.rate.each)
        {
            self.put(key, Entry { clean_at, ..entry });
        }
    }

    /// Whether the key ran full, and less than half of its failures are forgotten.
    pub(crate) fn is_told(&self, key: &K, now: Instant) -> bool {
        let half = self.rate.each * (self.rate.burst / 2);
        self.entries.get(key).is_some_and(|entry| entry.told && entry.clean_at > now + half)
    }

    /// Forgets all failures of the keys that are `meant`.
    pub(crate) fn forget(&mut self, meant: impl Fn(&K) -> bool) {
        self.entries.retain(|key, _| !meant(key));
        self.order.retain(|(_, key)| !meant(key));
    }

    fn clean_at(&self, key: &K, now: Instant) -> Instant {
        let known = self.entries.get(key).map(|entry| entry.clean_at);
        let thought = match self.absent {
            Absent::Clean => None,
            Absent::Suspect => self.gone,
        };
        known.or(thought).unwrap_or(now).max(now)
    }

    /// When a key that has no room left will be clean.
    fn latest(&self, now: Instant) -> Instant {
        now + self.rate.each * self.rate.burst
    }

    fn put(&mut self, key: K, entry: Entry) {
        if let Some(old) = self.entries.insert(key, entry) {
            self.order.remove(&(old.clean_at, key));
        }
        self.order.insert((entry.clean_at, key));
        if self.entries.len() > self.capacity {
            self.evict(key);
        }
    }

    /// The newest entry stays: if each newcomer of a full meter went again, none of
    /// them would ever be counted.
    fn evict(&mut self, newest: K) {
        let Some(&least) = self.order.iter().find(|(_, key)| *key != newest) else { return };
        self.order.remove(&least);
        self.entries.remove(&least.1);
        self.gone = self.gone.max(Some(least.0));
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.entries.len(), self.order.len());
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 4, each: Duration::from_secs(60) };

    fn fail(meter: &mut Meter<u32>, key: u32, times: u32, now: Instant) {
        for _ in 0..times {
            meter.add(key, now);
        }
    }

    /// How often the key may fail now.
    fn room(meter: &mut Meter<u32>, key: u32, now: Instant) -> usize {
        let mut count = 0;
        while meter.has_room(&key, now) {
            meter.add(key, now);
            count += 1;
        }
        count
    }

    #[test]
    fn a_burst_and_then_one_each_time() {
        let (mut meter, now) = (Meter::new(RATE, Absent::Clean, 9), Instant::now());
        assert_eq!(room(&mut meter, 1, now), 4);
        assert!(!meter.has_room(&1, now + RATE.each - Duration::from_millis(1)));
        assert_eq!(room(&mut meter, 1, now + RATE.each), 1);
        assert_eq!(room(&mut meter, 1, now + RATE.each * 100), 4, "quiet saves up a burst, no more");
        assert_eq!(room(&mut meter, 2, now), 4, "each key for itself");
    }

    #[test]
    fn more_failures_than_fit_delay_nothing_longer() {
        let (mut meter, now) = (Meter::new(RATE, Absent::Clean, 9), Instant::now());
        fail(&mut meter, 1, 1000, now);
        assert!(meter.has_room(&1, now + RATE.each));
    }

    #[test]
    fn it_tells_once_that_a_key_ran_full_until_half_is_forgotten() {
        let (mut meter, now) = (Meter::new(RATE, Absent::Clean, 9), Instant::now());
        let told: Vec<bool> = (0..6).map(|_| meter.add(1, now)).collect();
        assert_eq!(told, [false, false, false, true, false, false]);
        assert!(!meter.add(1, now + RATE.each), "the same attack");
        assert!(meter.is_told(&1, now + RATE.each));
        let later = now + RATE.each * 4;
        assert!(!meter.is_told(&1, later));
        let told: Vec<bool> = (0..4).map(|_| meter.add(1, later)).collect();
        assert!(told.contains(&true), "another one: {told:?}");
    }

    #[test]
    fn what_is_taken_back_can_be_failed_again_and_no_more() {
        let (mut meter, now) = (Meter::new(RATE, Absent::Clean, 9), Instant::now());
        fail(&mut meter, 1, 4, now);
        meter.take_back(1);
        assert_eq!(room(&mut meter, 1, now), 1);
        for _ in 0..100 {
            meter.take_back(1);
        }
        assert_eq!(room(&mut meter, 1, now), 4);
    }

    #[test]
    fn the_key_that_failed_most_is_never_forgotten() {
        let (mut meter, now) = (Meter::new(RATE, Absent::Clean, 8), Instant::now());
        fail(&mut meter, 0, 4, now);
        for key in 1..10_000 {
            fail(&mut meter, key, 1 + key % 3, now + Duration::from_millis(key.into()));
            assert_eq!(meter.len().min(8), meter.len());
        }
        assert!(!meter.has_room(&0, now + Duration::from_secs(10)));
    }

    #[test]
    fn of_equal_failures_the_oldest_go() {
        let (mut meter, now) = (Meter::new(RATE, Absent::Clean, 2), Instant::now());
        for key in 0..3_u32 {
            meter.add(key, now + Duration::from_secs(key.into()));
        }
        let kept: Vec<bool> = (0..3).map(|key| meter.entries.contains_key(&key)).collect();
        assert_eq!(kept, [false, true, true]);
    }

    #[test]
    fn a_flood_buys_no_fresh_count_where_absent_keys_are_suspect() {
        let (mut meter, now) = (Meter::new(RATE, Absent::Suspect, 8), Instant::now());
        fail(&mut meter, 0, 3, now);
        for key in 1..=8 {
            fail(&mut meter, key, 4, now);
        }
        assert!(!meter.entries.contains_key(&0), "it went, as the least");
        assert_eq!(room(&mut meter, 0, now), 1);
        assert_eq!(room(&mut meter, 77, now + RATE.each * 4), 4, "suspicion ends with time");
    }

    #[test]
    fn forgetting_is_for_those_who_are_meant() {
        let (mut meter, now) = (Meter::new(RATE, Absent::Clean, 9), Instant::now());
        fail(&mut meter, 1, 4, now);
        fail(&mut meter, 2, 4, now);
        meter.forget(|key| *key == 1);
        assert!(meter.has_room(&1, now) && !meter.has_room(&2, now));
        assert_eq!(meter.len(), 1);
    }
}
