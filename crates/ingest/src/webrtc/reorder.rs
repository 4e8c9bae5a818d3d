//! Puts a publisher's packets back in order, and says which are lost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// More out-of-order packets than a publisher's retransmissions can explain.
const MAX_HELD: usize = 512;

/// What comes out of a [`Reorder`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ordered<T> {
    /// The next packet.
    Packet(T),
    /// This many packets never came.
    Lost(u64),
}

/// Holds packets back while one before them is missing, for as long as a
/// retransmission may take and no longer.
#[derive(Debug)]
pub(crate) struct Reorder<T> {
    next: Option<u64>,
    held: BTreeMap<u64, T>,
    patience: Duration,
    /// Since when the front of `held` waits.
    since: Option<Instant>,
}

impl<T> Reorder<T> {
    /// Waits `patience` for a missing packet.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { next: None, held: BTreeMap::new(), patience, since: None }
    }

    /// Takes a packet by its extended sequence number. Late and repeated ones
    /// are dropped.
    pub(crate) fn push(&mut self, seq: u64, item: T) {
        let next = *self.next.get_or_insert(seq);
        if seq >= next {
            self.held.entry(seq).or_insert(item);
        }
    }

    /// The next in order, if it is there or given up.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Ordered<T>> {
        let next = self.next?;
        let (&first, _) = self.held.first_key_value()?;
        if first > next {
            return self.give_up(first, next, now);
        }
        self.since = None;
        self.next = Some(first + 1);
        self.held.remove(&first).map(Ordered::Packet)
    }

    /// When [`pop`](Self::pop) may give up a missing packet.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + self.patience)
    }

    fn give_up(&mut self, first: u64, next: u64, now: Instant) -> Option<Ordered<T>> {
        let since = *self.since.get_or_insert(now);
        if now < since + self.patience && self.held.len() <= MAX_HELD {
            return None;
        }
        self.since = None;
        self.next = Some(first);
        Some(Ordered::Lost(first - next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    fn drain(reorder: &mut Reorder<u64>, now: Instant) -> Vec<Ordered<u64>> {
        std::iter::from_fn(|| reorder.pop(now)).collect()
    }

    #[test]
    fn a_retransmission_takes_its_place() {
        let (mut reorder, now) = (Reorder::new(PATIENCE), Instant::now());
        for seq in [10, 12, 13] {
            reorder.push(seq, seq);
        }
        assert_eq!(drain(&mut reorder, now), [Ordered::Packet(10)]);
        reorder.push(11, 11);
        let rest: Vec<_> = (11..14).map(Ordered::Packet).collect();
        assert_eq!(drain(&mut reorder, now), rest);
        assert_eq!(reorder.deadline(), None);
    }

    #[test]
    fn a_lost_packet_is_reported_once_and_then_life_goes_on() {
        let (mut reorder, now) = (Reorder::new(PATIENCE), Instant::now());
        for seq in [1, 4] {
            reorder.push(seq, seq);
        }
        assert_eq!(drain(&mut reorder, now), [Ordered::Packet(1)]);
        assert_eq!(reorder.deadline(), Some(now + PATIENCE));
        assert_eq!(drain(&mut reorder, now + PATIENCE), [Ordered::Lost(2), Ordered::Packet(4)]);
        reorder.push(2, 2);
        assert_eq!(drain(&mut reorder, now + PATIENCE), []);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let (mut reorder, now) = (Reorder::new(PATIENCE), Instant::now());
        reorder.push(0, 0);
        for seq in 2..5000 {
            reorder.push(seq, seq);
            drain(&mut reorder, now);
        }
        assert!(reorder.held.len() <= MAX_HELD + 1);
    }
}
