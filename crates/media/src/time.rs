//! Media time.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A point on a stream's own clock, in microseconds from an origin that the
/// publisher chose. Signed, because a decode time may precede the origin.
///
/// Microseconds carry RTMP milliseconds exactly and a 90 kHz or 48 kHz tick to
/// within half a tick, which [`MediaTime::in_ticks`] rounds away again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MediaTime(i64);

impl MediaTime {
    /// The stream's origin.
    pub const ZERO: Self = Self(0);

    /// From microseconds.
    pub const fn from_micros(us: i64) -> Self {
        Self(us)
    }

    /// From milliseconds (the unit of RTMP).
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms.saturating_mul(1000))
    }

    /// From `ticks` of a clock of `rate` Hz, rounded to the nearest microsecond.
    pub fn from_ticks(ticks: i64, rate: u32) -> Self {
        let rate = i128::from(rate.max(1));
        let us = (i128::from(ticks) * 1_000_000 + rate / 2).div_euclid(rate);
        Self(us.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the origin, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Ticks of a clock of `rate` Hz, rounded to the nearest.
    pub fn in_ticks(self, rate: u32) -> i64 {
        let ticks = (i128::from(self.0) * i128::from(rate) + 500_000).div_euclid(1_000_000);
        ticks.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }
}

impl Add<Duration> for MediaTime {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(rhs.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for MediaTime {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(rhs.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl Sub for MediaTime {
    type Output = Self;
    /// The signed difference, itself a time from a zero origin.
    fn sub(self, rhs: Self) -> Self {
        Self(self.0.saturating_sub(rhs.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_survive_the_way_through_microseconds() {
        for rate in [1000, 8000, 44_100, 48_000, 90_000] {
            for ticks in [0, 1, 2, 1023, 90_001, 12_345_678_901, -1, -90_001] {
                assert_eq!(MediaTime::from_ticks(ticks, rate).in_ticks(rate), ticks, "{ticks} at {rate}");
            }
        }
    }
}
