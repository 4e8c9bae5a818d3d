//! How many pictures' worth of work the machine has room for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of streams whose video may be transcoded at once. Clones share
/// one number.
#[derive(Debug, Clone)]
pub struct Slots {
    count: usize,
    free: Arc<AtomicUsize>,
}

impl Slots {
    /// Room for `count` streams. A stream of 1280x720 at 30 fps takes a fifth
    /// to a third of a core, so twice the number of cores is a sensible most.
    pub fn new(count: usize) -> Self {
        Self { count, free: Arc::new(AtomicUsize::new(count)) }
    }

    /// How many places are taken now.
    pub fn taken(&self) -> usize {
        self.count.saturating_sub(self.free.load(Ordering::Acquire))
    }

    /// Whether a place is free now.
    pub(crate) fn has_room(&self) -> bool {
        self.free.load(Ordering::Acquire) > 0
    }

    /// Takes a place, or `None` when there is no room.
    pub fn try_acquire(&self) -> Option<Slot> {
        let taken = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(1));
        taken.ok().map(|_| Slot { free: self.free.clone() })
    }
}

/// A place, given back by drop.
#[derive(Debug)]
pub struct Slot {
    free: Arc<AtomicUsize>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.free.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let slots = Slots::new(1);
        let place = slots.clone().try_acquire();
        assert!(place.is_some());
        assert!(slots.try_acquire().is_none());
        assert_eq!(slots.taken(), 1);
        drop(place);
        assert!(slots.try_acquire().is_some());
        assert!(Slots::new(0).try_acquire().is_none());
    }
}
