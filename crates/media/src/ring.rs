//! One writer, many readers, bounded; the slow reader loses, the writer never waits.
//!
//! The ring keeps the newest items up to its [`Limits`]. A reader holds only a
//! sequence number. One that asks for an item that is gone gets
//! [`Event::Gap`] and continues at the newest start of a group of pictures, so
//! it never feeds a decoder half a group. A new reader starts there too: the
//! ring is the GOP cache.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::Tracks;

mod audience;

use audience::{Audience, Place};

/// What a ring carries.
pub trait Item {
    /// Bytes that it counts against [`Limits::bytes`].
    fn cost(&self) -> usize;
    /// Whether it belongs to the video track.
    fn is_video(&self) -> bool;
    /// Whether a decoder can start here.
    fn starts_gop(&self) -> bool;
}

/// Bounds of a ring; the oldest items go first.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sum of [`Item::cost`].
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

struct State<T> {
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

    fn push(&mut self, item: T) {
        let starts = item.starts_gop() || (self.tracks.video.is_none() && !item.is_video());
        if starts {
            self.gop = Some(self.next());
        }
        self.unannounced += 1;
        if item.is_video() || self.tracks.video.is_none() {
            self.unannounced = SOUND_WAITS + 1;
        }
        self.bytes += item.cost();
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

    fn drop_oldest(&mut self) {
        let Some(old) = self.entries.pop_front() else { return };
        self.bytes -= old.item.cost();
        self.first += 1;
        self.gop = self.gop.filter(|&gop| gop >= self.first);
    }

    fn clear(&mut self) {
        self.first = self.next();
        self.entries.clear();
        self.bytes = 0;
        self.gop = None;
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
    Writer {
        shared: Arc::new(Mutex::new(State {
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
        Reader {
            shared: self.shared.clone(),
            next,
            tracks: None,
            wait_gop: state.gop.is_none(),
            patient: false,
            place: None,
        }
    }

    /// What the publisher sends now.
    pub fn tracks(&self) -> Arc<Tracks> {
        lock(&self.shared).tracks.clone()
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

/// One reader.
#[derive(Debug)]
pub struct Reader<T: Item> {
    shared: Shared<T>,
    next: u64,
    tracks: Option<Arc<Tracks>>,
    /// Video is skipped until a group of pictures starts.
    wait_gop: bool,
    patient: bool,
    /// Of one that is patient.
    place: Option<Place>,
}

impl<T: Item> Reader<T> {
    /// Lets sound wait for the next picture, a frame's time at most: one wake-up
    /// and one system call then serve both. Patient readers are also woken a few at a
    /// time, each by one before it, so that they never fill a runtime's queue. For
    /// players whose own buffer is larger than that.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.patient = true;
        self
    }

    /// The next event, or the waker is kept and called when there is one.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event<T>> {
        let shared = self.shared.clone();
        let mut state = lock(&shared);
        let next_up = state.patient.look(&mut self.place);
        let event = self.take(&state);
        if event.is_none() {
            self.wait(&mut state, cx.waker());
        }
        drop(state);
        wake(next_up);
        event.map_or(Poll::Pending, Poll::Ready)
    }

    /// Waits no longer, and holds nobody up.
    fn leave(&mut self) {
        if self.place.is_some() {
            let next_up = lock(&self.shared).patient.leave(&mut self.place);
            wake(next_up);
        }
    }

    fn wait(&mut self, state: &mut State<T>, waker: &Waker) {
        if self.patient {
            state.patient.wait(&mut self.place, waker);
        } else if !state.waiting.iter().any(|w| w.will_wake(waker)) {
            state.waiting.push(waker.clone());
        }
    }

    /// The next event; waits for it. Cancel-safe.
    pub async fn next(&mut self) -> Event<T> {
        Next(self).await
    }

    /// The next event if there is one now.
    pub fn try_next(&mut self) -> Option<Event<T>> {
        let shared = self.shared.clone();
        let state = lock(&shared);
        self.take(&state)
    }

    /// Forgets what was not read and goes on at the newest group of pictures if
    /// the ring holds one, else at the next; says the tracks again, since what was
    /// said of them may have been thrown away. For a player that comes back from a
    /// suspension.
    pub fn restart(&mut self) {
        let shared = self.shared.clone();
        let state = lock(&shared);
        self.next = state.gop.unwrap_or_else(|| state.next());
        self.wait_gop = state.gop.is_none();
        self.tracks = None;
    }

    /// Goes on at the newest group of pictures if that starts later than its
    /// place, and says how many items it left out. For a player that is slow but
    /// not yet so slow that the ring has dropped what it needs.
    pub fn skip_ahead(&mut self) -> Option<u64> {
        let gop = lock(&self.shared).gop.filter(|&gop| gop > self.next)?;
        let lost = gop - self.next;
        self.next = gop;
        self.wait_gop = false;
        Some(lost)
    }

    /// How many items it has not read yet.
    pub fn lag(&self) -> u64 {
        lock(&self.shared).next().saturating_sub(self.next)
    }

    fn take(&mut self, state: &State<T>) -> Option<Event<T>> {
        if self.next < state.first {
            return Some(self.skip(state));
        }
        loop {
            let at = (self.next - state.first) as usize;
            let Some(entry) = state.entries.get(at) else {
                return state.ended.map(Event::Ended);
            };
            if self.wait_gop && entry.item.is_video() && !entry.item.starts_gop() {
                self.next += 1;
                continue;
            }
            if !self.tracks.as_ref().is_some_and(|t| Arc::ptr_eq(t, &entry.tracks)) {
                self.tracks = Some(entry.tracks.clone());
                return Some(Event::Tracks(entry.tracks.clone()));
            }
            self.wait_gop &= !entry.item.starts_gop();
            self.next += 1;
            return Some(Event::Item(entry.item.clone()));
        }
    }

    fn skip(&mut self, state: &State<T>) -> Event<T> {
        let to = state.gop.unwrap_or_else(|| state.next());
        let lost = to - self.next;
        self.next = to;
        self.wait_gop = state.gop.is_none();
        Event::Gap(lost)
    }
}

struct Next<'a, T: Item>(&'a mut Reader<T>);

impl<T: Item> Future for Next<'_, T> {
    type Output = Event<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Event<T>> {
        self.0.poll_next(cx)
    }
}

impl<T: Item> Drop for Next<'_, T> {
    /// The task has something better to do.
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl<T: Item> Drop for Reader<T> {
    fn drop(&mut self) {
        self.leave();
        lock(&self.shared).readers -= 1;
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
