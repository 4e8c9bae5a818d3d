//! The segments that are kept: those in the playlist, and a few that left it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use contract::WallMs;
use media::{Charge, MediaTime, Memory};
use mux::Segment;

/// Segments kept after they have left the playlist, for players that read the
/// playlist a moment ago (RFC 8216 §6.2.2 wants one playlist's duration; three
/// segments are three reloads, and memory is per stream).
const LATE: usize = 3;
/// Bytes kept per stream, playlist included; the oldest segments go first. 15
/// segments of 2 s at 30 Mbit/s are 112 MB.
const BYTES: usize = 128 << 20;
/// So many stay whatever they weigh: a player needs something to join.
const FEWEST: usize = 3;

/// One segment in the window.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) segment: Segment,
    /// Which init segment goes with it.
    pub(super) init: u64,
    /// Discontinuity sequence number (RFC 8216 §3).
    pub(super) run: u64,
    /// Wall time of its first frame.
    pub(super) wall: WallMs,
    /// Time at its end, on its publisher's clock.
    pub(super) until: MediaTime,
}

#[derive(Debug)]
pub(super) struct Window {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Number of the first segment of the playlist. It never falls (RFC 8216 §6.2.2), also
    /// not when the playlist may be longer again.
    first: u64,
    list_size: usize,
    next: u64,
    run: u64,
    /// The next segment begins another run.
    broken: bool,
    inits: VecDeque<(u64, Bytes)>,
    next_init: u64,
    /// Longest segment of the current run.
    longest: Duration,
    /// What segments count against.
    memory: Memory,
}

/// hls.js keeps a table by discontinuity number and walks it from zero, so that
/// number must stay small. Minutes modulo this make it differ from what a player
/// may remember from before a restart.
const RUNS: u64 = 4096;

impl Window {
    pub(super) fn new(epoch: u64) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            first: epoch,
            list_size: FEWEST,
            next: epoch,
            run: epoch / 60 % RUNS,
            broken: false,
            inits: VecDeque::new(),
            next_init: epoch,
            longest: Duration::ZERO,
            memory: Memory::default(),
        }
    }

    pub(super) fn count_against(&mut self, memory: Memory) {
        self.memory = memory;
    }

    pub(super) fn resize(&mut self, list_size: usize) {
        self.list_size = list_size.max(FEWEST);
        self.list(self.list_size);
        self.evict();
    }

    /// Number of the next segment.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Keeps an init segment and says its number. If it is the same as before, so
    /// is its number, and players need not fetch it again.
    pub(super) fn add_init(&mut self, bytes: Bytes) -> u64 {
        if let Some((number, _)) = self.inits.back().filter(|(_, kept)| *kept == bytes) {
            return *number;
        }
        let number = self.next_init;
        self.next_init += 1;
        self.evict_inits();
        self.inits.push_back((number, bytes));
        number
    }

    /// The next segment does not continue the last one.
    pub(super) fn break_here(&mut self) {
        self.broken = true;
    }

    /// Keeps a segment behind the others. When memory is scarce only [`FEWEST`] are listed.
    /// One that there is no memory for is left out, and the next does not continue the last
    /// one.
    pub(super) fn push(&mut self, mut segment: Segment, init: u64, wall: WallMs, until: MediaTime) {
        let scarce = self.memory.is_scarce();
        let Some(charge) = self.make_room(segment.bytes.len(), scarce) else {
            self.memory.count_lost();
            self.broken = true;
            return;
        };
        segment.bytes = charge.hold(segment.bytes);
        if std::mem::take(&mut self.broken) {
            // Counted here and not at the break: a run without a segment has no
            // tag in the playlist either.
            self.run += 1;
            self.longest = Duration::ZERO;
        }
        self.longest = self.longest.max(segment.duration);
        self.bytes += segment.bytes.len();
        self.entries.push_back(Entry { number: self.next, segment, init, run: self.run, wall, until });
        self.next += 1;
        self.list(if scarce { FEWEST } else { self.list_size });
        self.evict();
    }

    /// Counts so many bytes. When memory is scarce no more than [`FEWEST`] segments and
    /// [`LATE`] stay, and when there is none the oldest go.
    fn make_room(&mut self, bytes: usize, scarce: bool) -> Option<Charge> {
        while scarce && self.entries.len() >= FEWEST + LATE && self.drop_oldest() {
            self.memory.count_cut();
        }
        loop {
            if let Ok(charge) = self.memory.charge_media(bytes) {
                return Some(charge);
            }
            if !self.drop_oldest() {
                return None;
            }
            self.memory.count_cut();
        }
    }

    /// Whether there was one.
    fn drop_oldest(&mut self) -> bool {
        let Some(old) = self.entries.pop_front() else { return false };
        self.bytes -= old.segment.bytes.len();
        true
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.inits.clear();
        self.bytes = 0;
        self.broken = true;
    }

    pub(super) fn has_before(&self, number: u64) -> bool {
        self.entries.front().is_some_and(|entry| entry.number < number)
    }

    pub(super) fn forget_before(&mut self, number: u64) {
        while self.has_before(number)
            && let Some(old) = self.entries.pop_front()
        {
            self.bytes -= old.segment.bytes.len();
        }
        self.evict_inits();
    }

    /// The playlist has so many segments at the most, the newest.
    fn list(&mut self, size: usize) {
        self.first = self.first.max(self.next.saturating_sub(size as u64));
    }

    fn evict(&mut self) {
        let too_many = |w: &Self| w.unlisted() > LATE;
        let too_large = |w: &Self| w.bytes > BYTES && w.entries.len() > FEWEST;
        while (too_many(self) || too_large(self)) && self.drop_oldest() {}
        self.evict_inits();
    }

    /// The newest stays even if no segment needs it yet.
    fn evict_inits(&mut self) {
        let newest = self.inits.back().map(|(n, _)| *n);
        let entries = &self.entries;
        self.inits.retain(|(n, _)| Some(*n) == newest || entries.iter().any(|e| e.init == *n));
    }

    /// How many segments have left the playlist.
    fn unlisted(&self) -> usize {
        self.entries.partition_point(|entry| entry.number < self.first)
    }

    /// The segments of the playlist.
    pub(super) fn listed(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.range(self.unlisted()..)
    }

    /// Longest segment that the target duration must cover: of the playlist, and
    /// of the current run, so that it does not fall while a run goes on.
    pub(super) fn longest(&self) -> Duration {
        self.listed().map(|e| e.segment.duration).max().unwrap_or_default().max(self.longest)
    }

    pub(super) fn segment(&self, number: u64) -> Option<Bytes> {
        self.entry(number).map(|e| e.segment.bytes.clone())
    }

    /// How long a segment plays.
    pub(super) fn plays(&self, number: u64) -> Option<Duration> {
        self.entry(number).map(|e| e.segment.duration)
    }

    pub(super) fn until(&self, number: u64) -> Option<MediaTime> {
        self.entry(number).map(|e| e.until)
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.iter().find(|e| e.number == number)
    }

    pub(super) fn init(&self, number: u64) -> Option<Bytes> {
        self.inits.iter().find(|(n, _)| *n == number).map(|(_, bytes)| bytes.clone())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
