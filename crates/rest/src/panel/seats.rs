//! Places for pages that watch: few in all, and fewer for one account, so that nobody's tabs
//! keep the others out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// At a time. Each costs a task, and a page of JSON each second.
const MOST: usize = 64;

/// Of one account. Whoever asks for more is refused. Were his oldest page dropped instead,
/// it would come back and drop the next, and so on for ever.
const MOST_OF_ONE: usize = 16;

/// How many places each account has taken; one table for all HTTP workers.
#[derive(Debug, Clone, Default)]
pub(super) struct Seats(Arc<Mutex<HashMap<String, usize>>>);

impl Seats {
    /// A place for an account, which its drop gives back; `None`: there is none for it.
    pub(super) fn take(&self, email: &str) -> Option<Seat> {
        let mut taken = self.taken();
        let (all, his) = (taken.values().sum::<usize>(), taken.get(email).copied().unwrap_or(0));
        if all >= MOST || his >= MOST_OF_ONE {
            return None;
        }
        taken.insert(email.to_owned(), his + 1);
        Some(Seat { seats: self.clone(), email: email.to_owned() })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One place, taken.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    email: String,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        let left = taken.get(&self.email).map_or(0, |his| his.saturating_sub(1));
        if left == 0 {
            taken.remove(&self.email);
        } else {
            taken.insert(self.email.clone(), left);
        }
    }
}
