//! One budget of memory for all media that the process holds.
//!
//! Counted is what is held, not what is shown: an item of a ring has its bytes counted
//! until the last holder of them lets go, be that the ring or a player's queue. Nothing is
//! held beyond the limit, so somebody loses as it comes near. In this order:
//!
//! 1. From three quarters on, each ring loses what it holds beyond its part: the oldest
//!    media, which hardly anybody reads any more. Rings share equally what playlists,
//!    messages and queues leave of three quarters of the limit, and have a quarter of it at
//!    least.
//! 2. From seven eighths on, playlists are short, no new publish is taken, and a connection
//!    that takes next to nothing ends, since it may keep what its ring or playlist has
//!    dropped.
//! 3. At fifteen sixteenths, a ring or playlist that cannot have what it is given empties
//!    itself. Its readers meet a gap and go on at the next key frame.
//! 4. The rest is for unfinished messages, so that no publisher is ended for what others
//!    keep. At the limit, a connection that sends a message which cannot be held ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;

/// Least that a ring's part may be while memory is tight and another publish is taken: two
/// seconds of 2 Mbit/s, a short group of pictures. A GiB so has room for 1536 rings that
/// want as much (512 when playlists take the rest), and for any number of small ones.
const LEAST_PART: usize = 512 << 10;

/// The budget. Clones share it.
#[derive(Debug, Clone)]
pub struct Memory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    used: AtomicUsize,
    rings: AtomicUsize,
    /// Bytes that rings hold.
    in_rings: AtomicUsize,
    cut: AtomicU64,
    lost: AtomicU64,
    refused: AtomicU64,
    ended: AtomicU64,
}

/// Who lost how often, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    /// Items that left a ring, and segments that left a playlist, before their time.
    pub cut: u64,
    /// Items and segments that nothing could keep.
    pub lost: u64,
    /// Publishes that were refused.
    pub refused: u64,
    /// Connections that were ended.
    pub ended: u64,
}

/// There is no memory for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

impl Default for Memory {
    /// Without a limit.
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl Memory {
    /// A budget of so many bytes.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Shared {
            limit,
            used: AtomicUsize::new(0),
            rings: AtomicUsize::new(0),
            in_rings: AtomicUsize::new(0),
            cut: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        }))
    }

    /// Bytes that may be held.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Bytes that are held.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Who lost what so far.
    pub fn losses(&self) -> Losses {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Losses {
            cut: of(&self.0.cut),
            lost: of(&self.0.lost),
            refused: of(&self.0.refused),
            ended: of(&self.0.ended),
        }
    }

    /// Counts so many bytes of a message until the answer is dropped. It may be the last
    /// that there is.
    ///
    /// # Errors
    /// [`Exhausted`], when they would pass the limit.
    pub fn charge(&self, bytes: usize) -> Result<Charge, Exhausted> {
        self.charge_up_to(self.0.limit, bytes)
    }

    /// Counts so many bytes of a ring or playlist until the answer is dropped.
    ///
    /// # Errors
    /// [`Exhausted`], when they would pass fifteen sixteenths of the limit.
    pub fn charge_media(&self, bytes: usize) -> Result<Charge, Exhausted> {
        self.charge_up_to(self.0.limit - self.0.limit / 16, bytes)
    }

    fn charge_up_to(&self, most: usize, bytes: usize) -> Result<Charge, Exhausted> {
        let mut charge = Charge { memory: self.clone(), most, bytes: 0 };
        charge.resize(bytes)?;
        Ok(charge)
    }

    /// A charge of a message, which counts nothing yet.
    pub fn nothing(&self) -> Charge {
        Charge { memory: self.clone(), most: self.0.limit, bytes: 0 }
    }

    fn take(&self, bytes: usize, most: usize) -> Result<(), Exhausted> {
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= most);
        let taken = self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map(drop).map_err(|_| Exhausted)
    }

    fn give(&self, bytes: usize) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether rings keep to their parts.
    pub fn is_tight(&self) -> bool {
        self.used() > self.three_quarters()
    }

    /// Whether playlists are short, nothing new is taken, and what is slow goes.
    pub fn is_scarce(&self) -> bool {
        self.used() > self.0.limit - self.0.limit / 8
    }

    /// Whether there is memory for one more publish.
    pub fn admits(&self) -> bool {
        let rings = self.0.rings.load(Ordering::Relaxed) + 1;
        let enough = !self.is_tight() || self.for_rings() / rings >= LEAST_PART;
        let admits = !self.is_scarce() && enough;
        if !admits {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
        }
        admits
    }

    /// A connection is ended for want of memory.
    pub fn count_ended(&self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// What each ring may hold when memory is tight.
    pub(crate) fn part(&self) -> usize {
        self.for_rings() / self.0.rings.load(Ordering::Relaxed).max(1)
    }

    /// What all rings may hold then: they give way to what is held elsewhere.
    fn for_rings(&self) -> usize {
        let elsewhere = self.used().saturating_sub(self.0.in_rings.load(Ordering::Relaxed));
        self.three_quarters().saturating_sub(elsewhere).max(self.0.limit / 4)
    }

    /// Something old was dropped to make room.
    pub fn count_cut(&self) {
        self.0.cut.fetch_add(1, Ordering::Relaxed);
    }

    /// Something new was dropped, because there was no room.
    pub fn count_lost(&self) {
        self.0.lost.fetch_add(1, Ordering::Relaxed);
    }

    fn three_quarters(&self) -> usize {
        self.0.limit - self.0.limit / 4
    }
}

/// Bytes that are counted until it is dropped.
#[derive(Debug)]
pub struct Charge {
    memory: Memory,
    /// Bytes that may be held with it.
    most: usize,
    bytes: usize,
}

impl Charge {
    /// Counts another number of bytes from now on.
    ///
    /// # Errors
    /// [`Exhausted`], when that would pass what it may have; it counts what it did.
    pub fn resize(&mut self, bytes: usize) -> Result<(), Exhausted> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.memory.take(more, self.most)?,
            None => self.memory.give(self.bytes - bytes),
        }
        self.bytes = bytes;
        Ok(())
    }

    /// The same bytes; this counts as long as any clone or slice of them is there.
    #[must_use]
    pub fn hold(self, data: Bytes) -> Bytes {
        Bytes::from_owner(Held { data, _charge: self })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.give(self.bytes);
    }
}

struct Held {
    data: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

/// A ring's part in a budget.
#[derive(Debug)]
pub(crate) struct Member {
    memory: Memory,
    /// Bytes that the ring holds, as it said last.
    held: usize,
}

impl Member {
    pub(crate) fn new(memory: Memory) -> Self {
        memory.0.rings.fetch_add(1, Ordering::Relaxed);
        Self { memory, held: 0 }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The ring holds so many bytes now.
    pub(crate) fn set_held(&mut self, bytes: usize) {
        let in_rings = &self.memory.0.in_rings;
        match bytes.checked_sub(self.held) {
            Some(more) => in_rings.fetch_add(more, Ordering::Relaxed),
            None => in_rings.fetch_sub(self.held - bytes, Ordering::Relaxed),
        };
        self.held = bytes;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.set_held(0);
        self.memory.0.rings.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is_and_what_is_dropped_is_there_again() {
        let memory = Memory::new(100);
        let mut most = memory.charge(60).unwrap();
        assert_eq!(memory.charge(41).err(), Some(Exhausted));
        let rest = memory.charge(40).unwrap();
        assert_eq!((memory.used(), most.resize(61)), (100, Err(Exhausted)));
        most.resize(10).unwrap();
        drop(rest);
        assert_eq!(memory.used(), 10);
        drop(most);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn the_last_sixteenth_is_for_messages() {
        let memory = Memory::new(1600);
        let media = memory.charge_media(1500).unwrap();
        assert_eq!(memory.charge_media(1).err(), Some(Exhausted));
        let mut message = memory.nothing();
        message.resize(100).unwrap();
        assert_eq!((memory.used(), message.resize(101)), (1600, Err(Exhausted)));
        drop((media, message));
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn bytes_are_counted_until_the_last_slice_of_them_is_gone() {
        let memory = Memory::new(1000);
        let data = Bytes::from(vec![7; 100]);
        let held = memory.charge(100).unwrap().hold(data.clone());
        assert_eq!((held.as_ptr(), held.len()), (data.as_ptr(), 100), "nothing is copied");
        let slice = held.slice(3..5);
        drop(held);
        assert_eq!(memory.used(), 100);
        drop(slice);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn a_publish_is_taken_while_each_ring_can_have_a_group_of_pictures() {
        let memory = Memory::new(2 << 20);
        let mut rings = vec![Member::new(memory.clone()), Member::new(memory.clone())];
        rings.push(Member::new(memory.clone()));
        assert!(memory.admits(), "as long as they want little");
        let charge = memory.charge((2 << 20) - (256 << 10)).unwrap();
        assert!(memory.is_tight() && !memory.is_scarce() && !memory.admits());
        rings.clear();
        assert!(memory.admits());
        let little = memory.charge(1).unwrap();
        assert!(memory.is_scarce() && !memory.admits());
        assert_eq!(memory.losses(), Losses { refused: 2, ..Losses::default() });
        drop((charge, little));
    }
}
