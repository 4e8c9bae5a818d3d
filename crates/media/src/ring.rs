//! One writer, many readers, bounded; the slow reader loses, the writer never waits.
//!
//! The ring keeps the newest items up to its [`Limits`]. A reader holds only a
//! sequence number. One that asks for an item that is gone gets
//! [`Event::Gap`] and continues at the newest start of a group of pictures, so
//! it never feeds a decoder half a group. A new reader starts there too: the
//! ring is the GOP cache.
//!
//! A ring of a budget ([`Memory`](crate::Memory)) counts what it holds against that as well,
//! and drops more and sooner when memory is tight.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::memory::Member;
use crate::{Charge, Memory, Tracks};

mod audience;
mod reader;

use audience::Audience;
pub use reader::Reader;

/// What a ring carries.
pub trait Item {
    /// Bytes that it counts against [`Limits::bytes`]: those that it keeps in memory, which
    /// its maker sees to.
    fn cost(&self) -> usize;
    /// The same item, which is counted until the last holder of its bytes is gone.
    #[must_use]
    fn counted(self, charge: Charge) -> Self;
    /// Whether it belongs to the video track.
    fn is_video(&self) -> bool;
    /// Whether a decoder can start here.
    fn starts_gop(&self) -> bool;
}

/// Bounds of a ring; the oldest items go first.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sum of [`Item::cost`], and of the configurations of their tracks.
    pub bytes: usize,
    /// Number of items.
    pub items: usize,
}

/// Why a ring carries nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The publisher left. What is in the ring may still be played.
    Finished,
    /// The publisher was silenced. What was in the ring is gone.
    Silenced,
}

/// What a reader meets next.
#[derive(Debug)]
pub enum Event<T> {
    /// The items after this one belong to these tracks. Comes first, and again
    /// whenever the publisher's parameters change.
    Tracks(Arc<Tracks>),
    /// The next item.
    Item(Arc<T>),
    /// This reader was too slow and lost so many items; a group of pictures
    /// starts next.
    Gap(u64),
    /// No more will come. Repeats.
    Ended(EndReason),
}

struct Entry<T> {
    tracks: Arc<Tracks>,
    item: Arc<T>,
}

impl<T> Entry<T> {
    /// Whether it belongs to the same tracks as this neighbour.
    fn shares_tracks(&self, tracks: &Arc<Tracks>) -> bool {
        Arc::ptr_eq(&self.tracks, tracks)
    }
}

/// What an item takes beside its media: the entry, the item and its counts in their
/// allocations, what the allocator adds, and the unused rest of its buffer.
const BESIDE: usize = 512;

struct State<T> {
    /// Its part in a budget, if it has one.
    member: Option<Member>,
    entries: VecDeque<Entry<T>>,
    /// Sequence number of `entries[0]`.
    first: u64,
    /// Where a decoder can start, newest; at or after `first` when present.
    gop: Option<u64>,
    bytes: usize,
    limits: Limits,
    tracks: Arc<Tracks>,
    ended: Option<EndReason>,
    waiting: Vec<Waker>,
    /// Readers that let sound wait for the picture.
    patient: Audience,
    /// Blocks of sound that patient readers have not been woken for.
    unannounced: usize,
    readers: usize,
}

/// Between two pictures of 30 a second there are at most two blocks of AAC or
/// Opus; so with video running, patient readers are woken by pictures alone.
const SOUND_WAITS: usize = 2;

impl<T: Item> State<T> {
    fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Appends an item, unless there is no memory for it.
    fn push(&mut self, item: T) {
        if let Some(item) = self.count(item) {
            self.append(item);
        }
        self.say_held();
    }

    /// Tells the budget what it holds.
    fn say_held(&mut self) {
        let held = self.held();
        if let Some(member) = &mut self.member {
            member.set_held(held);
        }
    }

    /// The item, counted against the budget; what is older makes room.
    fn count(&mut self, item: T) -> Option<T> {
        let Some(memory) = self.member.as_ref().map(|member| member.memory().clone()) else {
            return Some(item);
        };
        let cost = item.cost() + self.cost_of_tracks() + BESIDE;
        if memory.is_tight() {
            let part = memory.part();
            while self.held() + cost > part && self.drop_oldest() {
                memory.count_cut();
            }
        }
        loop {
            if let Ok(charge) = memory.charge_media(cost) {
                return Some(item.counted(charge));
            }
            if !self.drop_oldest() {
                memory.count_lost();
                // Readers meet a gap, and wait for a picture to begin with.
                self.first += 1;
                return None;
            }
            memory.count_cut();
        }
    }

    /// What the next item costs more, since it is the first of its tracks.
    fn cost_of_tracks(&self) -> usize {
        let known = self.entries.back().is_some_and(|last| last.shares_tracks(&self.tracks));
        if known { 0 } else { self.tracks.config_bytes() }
    }

    /// Bytes that its items and what is beside them take.
    fn held(&self) -> usize {
        self.bytes + self.entries.len() * BESIDE
    }

    fn append(&mut self, item: T) {
        let starts = item.starts_gop() || (self.tracks.video.is_none() && !item.is_video());
        if starts {
            self.gop = Some(self.next());
        }
        self.unannounced += 1;
        if item.is_video() || self.tracks.video.is_none() {
            self.unannounced = SOUND_WAITS + 1;
        }
        self.bytes += item.cost() + self.cost_of_tracks();
        self.entries.push_back(Entry { tracks: self.tracks.clone(), item: Arc::new(item) });
        while self.bytes > self.limits.bytes || self.entries.len() > self.limits.items {
            self.drop_oldest();
        }
    }

    /// Whom to wake for what has changed.
    fn awake(&mut self) -> Vec<Waker> {
        let mut wakers = std::mem::take(&mut self.waiting);
        if self.unannounced > SOUND_WAITS || self.ended.is_some() {
            self.unannounced = 0;
            wakers.extend(self.patient.call());
        }
        wakers
    }

    /// Whether there was one.
    fn drop_oldest(&mut self) -> bool {
        let Some(old) = self.entries.pop_front() else { return false };
        self.bytes -= old.item.cost();
        if !self.entries.front().is_some_and(|next| next.shares_tracks(&old.tracks)) {
            self.bytes -= old.tracks.config_bytes();
        }
        self.first += 1;
        self.gop = self.gop.filter(|&gop| gop >= self.first);
        true
    }

    fn clear(&mut self) {
        self.first = self.next();
        self.entries.clear();
        self.bytes = 0;
        self.gop = None;
        self.say_held();
    }
}

type Shared<T> = Arc<Mutex<State<T>>>;

fn lock<T>(shared: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    // No code of ours panics while it holds the lock; a poisoned state is whole.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Not while the lock is held: a waker may be anybody's code.
fn wake(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

/// Makes an empty ring and its one writer.
pub fn ring<T: Item>(tracks: Tracks, limits: Limits) -> Writer<T> {
    make(tracks, limits, None)
}

/// The same, which counts what it holds against a budget.
pub fn ring_in<T: Item>(tracks: Tracks, limits: Limits, memory: &Memory) -> Writer<T> {
    make(tracks, limits, Some(Member::new(memory.clone())))
}

fn make<T: Item>(tracks: Tracks, limits: Limits, member: Option<Member>) -> Writer<T> {
    Writer {
        shared: Arc::new(Mutex::new(State {
            member,
            entries: VecDeque::new(),
            first: 0,
            gop: None,
            bytes: 0,
            limits,
            tracks: Arc::new(tracks),
            ended: None,
            waiting: Vec::new(),
            patient: Audience::default(),
            unannounced: 0,
            readers: 0,
        })),
    }
}

/// The one writer. Dropping it ends the ring with [`EndReason::Finished`].
#[derive(Debug)]
pub struct Writer<T: Item> {
    shared: Shared<T>,
}

impl<T: Item> Writer<T> {
    /// Appends an item and wakes who waits. Never waits itself. An item pushed
    /// after the end is dropped.
    pub fn push(&mut self, item: T) {
        self.change(|state| {
            if state.ended.is_none() {
                state.push(item);
            }
        });
    }

    /// Appends several items under one lock and one wake-up.
    pub fn push_all(&mut self, items: impl IntoIterator<Item = T>) {
        self.change(|state| {
            if state.ended.is_none() {
                items.into_iter().for_each(|item| state.push(item));
            }
        });
    }

    /// The items that follow have other parameters. Readers meet
    /// [`Event::Tracks`] between the old items and the new ones.
    pub fn set_tracks(&mut self, tracks: Tracks) {
        lock(&self.shared).tracks = Arc::new(tracks);
    }

    /// A handle that makes readers and can silence the ring.
    pub fn ring(&self) -> Ring<T> {
        Ring { shared: self.shared.clone() }
    }

    fn change(&self, f: impl FnOnce(&mut State<T>)) {
        let waiting = {
            let mut state = lock(&self.shared);
            f(&mut state);
            state.awake()
        };
        wake(waiting);
    }
}

impl<T: Item> Drop for Writer<T> {
    fn drop(&mut self) {
        self.change(|state| {
            state.ended.get_or_insert(EndReason::Finished);
        });
    }
}

/// The shared side of a ring.
#[derive(Debug)]
pub struct Ring<T: Item> {
    shared: Shared<T>,
}

impl<T: Item> Clone for Ring<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T: Item> Ring<T> {
    /// A reader that starts at the newest group of pictures, or at the next one
    /// when none is held.
    pub fn reader(&self) -> Reader<T> {
        let mut state = lock(&self.shared);
        state.readers += 1;
        let next = state.gop.unwrap_or_else(|| state.next());
        Reader::new(self.shared.clone(), next, state.gop.is_none())
    }

    /// What the publisher sends now.
    pub fn tracks(&self) -> Arc<Tracks> {
        lock(&self.shared).tracks.clone()
    }

    /// The budget that it counts against, if it does.
    pub fn memory(&self) -> Option<Memory> {
        lock(&self.shared).member.as_ref().map(|member| member.memory().clone())
    }

    /// What was written last, unless it is gone.
    pub fn newest(&self) -> Option<Arc<T>> {
        lock(&self.shared).entries.back().map(|entry| entry.item.clone())
    }

    /// How many readers there are.
    pub fn readers(&self) -> usize {
        lock(&self.shared).readers
    }

    /// Ends the ring and empties it: after this call no reader gets an item.
    pub fn silence(&self) {
        let waiting = {
            let mut state = lock(&self.shared);
            state.ended = Some(EndReason::Silenced);
            state.clear();
            state.awake()
        };
        wake(waiting);
    }

    /// Whether no more will come.
    pub fn ended(&self) -> Option<EndReason> {
        lock(&self.shared).ended
    }
}

impl<T> std::fmt::Debug for State<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("first", &self.first)
            .field("len", &self.entries.len())
            .field("gop", &self.gop)
            .field("bytes", &self.bytes)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
