//! What a player saw and heard, whatever kind of player it is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};

use crate::wait::eventually;

/// A peak of the test sound; it is made with 0.5, silence stays far below.
const AUDIBLE: f64 = 0.1;

/// Counted by a player's driver while it plays.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Numbers of the decoded pictures in the order shown, `None` where unreadable.
    pub pictures: Vec<Option<u16>>,
    /// The loudest sample so far, 0 to 1.
    pub peak: f64,
}

impl Seen {
    /// Numbers that could be read.
    pub fn numbers(&self) -> impl Iterator<Item = u16> + '_ {
        self.pictures.iter().flatten().copied()
    }

    /// Steps between readable neighbours that are not +1. A clip that starts again counts once.
    pub fn jumps(&self) -> usize {
        let numbers: Vec<u16> = self.numbers().collect();
        numbers.windows(2).filter(|w| w[1] != w[0].wrapping_add(1)).count()
    }

    /// How often pictures are missing between two that were shown. That the clip begins again
    /// is no loss.
    pub fn holes(&self) -> usize {
        let numbers: Vec<u16> = self.numbers().collect();
        numbers.windows(2).filter(|w| w[1] != w[0].wrapping_add(1) && !(w[1] == 0 && w[0] > 0)).count()
    }

    /// The same without the first `count` pictures.
    #[must_use]
    pub fn since(&self, count: usize) -> Self {
        Self { pictures: self.pictures.get(count..).unwrap_or_default().to_vec(), peak: self.peak }
    }

    /// Whether the test sound was heard.
    pub fn heard(&self) -> bool {
        self.peak > AUDIBLE
    }

    /// Fails unless nearly all pictures were readable and they moved on.
    pub fn check_picture(&self) -> Result<()> {
        let readable = self.numbers().count();
        ensure!(
            readable * 20 >= self.pictures.len() * 19,
            "{readable} of {} pictures readable",
            self.pictures.len()
        );
        let moved = self.numbers().collect::<Vec<_>>().windows(2).filter(|w| w[1] > w[0]).count();
        ensure!(
            moved * 10 >= readable * 8,
            "the picture stands: {moved} of {readable} pictures were newer than the one before"
        );
        Ok(())
    }
}

/// Shared between a driver's reading thread and the test.
#[derive(Debug, Default, Clone)]
pub struct Sight(Arc<Mutex<Seen>>);

impl Sight {
    /// To add to it.
    pub fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy.
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// Pictures decoded so far.
    pub fn count(&self) -> usize {
        self.lock().pictures.len()
    }

    /// Waits until `more` pictures beyond those of now were decoded.
    pub fn more(&self, more: usize) -> Result<()> {
        let wanted = self.count() + more;
        eventually(&format!("{more} more pictures after {}", self.count()), || {
            (self.count() >= wanted).then_some(())
        })
    }
}
