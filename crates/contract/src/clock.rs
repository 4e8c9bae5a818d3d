//! Time as an argument.
//!
//! Pure state takes a [`Now`]; only shells hold a [`Clock`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Wall-clock time in milliseconds since 1970-01-01 UTC, the unit of AMS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallMs(pub u64);

impl WallMs {
    /// `self + d`, saturating.
    pub fn after(self, d: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
    }

    /// From `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// One moment on both clocks.
///
/// Deadlines run on `mono`, which no clock step moves; `wall` is for codes,
/// records and what people read.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Monotonic time.
    pub mono: Instant,
    /// Wall-clock time.
    pub wall: WallMs,
}

/// Where shells take the time from.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<ManualClock>);

impl Clock {
    /// The machine's clocks.
    pub const fn system() -> Self {
        Self(None)
    }

    /// This moment.
    pub fn now(&self) -> Now {
        match &self.0 {
            Some(manual) => manual.now(),
            None => Now { mono: Instant::now(), wall: system_wall() },
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn system_wall() -> WallMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    WallMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A clock that a test moves.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Now>>);

impl ManualClock {
    /// Starts at `wall`.
    pub fn new(wall: WallMs) -> Self {
        Self(Arc::new(Mutex::new(Now { mono: Instant::now(), wall })))
    }

    /// The moment it shows.
    pub fn now(&self) -> Now {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves both clocks on.
    pub fn advance(&self, d: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.mono += d;
        now.wall = now.wall.after(d);
    }

    /// Steps the wall clock only, as NTP or an administrator may.
    pub fn step_wall(&self, wall: WallMs) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).wall = wall;
    }

    /// A [`Clock`] that shows this one's time.
    pub fn clock(&self) -> Clock {
        Clock(Some(self.clone()))
    }
}
