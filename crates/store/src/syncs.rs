//! How long the disk takes, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the classes, in microseconds: a fast NVMe drive syncs in some
/// tens, a rotating disk in some ten thousand, and a second is a disk in trouble.
pub const SYNC_BOUNDS_US: [u64; 12] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000];

/// Durations of flush and sync together, counted in classes. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct Syncs(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// The last one is for whatever is above all bounds.
    classes: [AtomicU64; SYNC_BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Syncs {
    pub(crate) fn took(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let class = SYNC_BOUNDS_US.partition_point(|bound| *bound < us);
        self.0.classes[class].fetch_add(1, Ordering::Relaxed);
        self.0.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How many there were in each class, the last one without an upper bound.
    pub fn classes(&self) -> [u64; SYNC_BOUNDS_US.len() + 1] {
        std::array::from_fn(|class| self.0.classes[class].load(Ordering::Relaxed))
    }

    /// How long all of them took.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.0.sum_us.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_in_the_first_class_that_holds_it() {
        let syncs = Syncs::default();
        for us in [100, 101, 2_000_000] {
            syncs.took(Duration::from_micros(us));
        }
        let classes = syncs.classes();
        assert_eq!((classes[0], classes[1], classes[12]), (1, 1, 1));
        assert_eq!(syncs.sum(), Duration::from_micros(2_000_201));
    }
}
