//! How fast a file may go to a proxy: twice as fast as it plays.
//!
//! What a proxy has taken is out of a fence's reach, and a proxy takes a whole
//! segment at once if it can, whatever its player does. Twice real time fills a
//! player's buffer, and keeps a proxy from having a segment before its player.

use std::time::{Duration, Instant};

/// Playing time per time.
const SPEED: u32 = 2;
/// Bytes per second for the thinnest streams. Slower, and a connection would be taken
/// for one whose player has stopped to read.
const SLOWEST: u64 = 16 << 10;
/// A last segment of one frame would give an absurd rate.
const SHORTEST: Duration = Duration::from_millis(250);

/// The pace of one file.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Bytes per second.
    rate: u64,
    /// When the next bytes may go.
    next: Instant,
}

impl Pace {
    /// Of a file of so many bytes that plays so long.
    pub(crate) fn new(bytes: usize, plays: Duration, now: Instant) -> Self {
        let ms = plays.max(SHORTEST).as_millis();
        let rate = bytes as u128 * 1000 * u128::from(SPEED) / ms;
        Self { rate: u64::try_from(rate).unwrap_or(u64::MAX).max(SLOWEST), next: now }
    }

    /// Lets so many bytes go now, all or none; `Err`: not before then. Timers are
    /// late, so what they missed may be made up for, but no more than these bytes.
    pub(crate) fn take(&mut self, bytes: usize, now: Instant) -> Result<(), Instant> {
        if now < self.next {
            return Err(self.next);
        }
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(self.rate);
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let earliest = now.checked_sub(takes).unwrap_or(now);
        self.next = self.next.max(earliest) + takes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = 16 << 10;

    /// When the last chunk of a file goes, if somebody asks every so often.
    fn end(bytes: usize, plays: Duration, every: Duration) -> Duration {
        let begin = Instant::now();
        let (mut pace, mut now, mut sent) = (Pace::new(bytes, plays, begin), begin, 0);
        loop {
            match pace.take(CHUNK, now) {
                Ok(()) => sent += CHUNK,
                Err(when) => now = when.max(now + every),
            }
            if sent >= bytes {
                return now - begin;
            }
        }
    }

    #[test]
    fn a_file_goes_in_half_the_time_that_it_plays() {
        let (bytes, plays) = (1 << 20, Duration::from_secs(4));
        for every in [0, 1, 10] {
            let took = end(bytes, plays, Duration::from_millis(every));
            let late = took.abs_diff(plays / 2);
            assert!(late < Duration::from_millis(70), "{took:?}, asked every {every} ms");
        }
    }

    #[test]
    fn who_was_away_may_not_have_all_at_once() {
        let begin = Instant::now();
        let mut pace = Pace::new(1 << 20, Duration::from_secs(4), begin);
        let back = begin + Duration::from_secs(60);
        let burst = std::iter::from_fn(|| pace.take(CHUNK, back).ok()).count();
        assert_eq!(burst, 2, "what is due, and one that was missed");
    }

    #[test]
    fn thin_and_short_files_are_not_held_up() {
        let thin = end(2 * CHUNK, Duration::from_secs(600), Duration::ZERO);
        assert!(thin <= Duration::from_secs(1), "{thin:?}");
        let begin = Instant::now();
        let mut pace = Pace::new(CHUNK, Duration::ZERO, begin);
        assert_eq!(pace.take(CHUNK, begin), Ok(()));
        assert!(pace.take(CHUNK, begin).unwrap_err() >= begin + SHORTEST / SPEED);
    }
}
