//! Whether a worker keeps up, judged by what waits in the bus.

/// Waiting frames from which a worker is late: about 0.8 s of 30 fps and AAC.
const LATE: u64 = 60;

/// Waiting frames at which it is in time again.
const IN_TIME: u64 = 4;

/// How a worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lateness {
    /// Do everything.
    InTime,
    /// Decode only, which takes half the time.
    Late,
    /// Decoding alone is too slow as well: skip to the next keyframe.
    TooLate,
}

/// Watches the distance.
#[derive(Debug)]
pub(super) struct Late {
    /// Frames it may still take to catch up; `None` when in time.
    left: Option<u64>,
}

impl Late {
    /// A reader starts at a keyframe that may be seconds old, so at first it is
    /// as late as that.
    pub(super) fn at_start() -> Self {
        Self { left: Some(u64::MAX) }
    }

    /// Before each frame: `lag` more wait behind it.
    pub(super) fn judge(&mut self, lag: u64) -> Lateness {
        self.left = match self.left {
            Some(_) if lag <= IN_TIME => None,
            Some(left) => Some(left.min(allowance(lag)).saturating_sub(1)),
            None if lag > LATE => Some(allowance(lag)),
            None => None,
        };
        match self.left {
            None => Lateness::InTime,
            Some(0) => Lateness::TooLate,
            Some(_) => Lateness::Late,
        }
    }

    /// A keyframe is reached after skipping: another try to catch up.
    pub(super) fn try_again(&mut self, lag: u64) {
        self.left = self.left.map(|_| allowance(lag));
    }
}

/// While the frames that wait are decoded, as many again may arrive; if more do,
/// decoding is slower than the stream.
fn allowance(lag: u64) -> u64 {
    lag.saturating_mul(2).max(LATE)
}
