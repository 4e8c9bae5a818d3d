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
    waiting: Vec<Waker>,
    /// How often the waiting were called; a place of an earlier round was called.
    round: u64,
    /// Called and not woken yet. Each is woken by one that was called before it.
    line: VecDeque<Waker>,
}

/// A reader's place among those who wait. It finds it again without a search. Once
/// it was called it must say so ([`Audience::next_up`], [`Audience::leave`]), or nobody
/// after it is woken before the next call.
#[derive(Debug)]
pub(super) struct Place {
    round: u64,
    index: usize,
}

impl Audience {
    /// Keeps the waker until the next call.
    pub(super) fn wait(&mut self, place: &mut Option<Place>, waker: &Waker) {
        match place {
            Some(place) if place.round == self.round => self.waiting[place.index].clone_from(waker),
            _ => {
                *place = Some(Place { round: self.round, index: self.waiting.len() });
                self.waiting.push(waker.clone());
            }
        }
    }

    /// There is something for everybody who waits: the first of them, to be woken.
    pub(super) fn call(&mut self) -> impl Iterator<Item = Waker> {
        self.round += 1;
        self.line.extend(self.waiting.drain(..));
        self.line.drain(..self.line.len().min(ABREAST))
    }

    /// A reader looks, or is gone: if it was called, whoever is to be woken next.
    pub(super) fn next_up(&mut self, place: &mut Option<Place>) -> Option<Waker> {
        place.take_if(|place| place.round != self.round).and_then(|_| self.line.pop_front())
    }

    /// A reader is gone: nothing of its task is kept, and whoever is to be woken next.
    pub(super) fn leave(&mut self, place: Place) -> Option<Waker> {
        if place.round == self.round {
            self.waiting[place.index].clone_from(Waker::noop());
            return None;
        }
        self.line.pop_front()
    }
}
