//! Many readers that are woken a few at a time.
//!
//! A picture is for all of an audience. Woken at once, they would fill a runtime's queue,
//! and whoever is blocked in that moment would wait for the turn of every one of them
//! before his task learns of it. So [`ABREAST`] are woken, and each that has had its turn
//! wakes the next.

use std::collections::VecDeque;
use std::task::Waker;

/// Readers that are woken at the same time: enough to keep every thread of a runtime
/// busy, and few enough that their turns take less than a millisecond.
pub(super) const ABREAST: usize = 32;

/// Those who wait, and those whose turn comes.
#[derive(Default)]
pub(super) struct Audience {
    /// `None`: its reader waits no longer.
    waiting: Vec<Option<Waker>>,
    /// How often the waiting were called; a place of an earlier round was called.
    round: u64,
    /// Called and not woken yet. Each is woken by one that was called before it.
    line: VecDeque<Waker>,
}

/// A reader's place among those who wait. It finds it again without a search. Once it was
/// called it must say that it looks or leaves, or somebody after it is woken only at the
/// next call.
#[derive(Debug)]
pub(super) struct Place {
    round: u64,
    index: usize,
}

impl Audience {
    /// Keeps the waker until the next call.
    pub(super) fn wait(&mut self, place: &mut Option<Place>, waker: &Waker) {
        let waker = Some(waker.clone());
        match place {
            Some(place) if place.round == self.round => self.waiting[place.index] = waker,
            _ => {
                *place = Some(Place { round: self.round, index: self.waiting.len() });
                self.waiting.push(waker);
            }
        }
    }

    /// There is something for everybody who waits: the first of them, to be woken.
    pub(super) fn call(&mut self) -> impl Iterator<Item = Waker> {
        self.round += 1;
        self.line.extend(self.waiting.drain(..).flatten());
        self.line.drain(..self.line.len().min(ABREAST))
    }

    /// A reader looks: if it was called, whoever is to be woken next.
    pub(super) fn look(&mut self, place: &mut Option<Place>) -> Option<Waker> {
        place.take_if(|place| place.round != self.round).and_then(|_| self.line.pop_front())
    }

    /// A reader waits no longer: if it was called, whoever is to be woken next.
    pub(super) fn leave(&mut self, place: &mut Option<Place>) -> Option<Waker> {
        if let Some(place) = place.as_ref().filter(|place| place.round == self.round) {
            self.waiting[place.index] = None;
        }
        self.look(place)
    }
}
