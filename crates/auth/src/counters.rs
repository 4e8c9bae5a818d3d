//! What auth counts, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::gates::Refusal;
use crate::state::Notice;

/// Counters that the metrics page reads. Names of reasons are stable.
#[derive(Debug, Default)]
pub struct Counters {
    granted: AtomicU64,
    denied: [AtomicU64; Refusal::ALL.len()],
    attacks: AtomicU64,
    takeovers: AtomicU64,
    panics: AtomicU64,
    permits: AtomicU64,
    blocks: AtomicU64,
}

impl Counters {
    /// Requests let in.
    pub fn granted(&self) -> u64 {
        self.granted.load(Ordering::Relaxed)
    }

    /// Requests not let in, by reason.
    pub fn denied(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = self.denied.iter().map(|count| count.load(Ordering::Relaxed));
        Refusal::ALL.iter().map(|refusal| refusal.as_str()).zip(counts)
    }

    /// Times that the free tries of a subscriber were used up: somebody guesses.
    pub fn attacks(&self) -> u64 {
        self.attacks.load(Ordering::Relaxed)
    }

    /// Sessions taken over by a new login of the same subscriber.
    pub fn takeovers(&self) -> u64 {
        self.takeovers.load(Ordering::Relaxed)
    }

    /// Times that auth's state panicked and was rebuilt.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Live permits now.
    pub fn permits(&self) -> u64 {
        self.permits.load(Ordering::Relaxed)
    }

    /// Blocks in force now; publishing and playing count apart.
    pub fn blocks(&self) -> u64 {
        self.blocks.load(Ordering::Relaxed)
    }

    pub(crate) fn count_granted(&self) {
        self.granted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_denied(&self, refusal: Refusal) {
        if let Some(at) = Refusal::ALL.iter().position(|&known| known == refusal) {
            self.denied[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn count_notice(&self, notice: &Notice) {
        let counter = match notice {
            Notice::Guessing(..) => &self.attacks,
            Notice::TakenOver(..) => &self.takeovers,
            Notice::ClockInDoubt(_) | Notice::ClockCanBe(_) | Notice::PutBack(..) => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set_blocks(&self, in_force: usize) {
        self.blocks.store(in_force as u64, Ordering::Relaxed);
    }

    pub(crate) fn set_permits(&self, live: usize) {
        self.permits.store(live as u64, Ordering::Relaxed);
    }
}
