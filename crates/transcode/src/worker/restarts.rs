//! Whether a stream whose decoding process ended may have another.

/// Failures after which a stream has no further process.
const MAX_FAILURES: u32 = 5;

/// Pictures for which one failure is forgotten: half an hour of 30 fps. So a stream
/// costs 5 processes, and then one in half an hour, whatever it does to them and
/// whatever it says of time.
const FORGIVEN: u32 = 54_000;

/// Counts one stream's failures.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    failures: u32,
    decoded: u32,
    /// Key frames that pass before the next try.
    wait: u32,
}

impl Restarts {
    /// A process failed: the next try is at the second key frame from now, then at
    /// the fourth, the eighth and so on.
    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.wait = 1 << self.failures.min(MAX_FAILURES);
        self.decoded = 0;
    }

    /// A picture went in and the process lives.
    pub(super) fn decoded(&mut self) {
        self.decoded += 1;
        if self.decoded >= FORGIVEN {
            self.decoded = 0;
            self.failures = self.failures.saturating_sub(1);
        }
    }

    /// A key frame came; whether to try again with it.
    pub(super) fn may_start(&mut self) -> bool {
        self.wait = self.wait.saturating_sub(1);
        self.failures < MAX_FAILURES && self.wait == 0
    }

    /// Whether a stream that comes with new tracks may start one.
    pub(super) const fn may_open(&self) -> bool {
        self.failures < MAX_FAILURES && self.wait == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key frames from a failure to the next try.
    fn until_next(restarts: &mut Restarts) -> Option<u32> {
        (1..=1000).find(|_| restarts.may_start())
    }

    #[test]
    fn each_try_comes_later_and_the_last_is_the_last() {
        let mut restarts = Restarts::default();
        let waits: Vec<_> = (0..6)
            .map(|_| {
                restarts.failed();
                assert!(!restarts.may_open());
                until_next(&mut restarts)
            })
            .collect();
        assert_eq!(waits, [Some(2), Some(4), Some(8), Some(16), None, None]);
    }

    #[test]
    fn pictures_that_were_decoded_earn_another_try() {
        for (pictures, expected) in [(FORGIVEN - 1, None), (FORGIVEN, Some(16))] {
            let mut restarts = Restarts::default();
            (1..MAX_FAILURES).for_each(|_| restarts.failed());
            (0..pictures).for_each(|_| restarts.decoded());
            restarts.failed();
            assert_eq!(until_next(&mut restarts), expected, "{pictures}");
        }
    }
}
