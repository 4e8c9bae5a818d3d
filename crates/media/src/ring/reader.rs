//! The reading side.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::audience::Place;
use super::{Event, Item, Shared, State, lock, wake};
use crate::Tracks;

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
    /// One that reads on at `next`; with `wait_gop` no picture before a group begins.
    pub(super) const fn new(shared: Shared<T>, next: u64, wait_gop: bool) -> Self {
        Self { shared, next, tracks: None, wait_gop, patient: false, place: None }
    }

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

pub(super) struct Next<'a, T: Item>(pub(super) &'a mut Reader<T>);

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
